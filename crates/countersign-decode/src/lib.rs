//! Explains what the extension says: frames, authenticator requests and authenticators, field by field, as bytes or
//! inside of a capture.
//!
//! It reads what it is given as far as that goes, and says where and why it ends there. Of bytes alone nothing is
//! verified: no signature, no MAC, no chain. In a capture whose key log has the exporter's secret, it is said of each
//! authenticator whether it proves what it claims; whether to trust its chain is not for a decoder to say.

pub mod capture;
mod cursor;
mod frames;
mod messages;
pub mod names;
mod proof;
mod story;
mod tree;

pub use self::cursor::Broken;
use self::cursor::Cursor;
use self::tree::Tree;
pub use countersign_proto::CodePoints;

/// What the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Handshake messages of TLS: a request, or an authenticator.
    Messages,
    /// The payload of AUTHENTICATOR_REQUESTS.
    Requests,
    /// Frames of HTTP/2, with or without the client's preface.
    Http2,
    /// Frames of HTTP/3, with or without the type of a control stream before them.
    Http3,
}

impl Form {
    /// The first one that the input fits to its last byte.
    #[must_use]
    pub fn guess(input: &[u8]) -> Option<Self> {
        if input.is_empty() {
            return None;
        }
        type Fit = fn(&[u8]) -> bool;
        let fits: [(Self, Fit); 4] = [
            (Self::Messages, messages::fit),
            (Self::Http2, frames::fit_http2),
            (Self::Requests, messages::requests_fit),
            (Self::Http3, frames::fit_http3),
        ];
        fits.into_iter().find(|(_, fit)| fit(input)).map(|(form, _)| form)
    }
}

/// How to explain.
#[derive(Clone, Debug, Default)]
pub struct Explainer {
    /// The drafts' numbers.
    pub points: CodePoints,
    /// Show values whole, however long they are.
    pub full: bool,
    /// Of captures, show only the extension: its frames, SETTINGS, and how connections end.
    pub extension_only: bool,
}

impl Explainer {
    /// A line for each field, with its place in hexadecimal, as far as the input can be read; and why it cannot be read
    /// further.
    #[must_use]
    pub fn explain(&self, form: Form, input: &[u8]) -> (String, Option<Broken>) {
        let mut tree = Tree::new(self.full);
        let mut cursor = Cursor::new(input);
        let outcome = match form {
            Form::Messages => messages::all(&mut cursor, &mut tree),
            Form::Requests => messages::requests(&mut cursor, &mut tree),
            Form::Http2 => frames::http2(&mut cursor, &mut tree, &self.points),
            Form::Http3 => frames::http3(&mut cursor, &mut tree, &self.points),
        };
        (tree.text(), outcome.err())
    }

    /// What was said over HTTP/2 and HTTP/3 in a capture: a paragraph for each connection.
    #[must_use]
    pub fn explain_capture(&self, capture: &capture::Capture) -> String {
        story::tell(self, capture)
    }
}

#[cfg(test)]
mod tests;
