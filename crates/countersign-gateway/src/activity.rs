//! What happens on one connection: whether it idles, and whether its client takes what it asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::body::Guard;
use crate::expect::Expectation;
use crate::refusals::{Reason, Refusals};

/// Counts a connection's exchanges.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    exchanges: usize,
    /// Those of which the client has not taken what was last given out of the response's body.
    untaken: usize,
    /// When an exchange last began, went on or ended.
    moved: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Mutex::new(State { exchanges: 0, untaken: 0, moved: Instant::now() }))
    }
}

impl Activity {
    /// Another exchange begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Exchange {
        let mut state = self.lock();
        state.exchanges += 1;
        state.moved = Instant::now();
        Exchange { activity: Arc::clone(self), is_untaken: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when there is no exchange; `None` while there is one.
    fn idle_since(&self) -> Option<Instant> {
        let State { exchanges, moved, .. } = *self.lock();
        (exchanges == 0).then_some(moved)
    }

    /// Waits until the connection shall end: `shutdown` changes, or nothing happens for `idle`.
    pub(crate) async fn end(&self, idle: Duration, mut shutdown: watch::Receiver<bool>) {
        loop {
            let since = self.idle_since();
            if since.is_some_and(|since| since.elapsed() >= idle) {
                return;
            }
            tokio::select! {
                _ = shutdown.changed() => return,
                () = sleep_until(since.unwrap_or_else(Instant::now) + idle) => {}
            }
        }
    }

    /// Waits until a connection that was told to end has nothing in flight and has had `closing`
    /// to go.
    pub(crate) async fn overdue(&self, closing: Duration) {
        loop {
            sleep_until(Instant::now() + closing).await;
            if self.idle_since().is_some() {
                return;
            }
        }
    }

    /// Waits until the client is what every exchange waits for, and has taken nothing for `limit`. Only the
    /// connection as a whole is looked at: HTTP/2 and HTTP/3 clients may well leave one response for later.
    pub(crate) async fn stuck(&self, limit: Duration, refusals: &Refusals) {
        loop {
            let State { exchanges, untaken, moved } = *self.lock();
            let since = if exchanges > 0 && untaken == exchanges { moved } else { Instant::now() };
            if since.elapsed() >= limit {
                refusals.count(Reason::BodyTimeout);
                return;
            }
            sleep_until(since + limit).await;
        }
    }
}

/// One exchange, from the request's header to the end of the response.
#[derive(Debug)]
pub(crate) struct Exchange {
    activity: Arc<Activity>,
    is_untaken: bool,
}

impl Exchange {
    /// The client has taken what there was of the response's body; `gives` if it is given more.
    fn taken(&mut self, gives: bool) {
        let mut state = self.activity.lock();
        state.moved = Instant::now();
        match (self.is_untaken, gives) {
            (false, true) => state.untaken += 1,
            (true, false) => state.untaken = state.untaken.saturating_sub(1),
            (false, false) | (true, true) => {}
        }
        self.is_untaken = gives;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.taken(false);
        let mut state = self.activity.lock();
        state.exchanges = state.exchanges.saturating_sub(1);
    }
}

/// What lasts as long as a response is on its way.
#[derive(Debug)]
pub(crate) struct Underway {
    exchange: Exchange,
    _expectation: Option<Expectation>,
}

impl Underway {
    pub(crate) fn new(exchange: Exchange, expectation: Option<Expectation>) -> Self {
        Self { exchange, _expectation: expectation }
    }
}

impl Guard for Underway {
    fn asked(&mut self, gives: bool) {
        self.exchange.taken(gives);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_stuck_and_who_waits_for_the_server_is_not() {
        let (activity, refusals) = (Arc::new(Activity::default()), Refusals::default());
        let is_stuck = async || {
            let later = Instant::now() + LIMIT * 3;
            tokio::time::timeout_at(later, activity.stuck(LIMIT, &refusals)).await.is_ok()
        };
        assert!(!is_stuck().await, "nothing is asked for");
        let (mut one, mut other) = (activity.begin(), activity.begin());
        assert!(!is_stuck().await, "nothing is given yet");
        one.taken(true);
        assert!(!is_stuck().await, "the other one waits for the server");
        other.taken(true);
        assert!(is_stuck().await);
        one.taken(false);
        assert!(!is_stuck().await, "one was taken");
        drop(one);
        assert!(is_stuck().await);
        drop(other);
        assert!(!is_stuck().await);
        assert_eq!(refusals.get(Reason::BodyTimeout), 2);
    }
}
