//! The demo's clients: one connection each, the certificates they have, and what they experience.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use countersign::CodePoints;
use countersign::client::{AuthConfig, AuthorityRules, Event, Observer, Origin, StaticCredentials};
use countersign_pki::Issued;
use http::Request;
use http_body_util::BodyExt;
use rustls::RootCertStore;
use tokio::sync::Notify;

use super::narrator::{Narrator, Way};
use super::stage::{OTHER_NAME, Stage};
use crate::client::{Body, Connection, Dialer, NotSent, Overrides, Protocol, Tls, Trust};
use crate::failure::{Exit, Failure};
use crate::identity::identity;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client with one connection to the gateway.
#[derive(Debug)]
pub(super) struct Visitor {
    connection: Connection,
    diary: Arc<Diary>,
    origin: Origin,
}

/// An answer of the gateway.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// What happened on the connection since the last answer.
    pub(super) events: Vec<Event>,
}

/// What a client's observer has seen.
#[derive(Debug, Default)]
struct Diary {
    events: Mutex<Vec<Event>>,
    written: Notify,
}

impl Diary {
    fn has_answer(&self) -> bool {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().any(|event| matches!(event, Event::Answer { .. }))
    }
}

impl Observer for Diary {
    fn event(&self, _origin: &Origin, event: &Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        self.written.notify_waiters();
    }
}

impl Visitor {
    /// Connects with these certificates in the bag, each of which may be asked for at the same time;
    /// `None` is a client that knows nothing of the extension.
    pub(super) async fn connect(
        stage: &Stage,
        protocol: Protocol,
        bag: Option<&[&Issued]>,
        narrator: &Narrator,
    ) -> Result<Self, Failure> {
        Self::open(stage, protocol, bag, false, narrator).await
    }

    /// Connects as a client that has no certificate, and takes further ones of servers.
    pub(super) async fn connect_for_more(
        stage: &Stage,
        protocol: Protocol,
        narrator: &Narrator,
    ) -> Result<Self, Failure> {
        Self::open(stage, protocol, None, true, narrator).await
    }

    async fn open(
        stage: &Stage,
        protocol: Protocol,
        bag: Option<&[&Issued]>,
        takes_more: bool,
        narrator: &Narrator,
    ) -> Result<Self, Failure> {
        let gateway = stage.gateway;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let origin = Origin::new("localhost", gateway.port());
        let mut credentials = StaticCredentials::new();
        for issued in bag.unwrap_or_default() {
            let identity = identity(issued.chain.clone(), issued.key.clone_key(), &provider)
                .map_err(|reason| Failure::new(Exit::LocalCertificate, reason))?;
            credentials = credentials.identity(origin.clone(), identity.credential);
        }
        let diary = Arc::new(Diary::default());
        let limit = bag.map_or(0, |bag| u32::try_from(bag.len()).unwrap_or(u32::MAX).max(1));
        let mut roots = RootCertStore::empty();
        for root in [&stage.pki.server_ca, &stage.other_ca] {
            roots.add(root.clone()).map_err(|error| Failure::new(Exit::CaFile, error))?;
        }
        let verifier = Trust::Roots(roots).verifier(&provider)?;
        // What DNS would say.
        let here = ["localhost", OTHER_NAME].map(|name| {
            let here = format!("{name}:{}:{}", gateway.port(), gateway.ip()).parse();
            here.map_err(|reason| Failure::new(Exit::Resolve, reason))
        });
        let resolve = here.into_iter().collect::<Result<_, _>>()?;
        let overrides = Overrides { resolve, connect_to: Vec::new() };
        let mut auth = AuthConfig::builder(Arc::clone(&provider))
            .resolver(Arc::new(credentials))
            .observer(Arc::<Diary>::clone(&diary))
            .limit(limit);
        if takes_more {
            let rules = AuthorityRules::new(Arc::clone(&verifier));
            auth = auth.authority(rules.resolver(Arc::new(overrides.clone())));
        }
        let auth = auth.build().map_err(|error| Failure::new(Exit::Failed, error))?;
        let tls = Tls { provider, verifier, protocols: vec![protocol], in_handshake: Vec::new() };
        let dialer = Dialer::new(tls, auth, overrides, CodePoints::default())?;
        let connection = dialer.connect(&origin, |facts| narrator.connected(facts)).await?;
        if takes_more {
            let text = "SETTINGS: you may show me further certificates of yours";
            narrator.message(Way::ClientToGateway, text);
        }
        if limit > 0 {
            let text = format!("SETTINGS: you may ask me for certificates, {limit} at a time");
            narrator.message(Way::ClientToGateway, &text);
        }
        Ok(Self { connection, diary, origin })
    }

    /// Waits until a challenge has been answered; what happened until then.
    pub(super) async fn until_answered(&self) -> Result<Vec<Event>, Failure> {
        let answered = async {
            loop {
                let written = self.diary.written.notified();
                tokio::pin!(written);
                written.as_mut().enable();
                if self.diary.has_answer() {
                    return;
                }
                written.await;
            }
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .map_err(|_| late("the gateway's challenge"))?;
        Ok(self.news())
    }

    /// Waits for the gateway's SETTINGS; what happened until then.
    pub(super) async fn until_settings(&self) -> Result<Vec<Event>, Failure> {
        let settings = self.connection.handle.peer_settings();
        tokio::time::timeout(PATIENCE, settings)
            .await
            .map_err(|_| late("the gateway's settings"))?;
        Ok(self.news())
    }

    /// The gateway under its other name.
    pub(super) fn other_origin(&self) -> Origin {
        Origin::new(OTHER_NAME, self.origin.port())
    }

    /// Waits until the connection may be used for `origin`; what happened until then.
    pub(super) async fn until_authoritative(&self, origin: &Origin) -> Result<Vec<Event>, Failure> {
        let shown = self.connection.handle.becomes_authoritative_for(origin);
        tokio::time::timeout(PATIENCE, shown)
            .await
            .map_err(|_| late("the gateway's certificate"))?
            .map_err(|reason| Failure::new(Exit::PeerCertificate, reason))?;
        Ok(self.news())
    }

    /// Sends a GET with further fields and waits for the whole answer.
    pub(super) async fn get(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let origin = self.origin.clone();
        self.get_from(&origin, path, fields).await
    }

    /// The same for another origin than the connection's own.
    pub(super) async fn get_from(
        &mut self,
        origin: &Origin,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = Request::get(format!("{origin}{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::new(Bytes::new()))
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let exchange = async {
            let response = match self.connection.send(request).await {
                Ok(response) => response,
                Err(NotSent::Closed(failure) | NotSent::Failed(failure)) => return Err(failure),
            };
            let status = response.status().as_u16();
            match response.into_body().collect().await {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) => Err(self.connection.explain(&error).await),
            }
        };
        let (status, body) =
            tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| late("an answer"))??;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status, body, events: self.news() })
    }

    /// Hangs up; true if the connection was open until now.
    pub(super) async fn leave(self) -> bool {
        self.connection.close().await.initiator == "client"
    }

    fn news(&self) -> Vec<Event> {
        std::mem::take(&mut *self.diary.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn late(what: &str) -> Failure {
    let seconds = PATIENCE.as_secs();
    Failure::new(Exit::Timeout, format!("{what} did not come within {seconds} seconds"))
}
