//! Test vectors: their format, and the generator of the project's own set.
//!
//! Everything in the set comes from the tool's own frames and RFC 9261's formulas; the implementation that the tool is
//! shipped with has no part in it. Keys, certificates and exporter values belong to nobody. `vectors/README.md` describes the
//! fields for readers of the file.

mod accepted;
mod frames;
mod kit;
mod pki;
mod refused;
mod requests;
mod settings;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::kit::Kit;

/// A file of vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The version of the format.
    #[serde(default)]
    pub format: String,
    /// What readers have to know.
    #[serde(default)]
    pub notes: String,
    /// From when to when the certificates that count as current are valid (RFC 3339).
    #[serde(default)]
    pub valid: Option<[String; 2]>,
    /// The cases.
    pub vectors: Vec<Vector>,
}

/// A case, with the fields that its operation needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vector {
    /// Unique in the file.
    pub name: String,
    /// `validate`, `parse_request`, `h2_frame` or `h3_frame`.
    pub op: String,
    /// `ok`, `empty`, or the reasons for a refusal, separated by `|`.
    pub expect: String,
    /// What is special about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The accepted case that this one would be without its one fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub twin: String,
    /// The tag that the exporter values are made of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub connection: String,
    /// `sha256` or `sha384`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// Of `validate`: who sent the authenticator. Of frames: who receives them. `client` or `server`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Handshake Context of the authenticator's sender.
    #[serde(skip_serializing_if = "Hex::is_empty")]
    pub handshake_context: Hex,
    /// Finished MAC Key of the authenticator's sender.
    #[serde(skip_serializing_if = "Hex::is_empty")]
    pub finished_key: Hex,
    /// The request; empty where a server authenticates unasked.
    #[serde(skip_serializing_if = "Hex::is_empty")]
    pub request: Hex,
    /// What was received.
    #[serde(skip_serializing_if = "Hex::is_empty")]
    pub authenticator: Hex,
    /// What the handshake's ClientHello offered, where there is no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_hello: Option<ClientHello>,
    /// Trust anchors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<Hex>,
    /// The name that a server's chain has to be for; without it the chain is judged as a client's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Contexts that were answered on this connection before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_contexts: Vec<Hex>,
    /// Whether an answer with `key_pkcs8` and `chain` is exactly `authenticator`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deterministic: bool,
    /// The key that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pkcs8: Option<Hex>,
    /// The certificates to answer with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Hex>,
    /// What the receiver of frames has announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<Announced>,
    /// The requests that a server sends as soon as it may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outstanding: Vec<Hex>,
    /// What arrives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<Input>,
    /// What comes of it, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// The code that the connection is closed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<u64>,
}

/// What a ClientHello offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// Its signature_algorithms.
    pub signature_algorithms: Vec<u16>,
    /// The types of its extensions.
    pub extensions: Vec<u16>,
}

/// What the receiver of frames has announced, and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// SETTINGS_HTTP_CLIENT_CERT_AUTH; 0 where it is left out.
    pub client_cert_auth: u32,
    /// SETTINGS_HTTP_SERVER_CERT_AUTH; 0 where it is left out.
    pub server_cert_auth: u32,
    /// The longest payload of a frame of the extension that it takes, in bytes.
    pub max_frame_len: u32,
}

/// Bytes that arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where: see [`Place`].
    pub place: Place,
    /// Octets from the first on; over HTTP/3 with the type of a unidirectional stream.
    pub bytes: Hex,
    /// Whether the stream ends behind them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fin: bool,
}

/// Where bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// HTTP/2: the connection, with a client's preface.
    Connection,
    /// HTTP/3: a new unidirectional stream.
    Unidirectional,
    /// HTTP/3: a new bidirectional stream of a client.
    Request,
    /// HTTP/3: the server's half of a request that the receiving client has made.
    Response,
}

/// What comes of frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// SETTINGS of the peer arrived, and this may be used from now on.
    Settings {
        /// AUTHENTICATOR_REQUESTS and a client's CERTIFICATE.
        client_certificates: bool,
        /// SERVER_CERTIFICATE.
        server_certificates: bool,
    },
    /// A client got a request.
    Request {
        /// Its certificate_request_context.
        context: Hex,
        /// Its handshake type.
        message_type: u8,
    },
    /// A server got an empty authenticator.
    Declined {
        /// The request's context.
        context: Hex,
    },
    /// A server got a valid authenticator; whether the chain is acceptable is left open.
    Proven {
        /// The request's context.
        context: Hex,
        /// How many certificates are in it.
        certificates: usize,
    },
    /// A client got a server's valid authenticator.
    ServerCertificate {
        /// Its context.
        context: Hex,
        /// How many certificates are in it.
        certificates: usize,
    },
}

/// Bytes that are written in hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex(pub Vec<u8>);

impl Hex {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl From<Vec<u8>> for Hex {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Hex {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex::encode(hex.0)
    }
}

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl Vector {
    /// Whether it is to be accepted.
    pub fn is_accepted(&self) -> bool {
        matches!(self.expect.as_str(), "ok" | "empty")
    }

    /// Whether `reason` is among the reasons that it may be refused for.
    pub fn expects(&self, reason: &str) -> bool {
        self.expect.split('|').any(|one| one == reason)
    }
}

const NOTES: &str = "Made by `countersign conform vectors --generate`; vectors/README.md describes the fields. Keys, certificates and \
    exporter values are synthetic: a value is the beginning of SHA-512(\"countersign vectors \" || connection || \" \" || label).";

/// A new set.
///
/// # Errors
/// Says which key or certificate could not be made.
pub fn generate() -> Result<File, String> {
    let kit = Kit::new()?;
    let mut vectors = accepted::vectors(&kit)?;
    vectors.extend(refused::vectors(&kit)?);
    vectors.extend(requests::vectors());
    vectors.extend(settings::vectors());
    vectors.extend(frames::vectors(&kit)?);
    let year = |(year, month, day): (i32, u8, u8)| format!("{year}-{month:02}-{day:02}T00:00:00Z");
    Ok(File {
        format: "2".to_owned(),
        notes: NOTES.to_owned(),
        valid: Some([year(pki::VALID_FROM), year(pki::VALID_UNTIL)]),
        vectors,
    })
}

impl File {
    /// JSON with one vector on each line.
    ///
    /// # Errors
    /// Never in practice: nothing in it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let line = |vector: &Vector| serde_json::to_string(vector);
        let vectors = self.vectors.iter().map(line).collect::<Result<Vec<_>, _>>()?.join(",\n");
        Ok(format!(
            "{{\"format\":{},\n\"notes\":{},\n\"valid\":{},\n\"vectors\":[\n{vectors}\n]}}\n",
            serde_json::to_string(&self.format)?,
            serde_json::to_string(&self.notes)?,
            serde_json::to_string(&self.valid)?,
        ))
    }
}

#[cfg(test)]
mod tests;
