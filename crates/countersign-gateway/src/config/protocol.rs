//! `[protocol]`: the numbers that the drafts leave open.

use countersign_proto::CodePoints;
use exported_authenticator::MessageType;

use super::keys::{Key, Keys, Kind};
use super::table::{At, Table};

/// `[protocol]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// The numbers that the drafts leave open.
    pub(crate) code_points: CodePoints,
    /// Which handshake message a challenge is.
    pub(crate) message_type: MessageType,
}

const SETTING: Kind = Kind::Integer(1, u16::MAX as u32);
const FRAME: Kind = Kind::Integer(1, u8::MAX as u32);

pub(super) const KEYS: Keys = &[
    Key::default(
        "settings_client_cert_auth",
        SETTING,
        "65292",
        "The setting that announces client certificates.",
    ),
    Key::default(
        "settings_server_cert_auth",
        SETTING,
        "65293",
        "The setting that announces server certificates.",
    ),
    Key::default("frame_authenticator_requests", FRAME, "245", "The frame of challenges."),
    Key::default("frame_certificate", FRAME, "246", "The frame of client certificates."),
    Key::default("frame_server_certificate", FRAME, "246", "The frame of server certificates."),
    Key::default(
        "error_server_certificate_invalid",
        Kind::Integer(1, u32::MAX),
        "65294",
        "The error of a server certificate that is not valid.",
    ),
    Key::default(
        "message_type",
        Kind::Numbers(&[17, 13]),
        "17",
        "The type of challenges: ClientCertificateRequest or CertificateRequest.",
    ),
];

/// Reads the table, if it is there.
pub(super) fn read(root: &Table<'_>) -> Option<Protocol> {
    let default = CodePoints::default();
    let message_type = MessageType::ClientCertificateRequest;
    let Some(At { value, span }) = root.table("protocol") else {
        let absent = root.get("protocol").is_none();
        return absent.then_some(Protocol { code_points: default, message_type });
    };
    let source = root.source();
    let table = Table::new(source, "[protocol]", value, span, KEYS);
    let number = |key: &str, default: u32| match table.get(key) {
        Some(_) => table.integer(key).map(|number| number.value),
        None => Some(default),
    };
    let setting = |key, default: u16| {
        number(key, default.into()).and_then(|number| u16::try_from(number).ok())
    };
    let frame =
        |key, default: u8| number(key, default.into()).and_then(|number| u8::try_from(number).ok());
    let client = setting("settings_client_cert_auth", default.settings_client_cert_auth);
    let server = setting("settings_server_cert_auth", default.settings_server_cert_auth);
    let requests = frame("frame_authenticator_requests", default.frame_authenticator_requests);
    let certificate = frame("frame_certificate", default.frame_certificate);
    let server_certificate = frame("frame_server_certificate", default.frame_server_certificate);
    let error =
        number("error_server_certificate_invalid", default.error_server_certificate_invalid);
    let message_type = match table.integer("message_type") {
        None if table.get("message_type").is_some() => None,
        None => Some(message_type),
        Some(At { value: 17, .. }) => Some(MessageType::ClientCertificateRequest),
        Some(At { value: 13, .. }) => Some(MessageType::CertificateRequest),
        Some(At { value, span }) => {
            source.mistake(
                span,
                format!("`{value}` is no value of `message_type`"),
                "17 (ClientCertificateRequest, as the draft says) or 13 (CertificateRequest)"
                    .to_owned(),
            );
            None
        }
    };
    let code_points = CodePoints {
        settings_client_cert_auth: client?,
        settings_server_cert_auth: server?,
        frame_authenticator_requests: requests?,
        frame_certificate: certificate?,
        frame_server_certificate: server_certificate?,
        error_server_certificate_invalid: error?,
    };
    if let Err(error) = code_points.check() {
        source.mistake(table.span(), format!("these code points cannot be used: {error}"), None);
        return None;
    }
    Some(Protocol { code_points, message_type: message_type? })
}
