//! The client under test while it visits, and the steps that cases against it have in common.

use super::announcements::TakenBack;
use super::host::Host;
use crate::authenticator::{Draft, Proof, Request, SCHEMES, Side, check, message};
use crate::case::{Done, Version, failed, skipped};
use crate::identity::{Identity, random_context};
use crate::raw::{Arrival, Event, Listener, Peer, kind, payload};

/// A client that has come.
#[derive(Debug)]
pub struct Guest<'h> {
    pub(super) peer: Peer,
    pub(super) host: &'h Host,
    /// The stream of its first request.
    pub(super) stream: u64,
    /// How many connections of the case came before this one.
    pub(super) round: usize,
    /// Where the client finds the tool again.
    listener: &'h Listener,
    /// What clients took back in earlier cases.
    pub(super) taken_back: Vec<TakenBack>,
}

impl<'h> Guest<'h> {
    pub(super) fn new(peer: Peer, host: &'h Host, listener: &'h Listener, round: usize) -> Self {
        Self { peer, host, stream: 0, round, listener, taken_back: Vec::new() }
    }

    pub(super) fn version(&self) -> Version {
        self.peer.version
    }

    /// Support for both drafts.
    pub(super) fn both(&self) -> Vec<(u64, u64)> {
        let points = self.host.points;
        vec![(points.client_cert_auth.into(), 1), (points.server_cert_auth.into(), 1)]
    }

    /// Sends SETTINGS that announce support, reads the client's and its first request.
    pub(super) async fn welcome(&mut self) -> Done {
        let settings = self.both();
        self.welcome_with(&settings).await
    }

    /// The same with any settings.
    pub(super) async fn welcome_with(&mut self, settings: &[(u64, u64)]) -> Done {
        self.peer.open(settings).await?;
        let is_request = |arrival: &Arrival| {
            matches!(arrival, Arrival::Frame { stream: Some(_), kind: kind::HEADERS, .. })
        };
        if let Arrival::Frame { stream: Some(stream), .. } =
            self.peer.expect("a request", is_request).await?
        {
            self.stream = stream;
        }
        Ok(())
    }

    /// The same; skips the case unless the client can be asked. Returns its limit.
    pub(super) async fn welcome_to_be_asked(&mut self) -> Done<u64> {
        self.welcome().await?;
        match self.peer.setting(self.host.points.client_cert_auth) {
            Some(limit @ 1..) => Ok(limit),
            Some(0) | None => {
                skipped("the client does not announce SETTINGS_HTTP_CLIENT_CERT_AUTH")
            }
        }
    }

    /// The same for a client that takes certificates of servers.
    pub(super) async fn welcome_to_be_shown(&mut self) -> Done {
        self.welcome().await?;
        match self.peer.setting(self.host.points.server_cert_auth) {
            Some(1) => Ok(()),
            Some(_) | None => {
                skipped("the client does not announce SETTINGS_HTTP_SERVER_CERT_AUTH")
            }
        }
    }

    /// Sends AUTHENTICATOR_REQUESTS.
    pub(super) async fn ask(&mut self, requests: &[Request]) {
        let list = Request::encode_list(requests);
        self.peer.control(self.host.points.requests, &list).await;
    }

    /// The payload of the next CERTIFICATE.
    pub(super) async fn certificate(&mut self) -> Done<bytes::Bytes> {
        let kind = u64::from(self.host.points.certificate);
        let is_certificate = |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind: found, .. } if *found == kind);
        let arrival = self.peer.expect("CERTIFICATE", is_certificate).await?;
        if matches!(arrival, Arrival::Frame { stream: Some(_), .. }) {
            return failed("CERTIFICATE on a stream of its own");
        }
        Ok(payload(arrival))
    }

    /// The valid answer to `request`, which has to be the next CERTIFICATE.
    pub(super) async fn answer(&mut self, request: &Request) -> Done<Proof> {
        let authenticator = self.certificate().await?;
        Ok(check(&self.peer.secrets, Side::Client, Some(request), &authenticator, &[])?)
    }

    /// Asks and is answered.
    pub(super) async fn exchange(&mut self, request: &Request) -> Done<Proof> {
        self.ask(std::slice::from_ref(request)).await;
        self.answer(request).await
    }

    /// A client that answered in this way does not answer otherwise when it is asked in the most common way. Skips the case
    /// if it never presents anything.
    pub(super) async fn as_ever(&mut self, answered: &Proof) -> Done {
        if *answered != Proof::Declined {
            return Ok(());
        }
        match self.exchange(&good_request()).await? {
            Proof::Declined => skipped("the client presented nothing; it needs an identity"),
            Proof::Proven { .. } => {
                failed("the client declined, but presents a certificate to the next request")
            }
        }
    }

    /// Responds to the first request. The client goes on, or goes away, without complaint and without a frame of the drafts.
    pub(super) async fn content(&mut self) -> Done {
        self.peer.respond(self.stream, 200).await;
        let points = self.host.points;
        let unwanted = [points.certificate, points.server_certificate, points.requests];
        let of_ours = |arrival: &Arrival| matches!(arrival, Arrival::Frame { kind, .. } if unwanted.iter().any(|one| u64::from(*one) == *kind));
        match self.peer.event(of_ours).await {
            Event::Arrived(Arrival::Frame { kind, .. }) if kind == u64::from(points.requests) => {
                failed("AUTHENTICATOR_REQUESTS, which only servers send")
            }
            Event::Arrived(Arrival::Frame { kind, .. })
                if kind != u64::from(points.certificate) =>
            {
                failed("SERVER_CERTIFICATE, which only servers send")
            }
            Event::Arrived(_) => failed("a CERTIFICATE that nobody asked for"),
            Event::Closed(end) if end.code.is_some() => failed(self.peer.tell(&end)),
            Event::Closed(_) | Event::Silence => Ok(()),
        }
    }

    /// The same once the client has taken in what was sent on the control stream of HTTP/3, which is not ordered against
    /// the response: a client that can be asked shows it by an answer.
    pub(super) async fn content_in_the_end(&mut self) -> Done {
        if self.peer.setting(self.host.points.client_cert_auth).is_some_and(|limit| limit > 0) {
            self.exchange(&good_request()).await?;
        }
        self.content().await
    }

    /// Responds to the first request. Whether the client makes another one on this connection, rather than on a new one, or
    /// none.
    pub(super) async fn is_used_again(&mut self) -> Done<bool> {
        self.peer.respond(self.stream, 200).await;
        let first = self.stream;
        let another = |arrival: &Arrival| matches!(arrival, Arrival::Frame { stream: Some(stream), kind: kind::HEADERS, .. } if *stream != first);
        tokio::select! {
            event = self.peer.event(another) => match event {
                Event::Arrived(_) => Ok(true),
                Event::Closed(end) if end.code.is_some() => failed(self.peer.tell(&end)),
                Event::Closed(_) | Event::Silence => Ok(false),
            },
            _ = self.listener.accept() => Ok(false),
        }
    }

    /// Whether a setting that the client announced above 0 is 0 in later SETTINGS of what has come until now.
    pub(super) fn takes_back(&mut self, setting: u16) -> bool {
        let announced = self.peer.setting(setting).is_some_and(|value| value > 0);
        announced && self.peer.later_settings().contains(&(setting.into(), 0))
    }

    /// The connection ends with some error.
    pub(super) async fn complains(&mut self) -> Done {
        self.peer.expect_any_error().await
    }

    /// Sends SERVER_CERTIFICATE with `identity`'s authenticator after a change.
    pub(super) async fn show(&mut self, identity: &Identity, change: fn(&mut Draft<'_>)) -> Done {
        let authenticator = self.spontaneous(identity, change)?;
        self.peer.control(self.host.points.server_certificate, &authenticator).await;
        Ok(())
    }

    /// Such an authenticator.
    pub(super) fn spontaneous(
        &self,
        identity: &Identity,
        change: fn(&mut Draft<'_>),
    ) -> Done<Vec<u8>> {
        let mut draft = Draft::spontaneous(&random_context(), identity);
        change(&mut draft);
        draft.sign(&self.peer.secrets)
    }

    /// The error code SERVER_CERTIFICATE_INVALID.
    pub(super) fn invalid(&self) -> u64 {
        self.host.points.server_certificate_invalid.into()
    }

    /// Closes, so that the client need not wait.
    pub(super) async fn goodbye(&mut self) {
        let no_error = match self.version() {
            Version::Http2 => 0,
            Version::Http3 => 0x100,
        };
        self.peer.close(no_error, "").await;
    }
}

/// A request that any client can answer.
pub(super) fn good_request() -> Request {
    request_with(message::CLIENT_CERTIFICATE_REQUEST, &random_context(), &[])
}

/// The same with extensions behind signature_algorithms.
pub(super) fn request_with(typ: u8, context: &[u8], more: &[(u16, Vec<u8>)]) -> Request {
    let schemes: Vec<u16> =
        SCHEMES.iter().filter(|scheme| scheme.allowed).map(|scheme| scheme.number).collect();
    let extensions = [&[Request::algorithms(&schemes)], more].concat();
    Request::new(typ, context, &extensions)
}
