//! The steps that cases against servers have in common.

use std::time::Duration;

use bytes::Bytes;

use super::target::Target;
use crate::authenticator::Request;
use crate::case::{Done, Version, failed, skipped};
use crate::identity::{Identity, Wanted};
use crate::raw::{Arrival, Event, Peer, fields, kind, printable};

/// How many times the usual patience is there for who may let a deadline of its own go by.
const LATE: u32 = 3;

/// Longer than it takes to send what is ready to be sent.
pub(super) const MOMENT: Duration = Duration::from_millis(300);

/// A case's view of the server.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The server.
    pub target: &'a Target,
    /// The version to speak.
    pub version: Version,
}

/// A client that was asked for a credential.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) peer: Peer,
    /// The stream of the request for the path.
    pub(super) stream: u64,
    /// The request that an identity suits; it is the oldest outstanding.
    pub(super) request: Request,
}

impl<'a> Visit<'a> {
    /// What a client that takes part announces.
    pub(super) fn announcing(&self, limit: u64) -> Vec<(u64, u64)> {
        vec![(self.target.points.client_cert_auth.into(), limit)]
    }

    /// A client that has announced `limit` to a server which takes part.
    pub(super) async fn opened(&self, limit: u64) -> Done<Peer> {
        let mut peer = self.connect().await?;
        peer.open(&self.announcing(limit)).await?;
        self.takes_part(&peer)?;
        Ok(peer)
    }

    pub(super) fn takes_part(&self, peer: &Peer) -> Done {
        match peer.setting(self.target.points.client_cert_auth) {
            Some(1..) => Ok(()),
            Some(0) | None => {
                skipped("the server does not announce SETTINGS_HTTP_CLIENT_CERT_AUTH")
            }
        }
    }

    /// A client that has announced support for certificates of servers too.
    pub(super) async fn opened_for_both(&self, limit: u64) -> Done<Peer> {
        let mut peer = self.connect().await?;
        let mut settings = self.announcing(limit);
        settings.push((self.target.points.server_cert_auth.into(), 1));
        peer.open(&settings).await?;
        if peer.setting(self.target.points.server_cert_auth) == Some(1) {
            return Ok(peer);
        }
        skipped("the server does not announce SETTINGS_HTTP_SERVER_CERT_AUTH")
    }

    /// The path with this number among those that need a credential.
    pub(super) fn path(&self, number: usize) -> Done<&'a str> {
        match self.target.paths.get(number) {
            Some(path) => Ok(path),
            None => skipped(format!("it needs {} --path", number + 1)),
        }
    }

    /// A path that needs no credential.
    pub(super) fn public(&self) -> Done<&'a str> {
        match &self.target.public {
            Some(path) => Ok(path),
            None => skipped("it needs --public"),
        }
    }

    /// An identity of the mint.
    pub(super) fn minted(&self, wanted: Wanted) -> Done<Identity> {
        match &self.target.mint {
            Some(mint) => mint.issue(wanted),
            None => skipped("it needs --issuer"),
        }
    }

    /// Sends a GET.
    pub(super) async fn get(&self, peer: &mut Peer, path: &str) -> u64 {
        peer.get(&self.target.authority, path).await
    }

    /// A client that announced 4, asked for the first path and was asked who it is.
    pub(super) async fn challenged(&self) -> Done<Asked> {
        let peer = self.opened(4).await?;
        self.challenged_on(peer, self.path(0)?).await
    }

    /// The same on a connection that is open, for any path.
    pub(super) async fn challenged_on(&self, mut peer: Peer, path: &str) -> Done<Asked> {
        let stream = self.get(&mut peer, path).await;
        loop {
            match self.next(&mut peer, stream).await? {
                Next::Requests(requests) => {
                    // Those before it may be for something else, and have to be answered first.
                    let mut requests = requests.into_iter();
                    for request in requests.by_ref() {
                        if self.suits(&request) {
                            peer.unanswered = requests.collect();
                            return Ok(Asked { peer, stream, request });
                        }
                        peer.decline(&request).await;
                    }
                }
                Next::Response(status) => {
                    return failed(format!(
                        "{path} was answered with {status} and no request that --identity suits"
                    ));
                }
                Next::Ended(how) => return failed(format!("{how} instead of a request")),
            }
        }
    }

    pub(super) fn suits(&self, request: &Request) -> bool {
        self.target.identities.is_empty() || self.find(request).is_some()
    }

    fn find(&self, request: &Request) -> Option<&'a Identity> {
        let (offered, authorities) = (request.schemes(), request.authorities());
        self.target.identities.iter().find(|identity| {
            identity.key.schemes().iter().any(|scheme| offered.contains(scheme))
                && authorities.as_ref().is_none_or(|names| identity.is_below(names))
        })
    }

    /// What the server accepts for a request.
    pub(super) fn identity(&self, request: &Request) -> Done<&'a Identity> {
        match self.find(request) {
            Some(identity) => Ok(identity),
            None => skipped("it needs an --identity that the server accepts for --path"),
        }
    }

    /// The next challenges, or the response on `stream`, or the end.
    pub(super) async fn next(&self, peer: &mut Peer, stream: u64) -> Done<Next> {
        if !peer.unanswered.is_empty() {
            return Ok(Next::Requests(std::mem::take(&mut peer.unanswered)));
        }
        let requests = u64::from(self.target.points.requests);
        loop {
            let event = peer
                .event(|arrival| match arrival {
                    Arrival::Frame { stream: None, kind, .. } => *kind == requests,
                    Arrival::Frame { stream: Some(of), kind, .. } => {
                        *of == stream && *kind == kind::HEADERS
                    }
                    Arrival::StreamEnded(of) => *of == stream,
                    Arrival::ControlEnded | Arrival::Oversized | Arrival::Closed(_) => false,
                })
                .await;
            match event {
                Event::Arrived(Arrival::Frame { stream: None, payload, .. }) => {
                    return Ok(Next::Requests(Request::parse_list(&payload)?));
                }
                Event::Arrived(Arrival::Frame { payload, .. }) => {
                    match fields::status(self.version, &payload) {
                        Some(100..200) => {}
                        Some(status) => return Ok(Next::Response(status)),
                        None => return failed("a response whose status does not decode"),
                    }
                }
                Event::Arrived(
                    Arrival::StreamEnded(_)
                    | Arrival::ControlEnded
                    | Arrival::Oversized
                    | Arrival::Closed(_),
                ) => {
                    return Ok(Next::Ended("the stream ended without a response".to_owned()));
                }
                Event::Closed(end) => return Ok(Next::Ended(peer.tell(&end))),
                Event::Silence => {
                    let patience = peer.patience();
                    return failed(format!("neither a response nor a request within {patience:?}"));
                }
            }
        }
    }

    /// The status on `stream`; whatever is asked meanwhile is answered as the identities allow.
    pub(super) async fn status(&self, peer: &mut Peer, stream: u64) -> Done<u16> {
        loop {
            match self.next(peer, stream).await? {
                Next::Response(status) => return Ok(status),
                Next::Ended(how) => return failed(format!("{how} instead of a response")),
                Next::Requests(requests) => {
                    for request in requests {
                        self.respond_to(peer, request).await?;
                    }
                }
            }
        }
    }

    /// Answers as the identities allow, each once where no certificate in particular is asked for: challenges that
    /// are replaced as they are used would never end.
    async fn respond_to(&self, peer: &mut Peer, request: Request) -> Done {
        if request.authorities().is_some() {
            for kept in std::mem::take(&mut peer.kept_back) {
                peer.decline(&kept).await;
            }
            return match self.find(&request) {
                Some(identity) => peer.answer(&request, identity).await,
                None => {
                    peer.decline(&request).await;
                    Ok(())
                }
            };
        }
        let offered = request.schemes();
        let fresh = self.target.identities.iter().find(|identity| {
            !peer.has_presented(identity)
                && identity.key.schemes().iter().any(|scheme| offered.contains(scheme))
        });
        match fresh {
            Some(identity) => peer.answer(&request, identity).await,
            None => {
                peer.kept_back.push(request);
                Ok(())
            }
        }
    }

    /// The status on `stream`, with nothing asked before it.
    pub(super) async fn status_unasked(&self, peer: &mut Peer, stream: u64) -> Done<u16> {
        match self.next(peer, stream).await? {
            Next::Response(status) => Ok(status),
            Next::Ended(how) => failed(format!("{how} instead of a response")),
            Next::Requests(_) => failed("AUTHENTICATOR_REQUESTS that may not be sent"),
        }
    }

    /// The status on `stream`, with nothing answered before it; challenges may come to be kept.
    pub(super) async fn status_unanswered(&self, peer: &mut Peer, stream: u64) -> Done<u16> {
        loop {
            match self.next(peer, stream).await? {
                Next::Response(status) => return Ok(status),
                Next::Ended(how) => return failed(format!("{how} instead of a response")),
                Next::Requests(_) => {}
            }
        }
    }

    /// The request on `stream` is let in.
    pub(super) async fn granted(&self, peer: &mut Peer, stream: u64) -> Done {
        match self.status(peer, stream).await? {
            200..400 => Ok(()),
            status => {
                let body = self.body(peer, stream).await;
                failed(format!("status {status} instead of success{body}"))
            }
        }
    }

    /// The beginning of a response's body, for people.
    async fn body(&self, peer: &mut Peer, stream: u64) -> String {
        let wanted = |arrival: &Arrival| match arrival {
            Arrival::Frame { stream: Some(of), kind, .. } => *of == stream && *kind == kind::DATA,
            Arrival::StreamEnded(of) => *of == stream,
            Arrival::Frame { stream: None, .. }
            | Arrival::ControlEnded
            | Arrival::Oversized
            | Arrival::Closed(_) => false,
        };
        match peer.event(wanted).await {
            Event::Arrived(Arrival::Frame { payload, .. }) if !payload.is_empty() => {
                let text = String::from_utf8_lossy(&payload);
                format!(": {}", printable(&text.chars().take(200).collect::<String>()))
            }
            Event::Arrived(_) | Event::Closed(_) | Event::Silence => String::new(),
        }
    }

    /// The request on `stream` is answered with an error, or is reset, or the connection ends with an error: whoever falls over
    /// what was sent has not refused it.
    pub(super) async fn refused(&self, peer: &mut Peer, stream: u64) -> Done {
        self.kept_out(peer, stream).await?;
        match peer.ending() {
            Some(end) if end.code.is_none() => failed(peer.tell(end)),
            Some(_) | None => Ok(()),
        }
    }

    /// The request on `stream` is answered with an error, or the connection ends, however it does.
    pub(super) async fn kept_out(&self, peer: &mut Peer, stream: u64) -> Done {
        // A server may say nothing until it has waited for an answer as long as it likes to.
        peer.be_patient(self.target.patience * LATE);
        loop {
            match self.next(peer, stream).await? {
                Next::Ended(_) | Next::Response(400..) => return Ok(()),
                Next::Response(status) => {
                    return failed(format!("status {status}: it was let in"));
                }
                Next::Requests(requests) => {
                    for request in requests {
                        peer.decline(&request).await;
                    }
                }
            }
        }
    }

    /// The request on `stream` is answered with an error, and the connection lives on. Whatever else is asked is declined.
    pub(super) async fn refused_alone(&self, peer: &mut Peer, stream: u64) -> Done {
        loop {
            match self.next(peer, stream).await? {
                Next::Requests(requests) => {
                    for request in requests {
                        peer.decline(&request).await;
                    }
                }
                Next::Response(400..) => return self.lives(peer).await,
                Next::Response(status) => {
                    return failed(format!("status {status}: it was let in"));
                }
                Next::Ended(how) => return failed(how),
            }
        }
    }

    /// The connection takes another request.
    pub(super) async fn lives(&self, peer: &mut Peer) -> Done {
        let path = self.target.public.as_deref().map_or_else(|| self.path(0), Ok)?;
        let stream = self.get(peer, path).await;
        self.status(peer, stream).await.map(|_| ())
    }

    /// The server still accepts connections.
    pub(super) async fn serves_others(&self) -> Done {
        let served = async {
            let mut peer = self.connect().await?;
            peer.open(&[]).await
        };
        match served.await {
            Err(crate::Stop::Failed(reason)) => {
                failed(format!("it does not serve others afterwards: {reason}"))
            }
            other => other,
        }
    }

    /// All of CERTIFICATE's frames so far, which servers may only send in their own right.
    pub(super) fn offered(&self, peer: &mut Peer) -> Option<Bytes> {
        peer.came(self.target.points.server_certificate)
    }
}

/// What a client waits for.
#[derive(Debug)]
pub(super) enum Next {
    Requests(Vec<Request>),
    Response(u16),
    /// The stream or the connection ended, in words.
    Ended(String),
}
