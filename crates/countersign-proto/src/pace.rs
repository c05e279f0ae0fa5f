//! A pace: so many per second, and as many at once after a pause. The caller says what time it is.

use std::time::{Duration, Instant};

/// How far the events of one kind have used up their rate. The rate is passed in with each call and may
/// change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When all that happened is made up for.
    settled: Option<Instant>,
}

impl Pace {
    /// How many more may happen now at `rate` per second, which is greater than 0.
    pub fn allowance(&self, rate: u32, now: Instant) -> u32 {
        let free = Duration::from_secs(1).saturating_sub(self.debt(now));
        let events = free.as_nanos().checked_div(interval(rate).as_nanos()).unwrap_or(u128::MAX);
        u32::try_from(events).unwrap_or(u32::MAX).min(rate)
    }

    /// When the next one may happen, if not now.
    pub fn next(&self, rate: u32, now: Instant) -> Option<Instant> {
        if self.allowance(rate, now) > 0 {
            return None;
        }
        let wait = (self.debt(now) + interval(rate)).saturating_sub(Duration::from_secs(1));
        Some(now + wait)
    }

    /// Notes that `events` happen now.
    pub fn take(&mut self, rate: u32, events: u32, now: Instant) {
        let settled = self.settled.map_or(now, |settled| settled.max(now));
        self.settled = Some(settled + interval(rate) * events);
    }

    fn debt(&self, now: Instant) -> Duration {
        self.settled.map_or(Duration::ZERO, |settled| settled.saturating_duration_since(now))
    }
}

fn interval(rate: u32) -> Duration {
    Duration::from_secs(1) / rate.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_and_then_one_after_another() {
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.allowance(4, start), 4);
        pace.take(4, 3, start);
        assert_eq!((pace.allowance(4, start), pace.next(4, start)), (1, None));
        pace.take(4, 1, start);
        assert_eq!(pace.allowance(4, start), 0);
        let next = pace.next(4, start).unwrap();
        assert_eq!(next, start + Duration::from_millis(250));
        assert_eq!((pace.allowance(4, next), pace.next(4, next)), (1, None));
        // A pause makes up for all of it, and for no more.
        assert_eq!(pace.allowance(4, start + Duration::from_secs(60)), 4);
    }

    #[test]
    fn any_rate_has_its_number_at_once() {
        let now = Instant::now();
        for rate in [1, 3, 7, 1_000, 1_000_000] {
            let mut pace = Pace::default();
            assert_eq!(pace.allowance(rate, now), rate);
            pace.take(rate, rate, now);
            assert_eq!(pace.allowance(rate, now), 0, "{rate}");
            assert!(pace.next(rate, now).unwrap() > now);
        }
    }
}
