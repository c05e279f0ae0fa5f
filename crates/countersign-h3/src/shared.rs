//! What the parts of one connection share, and how it ends.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_proto::ErrorCode;
use countersign_proto::link::{Closed, Link};
use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};
use quinn::VarInt;

use crate::error::{self, H3_NO_ERROR, PeerError};
use crate::exporter::handshake_complete;
use crate::frames::Rules;
use crate::outbound::Outbox;

/// How long an error waits for the confirmation of the handshake, at most.
const CONFIRMATION: Duration = Duration::from_secs(3);
/// How often the confirmation is looked for; quinn has no event for it.
const CONFIRMATION_INTERVAL: Duration = Duration::from_millis(5);

/// One connection, for everything that belongs to it, the task of its control stream included.
pub(crate) struct Shared<L: Link + ?Sized> {
    pub(crate) quic: quinn::Connection,
    pub(crate) rules: Rules<L>,
    pub(crate) outbox: Outbox,
    /// The peer's control stream was found.
    pub(crate) control_seen: AtomicBool,
    /// Ours was opened.
    pub(crate) control_opened: AtomicBool,
    failure: OnceLock<PeerError>,
}

impl<L: Link + ?Sized> Shared<L> {
    pub(crate) fn new(quic: quinn::Connection, rules: Rules<L>) -> Self {
        Self {
            quic,
            rules,
            outbox: Outbox::default(),
            control_seen: AtomicBool::new(false),
            control_opened: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// Ends the connection because of what the peer did, and says so to the stack.
    #[cold]
    pub(crate) fn fail(&self, reason: PeerError) -> ConnectionErrorIncoming {
        if self.failure.set(reason).is_ok() {
            tracing::debug!(%reason, "closing the connection");
            self.rules.link.closed(match reason {
                PeerError::Violation(violation) => Closed::Violation(violation),
                PeerError::MissingSettings
                | PeerError::MalformedSettings
                | PeerError::RepeatedSetting
                | PeerError::FrameTooLong
                | PeerError::TruncatedFrame
                | PeerError::ControlStreamStopped => Closed::Transport,
            });
            self.close_when_confirmed(
                reason.code(&self.rules.points),
                reason.to_string().into_bytes(),
            );
            self.outbox.end();
        }
        self.error()
    }

    /// The same on a stream.
    pub(crate) fn fail_stream(&self, reason: PeerError) -> StreamErrorIncoming {
        error::on_stream(self.fail(reason))
    }

    /// Closes the connection for the stack, unless it is being closed.
    pub(crate) fn close(&self, code: ErrorCode, reason: &[u8]) {
        if self.failure.get().is_none() {
            self.rules.link.closed(Closed::Transport);
            self.close_when_confirmed(code, reason.to_vec());
        }
    }

    /// Nothing is sent for the link or the stack on the control stream any more.
    pub(crate) fn end(&self) {
        self.rules.link.closed(Closed::Transport);
        self.outbox.end();
    }

    /// Fails once the connection is to be closed, even if that waits for something.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), ConnectionErrorIncoming> {
        match self.failure.get() {
            None => Ok(()),
            Some(_) => Err(self.error()),
        }
    }

    /// Why the connection ended.
    pub(crate) fn error(&self) -> ConnectionErrorIncoming {
        match (self.failure.get(), self.quic.close_reason()) {
            (Some(reason), _) => ConnectionErrorIncoming::Undefined(Arc::new(*reason)),
            (None, Some(error)) => error::connection_error(error),
            (None, None) => error::internal("the control stream has ended"),
        }
    }

    /// An error of quinn's, for the stack; what we did ourselves explains it better.
    pub(crate) fn translate(&self, error: quinn::ConnectionError) -> ConnectionErrorIncoming {
        match self.failure.get() {
            Some(_) => self.error(),
            None => error::connection_error(error),
        }
    }

    /// Before the handshake is confirmed, the peer may be unable to read 1-RTT packets, and in the
    /// others an error of the application must not be named (RFC 9000, section 10.2.3).
    //= specs/client-certs.md#decisions-bad
    //# (ours) In HTTP/3 an error found before the handshake is confirmed MUST wait for the
    //# confirmation.
    fn close_when_confirmed(&self, code: ErrorCode, reason: Vec<u8>) {
        if self.quic.close_reason().is_some() {
            // quinn would forget the peer's reason.
            return;
        }
        let code = VarInt::from_u64(code.0).unwrap_or(VarInt::MAX);
        let quic = self.quic.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !is_confirmed(&quic) => {
                runtime.spawn(async move {
                    // Whatever comes first, the connection is closed then.
                    let _ = tokio::time::timeout(CONFIRMATION, confirmation(&quic)).await;
                    quic.close(code, &reason);
                });
            }
            Ok(_) | Err(_) => quic.close(code, &reason),
        }
    }
}

/// Whether the handshake is confirmed (RFC 9001, section 4.1.2): for a server when it is complete, for
/// a client with the server's HANDSHAKE_DONE.
fn is_confirmed(quic: &quinn::Connection) -> bool {
    match quic.side() {
        quinn::Side::Server => handshake_complete(quic),
        quinn::Side::Client => quic.stats().frame_rx.handshake_done > 0,
    }
}

async fn confirmation(quic: &quinn::Connection) {
    let mut interval = tokio::time::interval(CONFIRMATION_INTERVAL);
    while !is_confirmed(quic) && quic.close_reason().is_none() {
        interval.tick().await;
    }
}

/// Held by the connection and its streams: the last one closes the connection.
pub(crate) struct Core<L: Link + ?Sized>(pub(crate) Arc<Shared<L>>);

impl<L: Link + ?Sized> std::ops::Deref for Core<L> {
    type Target = Shared<L>;

    fn deref(&self) -> &Shared<L> {
        &self.0
    }
}

impl<L: Link + ?Sized> Drop for Core<L> {
    fn drop(&mut self) {
        // The task of the control stream would keep the connection open.
        self.close(H3_NO_ERROR, b"");
        self.end();
    }
}
