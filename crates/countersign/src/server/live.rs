//! The connections that are there, for what is replaced while they live.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::session::ServerSession;

/// Sessions that may have ended. Grows with the connections that live, not with those that ever did.
#[derive(Default)]
pub(super) struct LiveSessions(Mutex<List>);

#[derive(Default)]
struct List {
    sessions: Vec<Weak<ServerSession>>,
    /// At which length to look for those that have ended.
    sweep_at: usize,
}

/// Shorter lists are not worth the looking.
const MIN_SWEEP: usize = 64;

impl LiveSessions {
    pub(super) fn enlist(&self, session: &Arc<ServerSession>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.sessions.len() >= list.sweep_at {
            list.sessions.retain(|session| session.strong_count() > 0);
            list.sweep_at = (list.sessions.len() * 2).max(MIN_SWEEP);
        }
        list.sessions.push(Arc::downgrade(session));
    }

    pub(super) fn all(&self) -> Vec<Arc<ServerSession>> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.sessions.iter().filter_map(Weak::upgrade).collect()
    }
}
