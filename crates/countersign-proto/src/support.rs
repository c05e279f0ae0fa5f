//! Whether the extension may be used: who has announced what (client draft, section 3), and what a
//! frame's header alone gives away.

use crate::link::Place;
use crate::{CodePoints, FrameKind, Role, Setting, Violation};

/// What the peer has announced in its SETTINGS so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSettings {
    /// SETTINGS_HTTP_CLIENT_CERT_AUTH: a client's limit, a server's confirmation.
    pub client_cert_auth: Option<u64>,
    /// SETTINGS_HTTP_SERVER_CERT_AUTH.
    pub server_cert_auth: Option<u64>,
    /// Whether a SETTINGS frame has arrived at all.
    pub received: bool,
}

impl PeerSettings {
    /// Takes in one SETTINGS frame. The last of several entries counts, but none may take back what
    /// was announced.
    pub(crate) fn update(
        &mut self,
        points: &CodePoints,
        settings: &[Setting],
    ) -> Result<(), Violation> {
        self.received = true;
        for setting in settings {
            if setting.id == u64::from(points.settings_client_cert_auth) {
                //= specs/client-certs.md#section-3.1
                //# Support that has been announced MUST count as enabled until the connection ends.
                if setting.value == 0 && self.supports_client_auth() {
                    return Err(Violation::SettingTakenBack);
                }
                self.client_cert_auth = Some(setting.value);
            } else if setting.id == u64::from(points.settings_server_cert_auth) {
                let taken_back = setting.value == 0 && self.supports_server_certificates();
                //= specs/server-certs.md#section-4.1
                //# In HTTP/2 the value of the setting MUST NOT be other than 0 or 1.
                //= specs/server-certs.md#section-4.2
                //# In HTTP/3 the value of the setting MUST NOT be other than 0 or 1.
                //= specs/server-certs.md#decisions
                //# (ours) A value of the setting other than 0 or 1 MUST be a connection error,
                //# PROTOCOL_ERROR in HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
                //= specs/server-certs.md#decisions
                //# (ours) A setting that goes back from 1 to 0 MUST be a connection error,
                //# PROTOCOL_ERROR in HTTP/2 and H3_SETTINGS_ERROR in HTTP/3.
                if setting.value > 1 || taken_back {
                    return Err(Violation::ServerCertSetting);
                }
                self.server_cert_auth = Some(setting.value);
            }
        }
        Ok(())
    }

    /// Any value but 0 announces support.
    pub fn supports_client_auth(&self) -> bool {
        //= specs/client-certs.md#section-3.1
        //# A client's value of zero MUST be understood as no support.
        //= specs/client-certs.md#section-6.3
        //# In HTTP/2 a setting that was never received MUST count as 0.
        //= specs/client-certs.md#section-6.4
        //# In HTTP/3 a setting that is absent MUST count as 0.
        //= specs/client-certs.md#decisions-limits
        //# (ours) A server's setting greater than 1 MUST count as support.
        self.client_cert_auth.unwrap_or(0) > 0
    }

    /// Whether the peer has announced support for secondary certificates of servers.
    pub fn supports_server_certificates(&self) -> bool {
        //= specs/server-certs.md#section-8.2
        //# In HTTP/2 a SETTINGS_HTTP_SERVER_CERT_AUTH that was never received MUST count as 0.
        //= specs/server-certs.md#section-8.2
        //# In HTTP/3 a SETTINGS_HTTP_SERVER_CERT_AUTH that is absent MUST count as 0.
        self.server_cert_auth == Some(1)
    }
}

/// What both endpoints have announced support for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Negotiated {
    pub(crate) client_auth: bool,
    pub(crate) server_certificates: bool,
}

/// Checks what can be known from the header of a frame that `receiver` gets.
pub(crate) fn check_header(
    receiver: Role,
    kind: FrameKind,
    place: Place,
    negotiated: Negotiated,
) -> Result<(), Violation> {
    match (kind, receiver) {
        (FrameKind::AuthenticatorRequests, Role::Server) => {
            //= specs/client-certs.md#section-4.1.1
            //# A server that receives this HTTP/2 frame on whatever stream MUST treat that as a
            //# connection error PROTOCOL_ERROR.
            return Err(Violation::RequestsFromClient);
        }
        (FrameKind::ServerCertificate, Role::Server) => {
            //= specs/server-certs.md#section-3.2
            //# A server that receives SERVER_CERTIFICATE MUST close the connection.
            //= specs/server-certs.md#decisions
            //# (ours) SERVER_CERTIFICATE from a client MUST be a connection error, PROTOCOL_ERROR
            //# in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
            return Err(Violation::ServerCertificateFromClient);
        }
        (FrameKind::Certificate, Role::Client) => return Err(Violation::CertificateFromServer),
        (FrameKind::AuthenticatorRequests | FrameKind::ServerCertificate, Role::Client)
        | (FrameKind::Certificate, Role::Server) => {}
    }
    if place != Place::Control {
        //= specs/client-certs.md#section-4.1.1
        //# A client that receives this HTTP/2 frame on another stream than 0 MUST treat that as a
        //# connection error PROTOCOL_ERROR.
        //= specs/server-certs.md#section-5.1
        //# In HTTP/2 a SERVER_CERTIFICATE on another stream than 0 MUST be treated as a connection
        //# error.
        //= specs/server-certs.md#decisions
        //# (ours) SERVER_CERTIFICATE on a wrong stream MUST be a connection error, PROTOCOL_ERROR
        //# in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
        //= specs/client-certs.md#section-4.2
        //# A server MUST treat CERTIFICATE on another stream as a connection error.
        return Err(Violation::WrongStream);
    }
    match kind {
        FrameKind::ServerCertificate if negotiated.server_certificates => Ok(()),
        //= specs/server-certs.md#decisions
        //# (ours) SERVER_CERTIFICATE without negotiation MUST be a connection error, PROTOCOL_ERROR
        //# in HTTP/2 and H3_FRAME_UNEXPECTED in HTTP/3.
        FrameKind::ServerCertificate => Err(Violation::ServerCertificateNotNegotiated),
        FrameKind::AuthenticatorRequests | FrameKind::Certificate if negotiated.client_auth => {
            Ok(())
        }
        //= specs/exported-authenticators.md#section-1
        //# The protocol that carries authenticators MUST bring its own means to announce support
        //# and to deal with failures.
        FrameKind::AuthenticatorRequests | FrameKind::Certificate => Err(Violation::NotNegotiated),
    }
}
