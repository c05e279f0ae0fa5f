//! The seam between a transport, which routes frames, and the rules, which it does not know.
//!
//! A transport (the tap under an HTTP/2 stack, the QUIC backend of an HTTP/3 stack) holds one
//! [`Link`] per connection. It adds [`Link::local_settings`] to its SETTINGS, hands over the settings and
//! frames it receives, and asks [`Link::poll_transmit`] what to send. All methods are cheap and never
//! block; expensive work (signatures) happens elsewhere and comes back through `poll_transmit`.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{CodePoints, FrameKind, Role, Setting, Violation};

/// A frame of the extension, ready to be framed by the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which frame.
    pub kind: FrameKind,
    /// Its payload, without the transport's frame header.
    pub payload: Bytes,
}

/// What a transport has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A frame on stream 0, or on the control stream.
    Frame(Frame),
    /// A further SETTINGS frame with these entries (HTTP/2 only). The transport reports the peer's
    /// acknowledgement with [`Link::settings_acked`] and hides it from the stack above.
    Settings(Vec<Setting>),
    /// Close the connection: the peer broke this rule.
    Close(Violation),
}

/// Where the transport met a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Stream 0 of HTTP/2, the control stream of HTTP/3.
    Control,
    /// Any other stream.
    Stream(u64),
}

/// How a connection ended, as far as the transport knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer broke a rule and we ended the connection.
    Violation(Violation),
    /// The transport ended, for any other reason.
    Transport,
}

/// One connection's rules, as a transport sees them.
pub trait Link: Send + Sync + 'static {
    /// The side of the connection that we are.
    fn role(&self) -> Role;

    /// The numbers of the extension's settings, frames and errors.
    fn code_points(&self) -> CodePoints;

    /// The entries to add to the first SETTINGS that this endpoint sends; may be empty.
    fn local_settings(&self) -> Vec<Setting>;

    /// The longest payload, in bytes, that is accepted for one of the extension's frames. The
    /// transport's own limit (SETTINGS_MAX_FRAME_SIZE as announced) applies besides.
    fn max_frame_len(&self) -> usize;

    /// Our first SETTINGS, with [`Link::local_settings`] in it, has been handed to the connection.
    fn settings_sent(&self);

    /// The peer has acknowledged the oldest unacknowledged of our SETTINGS that carried entries of
    /// the extension: first the initial one, then those from [`Transmit::Settings`].
    fn settings_acked(&self);

    /// The peer's SETTINGS frame, whole. Called for each SETTINGS (not for acknowledgements), with
    /// all its entries, those of the extension and others, in their order.
    fn peer_settings(&self, settings: &[Setting]) -> Result<(), Violation>;

    /// The header of one of the extension's frames has arrived, its payload not yet. Called before
    /// anything is buffered; on an error nothing of the payload may be read.
    fn frame_header(&self, kind: FrameKind, place: Place, len: u64) -> Result<(), Violation>;

    /// One of the extension's frames, whole, after [`Link::frame_header`] accepted it.
    fn frame(&self, kind: FrameKind, payload: Bytes) -> Result<(), Violation>;

    /// The payload of an ORIGIN frame (RFC 8336; RFC 9412), whole. Called on clients only, for frames on
    /// the control stream that are not longer than [`Link::max_frame_len`]; the stack above gets them too.
    fn origin(&self, _payload: &Bytes) {}

    /// What to send next. `max_payload` is the longest frame payload the peer accepts, in bytes.
    ///
    /// `Pending` means that there is nothing to send; the waker is kept and woken when there is. May
    /// be called at any time, also before SETTINGS went out: nothing that needs the peer's support
    /// is returned before both sides have announced it.
    fn poll_transmit(&self, cx: &mut Context<'_>, max_payload: usize) -> Poll<Transmit>;

    /// The connection is over, or can no longer be used for the extension. Called at least once, by
    /// the transport's `Drop` at the latest; only the first call counts.
    fn closed(&self, how: Closed);
}
