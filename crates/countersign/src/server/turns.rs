//! Whose authenticator is verified when: at a pace, in the order in which they came.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use countersign_proto::Pace;
use tokio::time::Instant;

/// The turns of one listener's connections.
#[derive(Debug)]
pub(super) struct Turns {
    per_second: NonZeroU32,
    pace: Mutex<Pace>,
}

impl Turns {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, pace: Mutex::default() }
    }

    /// Takes the next one; returns when it is, if not now.
    pub(super) fn take(&self, now: Instant) -> Option<Instant> {
        let (rate, now) = (self.per_second.get(), now.into_std());
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = pace.next(rate, now);
        pace.take(rate, 1, now);
        turn.map(Instant::from_std)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn turns_are_taken_one_after_the_other() {
        let turns = Turns::new(NonZeroU32::new(10).unwrap());
        let now = Instant::now();
        let taken: Vec<_> = (0..13).map(|_| turns.take(now)).collect();
        assert!(taken.iter().take(10).all(Option::is_none), "{taken:?}");
        let waits: Vec<_> = taken.iter().flatten().map(|turn| *turn - now).collect();
        assert_eq!(waits, [100, 200, 300].map(Duration::from_millis));
        assert_eq!(turns.take(now + Duration::from_secs(2)), None);
    }
}
