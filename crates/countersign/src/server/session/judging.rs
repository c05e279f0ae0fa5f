//! What proofs come to: on the pool, under the session's lock only to grant.

use std::sync::Arc;

use countersign_proto::server::Answer;
use exported_authenticator::{Proven, Validated};
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::oneshot;

use super::{Outcome, ServerSession, State};
use crate::server::expiry::Ends;
use crate::server::kinds::Kinds;
use crate::server::{CredentialKind, Denied, Event, Identity, Loss, Source};

impl ServerSession {
    /// Grants what a certificate from the handshake is accepted as.
    pub(crate) async fn grant_handshake(self: &Arc<Self>, chain: Vec<CertificateDer<'static>>) {
        let (done, judged) = oneshot::channel();
        let session = Arc::clone(self);
        self.config.pool.submit(&self.lane, move || {
            session.judge_handshake(&chain);
            // Whoever waited may have gone.
            let _gone = done.send(());
        });
        let _panicked = judged.await;
    }

    fn judge_handshake(&self, chain: &[CertificateDer<'static>]) {
        let now = UnixTime::now();
        for kind in self.config.credentials.current().iter() {
            match kind.evaluate_handshake(chain, now) {
                None => {}
                Some(Ok(())) => {
                    let identity = Identity::new(kind.name(), chain.to_vec(), Source::Handshake);
                    self.lock().identities.push(identity.clone());
                    self.note(kind.until(chain, now));
                    self.tell(|| Event::Proven(identity));
                }
                Some(Err(rejection)) => {
                    let credential = Arc::clone(kind.name());
                    self.lock().handshake_rejected.push((Arc::clone(&credential), rejection));
                    let reason = Denied::Rejected(rejection);
                    self.tell(|| Event::rejected(Some(credential), chain, reason));
                }
            }
        }
    }

    /// Has an answer verified, away from the connection's task.
    pub(super) fn submit(self: Arc<Self>, answer: Answer) {
        let (pool, lane) = (self.config.pool.clone(), Arc::clone(&self.lane));
        pool.submit(&lane, move || self.verify(answer));
    }

    /// Verifies an answer.
    fn verify(&self, answer: Answer) {
        let over = |state: &State| state.closing.is_some() || state.closed.is_some();
        if over(&self.lock()) {
            return;
        }
        let (id, generic) = (answer.id, answer.generic);
        let verdict = answer.verify().map(|validated| match validated {
            Validated::Empty => None,
            Validated::Proven(proven) => Some(proven),
        });
        let now = UnixTime::now();
        let decided = match verdict {
            Err(violation) => {
                self.violate(violation);
                return;
            }
            //= specs/client-certs.md#section-4.2.1
            //# The server MUST itself interpret a CERTIFICATE frame and decide what follows for the
            //# session and for access.
            Ok(proven) => proven,
        };
        loop {
            let kinds = self.config.credentials.current();
            let credential = {
                let state = self.lock();
                state.asks.get(&id).map(|ask| Arc::clone(&ask.credential))
            };
            let evaluate = |kind: &CredentialKind, proven: &Proven| {
                let identity = evaluate(kind, proven, now)?;
                let until = kind.until(identity.chain(), now);
                Ok((identity, until))
            };
            let outcomes: Vec<Result<_, Denied>> = match (&decided, &credential) {
                (None, _) => Vec::new(),
                //= specs/client-certs.md#section-4.2.1
                //# A server MAY ignore an accepted certificate altogether.
                // A generic challenge may be answered with any credential; it grants all that accept it.
                (Some(proven), None) if generic => {
                    kinds.iter().map(|kind| evaluate(kind, proven)).collect()
                }
                (Some(_), None) => Vec::new(),
                (Some(proven), Some(name)) => match kinds.get(name) {
                    Some(wanted) => vec![evaluate(&wanted.kind, proven)],
                    None => vec![Err(Denied::UnknownCredential)],
                },
            };
            let mut state = self.lock();
            if !Arc::ptr_eq(&kinds, &self.config.credentials.current()) {
                // They were replaced meanwhile, and what is granted now would not be looked at again.
                continue;
            }
            let mut replaced = Vec::new();
            for (identity, until) in outcomes.iter().flatten() {
                replaced.extend(state.grant(identity.clone()));
                self.note(*until);
            }
            let outcomes: Vec<Outcome> =
                outcomes.into_iter().map(|outcome| outcome.map(|(identity, _)| identity)).collect();
            let ask = if generic {
                state.verifying -= 1;
                None
            } else {
                state.asks.remove(&id)
            };
            drop(state);
            self.tell_lost(replaced, Loss::Replaced);
            self.tell_answer(credential, decided.as_ref(), &outcomes);
            if let Some(ask) = ask {
                let outcome = outcomes.into_iter().next().unwrap_or(Err(Denied::Declined));
                ask.outcome.send_replace(Some(outcome));
            }
            break;
        }
        self.changed.notify_waiters();
    }

    /// `outcomes` has one for each credential that the answer could have been.
    fn tell_answer(
        &self,
        credential: Option<Arc<str>>,
        proven: Option<&Proven>,
        outcomes: &[Outcome],
    ) {
        let Some(proven) = proven else {
            if let Some(credential) = credential {
                self.tell(|| Event::Declined { credential });
            }
            return;
        };
        for identity in outcomes.iter().flatten() {
            self.tell(|| Event::Proven(identity.clone()));
        }
        let reason = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
        if let Some(reason) = reason.filter(|_| !outcomes.iter().any(Result::is_ok)) {
            self.tell(|| Event::rejected(credential, proven.chain(), *reason));
        }
    }

    /// Takes away what `kinds` do not grant any more; returns how many identities that were.
    pub(in crate::server) fn reevaluate(&self, kinds: &Kinds, now: UnixTime) -> usize {
        self.ends.forget();
        let lost: Vec<_> = self
            .identities()
            .into_iter()
            .filter_map(|identity| match kinds.get(identity.credential()) {
                Some(wanted) => match wanted.kind.still_grants(&identity, now) {
                    Ok(()) => {
                        self.note(wanted.kind.until(identity.chain(), now));
                        None
                    }
                    Err(reason) => Some((identity, Loss::Rejected(reason))),
                },
                None => Some((identity, Loss::NotConfigured)),
            })
            .collect();
        let mut number = 0;
        for (identity, reason) in lost {
            let gone = self.lock().take(|held| *held == identity);
            number += gone.len();
            self.tell_lost(gone, reason);
        }
        if number > 0 {
            tracing::info!(identities = number, "a connection has lost identities");
            self.changed.notify_waiters();
        }
        number
    }

    /// When the first of its identities ends.
    pub(in crate::server) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// An identity holds until then; without a time, for good.
    fn note(&self, until: Option<UnixTime>) {
        if let Some(until) = until {
            self.ends.note(until.as_secs());
            self.config.credentials.note(until.as_secs());
        }
    }

    /// The same by the credentials as they are now.
    pub(in crate::server) fn reevaluate_now(&self) -> usize {
        self.reevaluate(&self.config.credentials.current(), UnixTime::now())
    }
}

//= specs/client-certs.md#decisions-bad
//# (ours) A certificate that is untrusted, expired, revoked or of the wrong kind MUST NOT be a
//# connection error.
//= specs/client-certs.md#decisions-bad
//# (ours) A certificate that is not acceptable MUST grant nothing.
//= specs/client-certs.md#section-1.2
//# A server MAY disregard a certificate and leave what the client is allowed to do as it was.
fn evaluate(kind: &CredentialKind, proven: &Proven, now: UnixTime) -> Outcome {
    let verified = kind.evaluate(proven.clone(), now).map_err(Denied::Rejected)?;
    Ok(Identity::new(kind.name(), verified.chain().to_vec(), Source::Authenticator))
}
