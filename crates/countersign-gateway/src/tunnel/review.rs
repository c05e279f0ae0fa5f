//! Whether a tunnel that is open may stay open.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Request, Uri};
use rustls::pki_types::UnixTime;
use tokio::time::{Instant, sleep_until};

use crate::audit::{self, Line};
use crate::caller::Caller;
use crate::live::Live;
use crate::policy;
use crate::problem::Denial;
use crate::session::Session;
use crate::upstream::Upstream;

/// How often a tunnel is decided about anew, besides after each reload and each change of identities.
const INTERVAL: Duration = Duration::from_secs(60);

/// What a tunnel was decided by.
pub(crate) struct Review {
    pub(crate) live: Arc<Live>,
    pub(crate) session: Arc<Session>,
    pub(crate) uri: Uri,
    pub(crate) authority: HeaderValue,
    /// The identities that it was let pass with.
    pub(crate) callers: Vec<Arc<Caller>>,
    /// The number of the request that asked for it.
    pub(crate) request: u64,
    /// Where it leads.
    pub(crate) upstream: Upstream,
}

impl Review {
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Says in the audit log that it may not.
    pub(super) fn tell_refused(&self) {
        let request = audit::Request {
            id: self.request,
            method: "GET",
            authority: self.authority.to_str().unwrap_or_default(),
            path: self.uri.path(),
            trace: None,
        };
        self.session.witness().write(Line {
            event: "tunnel-ended",
            request: Some(request),
            decision: Some("refuse"),
            ..Line::default()
        });
    }

    /// Waits until the tunnel would not be let pass any more, or would lead elsewhere.
    pub(super) async fn refused(&self) {
        let mut replaced = self.live.replaced();
        loop {
            let changed = self.session.changed();
            if !self.is_admitted().await {
                return;
            }
            tokio::select! {
                () = changed => {}
                // The sender is as long there as the configuration.
                _ = replaced.changed() => {}
                () = sleep_until(Instant::now() + INTERVAL) => {}
            }
        }
    }

    /// Decides as about a request, but asks the client for nothing.
    async fn is_admitted(&self) -> bool {
        let (mut request, ()) = Request::new(()).into_parts();
        request.uri = self.uri.clone();
        request.headers.insert(HOST, self.authority.clone());
        let shared = self.live.shared();
        policy::decide(&shared.routes, &request, &Held(self), UnixTime::now)
            .await
            .is_ok_and(|admission| admission.route.upstream == self.upstream)
    }
}

/// A connection with those of its identities that may count for the tunnel.
struct Held<'a>(&'a Review);

impl policy::Connection for Held<'_> {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        let of = |caller: &&Arc<Caller>| caller.credential() == credential;
        // The backend was told of this one, and must not be left with another.
        let told = self.0.callers.iter().find(of);
        let is_told =
            |caller: &Arc<Caller>| told.is_none_or(|told| told.sha256() == caller.sha256());
        let held = self.held().into_iter().filter(|caller| of(&caller));
        held.into_iter().find(is_told).ok_or(Denial::Missing)
    }

    fn held(&self) -> Vec<Arc<Caller>> {
        self.0.session.held()
    }

    fn is_certified_for(&self, host: &str) -> bool {
        self.0.session.is_certified_for(host)
    }
}
