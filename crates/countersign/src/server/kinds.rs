//! The credentials that a listener knows, and their replacement while connections live.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use exported_authenticator::{MessageType, RequestTemplate};
use rustls::pki_types::UnixTime;

use super::config::Schemes;
use super::expiry::{self, Expiry};
use super::live::LiveSessions;
use super::session::ServerSession;
use super::{ConfigError, CredentialKind};

/// A credential and how to ask for it.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) kind: CredentialKind,
    pub(super) template: RequestTemplate,
}

/// All credentials of a listener at one time.
#[derive(Debug)]
pub(super) struct Kinds(Vec<Kind>);

impl Kinds {
    /// Checks that each can be asked for.
    pub(super) fn new(
        kinds: Vec<CredentialKind>,
        schemes: &Schemes,
        message_type: MessageType,
    ) -> Result<Self, ConfigError> {
        let mut names = HashSet::new();
        let mut checked = Vec::new();
        for kind in kinds {
            if !names.insert(Arc::clone(kind.name())) {
                return Err(ConfigError::DuplicateCredential(Arc::clone(kind.name())));
            }
            let template = kind.template(schemes);
            template
                .build(message_type, &[0; 32])
                .map_err(|_| ConfigError::BadRequest(Arc::clone(kind.name())))?;
            checked.push(Kind { kind, template });
        }
        Ok(Self(checked))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Kind> {
        self.0.iter().find(|one| &**one.kind.name() == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CredentialKind> {
        self.0.iter().map(|one| &one.kind)
    }
}

/// The credentials as they are now, and the connections that hold some.
pub(super) struct Credentials {
    current: Mutex<Arc<Kinds>>,
    live: LiveSessions,
    expiry: Expiry,
}

impl Credentials {
    pub(super) fn new(kinds: Kinds) -> Self {
        let (live, expiry) = Default::default();
        Self { current: Mutex::new(Arc::new(kinds)), live, expiry }
    }

    pub(super) fn current(&self) -> Arc<Kinds> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn enlist(&self, session: &Arc<ServerSession>) {
        self.live.enlist(session);
    }

    /// Replaces them; returns how many identities of live connections are gone by that.
    pub(super) fn replace(&self, kinds: Kinds) -> usize {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(kinds);
        self.reevaluate()
    }

    /// Takes away what the credentials as they are now do not grant any more.
    pub(super) fn reevaluate(&self) -> usize {
        self.expiry.ends.forget();
        let (kinds, now) = (self.current(), UnixTime::now());
        self.live.all().iter().map(|session| session.reevaluate(&kinds, now)).sum()
    }

    pub(super) fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// Takes away what has ended, and looks at nothing else: of many connections few have something that ends now.
    pub(super) fn expire(&self, now: UnixTime) {
        self.expiry.ends.forget();
        let kinds = self.current();
        for session in self.live.all() {
            if session.ends().are_over(now) {
                session.reevaluate(&kinds, now);
            } else {
                self.expiry.ends.note(session.ends().first());
            }
        }
    }

    /// An identity holds until then, in seconds since 1970; its connection's are looked at again afterwards.
    pub(super) fn note(self: &Arc<Self>, until: u64) {
        self.expiry.ends.note(until);
        expiry::watch(self);
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credentials").field(&self.current()).finish()
    }
}
