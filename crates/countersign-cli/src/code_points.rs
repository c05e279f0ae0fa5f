//! The code points as options, the same for every command that speaks the extension.

use clap::Args;
use countersign::CodePoints;

use crate::failure::{Exit, Failure};

/// The drafts have no numbers assigned yet; both ends have to use the same.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Code points (decimal or 0x hexadecimal)")]
pub(crate) struct CodePointArgs {
    /// Setting SETTINGS_HTTP_CLIENT_CERT_AUTH [default: 0xff0c]
    #[arg(long, value_name = "N", value_parser = number::<u16>)]
    settings_client_cert_auth: Option<u16>,
    /// Setting SETTINGS_HTTP_SERVER_CERT_AUTH [default: 0xff0d]
    #[arg(long, value_name = "N", value_parser = number::<u16>)]
    settings_server_cert_auth: Option<u16>,
    /// Frame type AUTHENTICATOR_REQUESTS [default: 0xf5]
    #[arg(long, value_name = "N", value_parser = number::<u8>)]
    frame_authenticator_requests: Option<u8>,
    /// Frame type CERTIFICATE, client to server [default: 0xf6]
    #[arg(long, value_name = "N", value_parser = number::<u8>)]
    frame_certificate: Option<u8>,
    /// Frame type SERVER_CERTIFICATE, server to client [default: 0xf6]
    #[arg(long, value_name = "N", value_parser = number::<u8>)]
    frame_server_certificate: Option<u8>,
    /// Error code SERVER_CERTIFICATE_INVALID [default: 0xff0e]
    #[arg(long, value_name = "N", value_parser = number::<u32>)]
    error_server_certificate_invalid: Option<u32>,
}

impl CodePointArgs {
    /// The defaults with what was given, checked.
    pub(crate) fn code_points(&self) -> Result<CodePoints, Failure> {
        let default = CodePoints::default();
        let points = CodePoints {
            settings_client_cert_auth: self
                .settings_client_cert_auth
                .unwrap_or(default.settings_client_cert_auth),
            settings_server_cert_auth: self
                .settings_server_cert_auth
                .unwrap_or(default.settings_server_cert_auth),
            frame_authenticator_requests: self
                .frame_authenticator_requests
                .unwrap_or(default.frame_authenticator_requests),
            frame_certificate: self.frame_certificate.unwrap_or(default.frame_certificate),
            frame_server_certificate: self
                .frame_server_certificate
                .unwrap_or(default.frame_server_certificate),
            error_server_certificate_invalid: self
                .error_server_certificate_invalid
                .unwrap_or(default.error_server_certificate_invalid),
        };
        points.check().map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(points)
    }
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = parsed.map_err(|_| "write it like 245 or 0xf5".to_owned())?;
    T::try_from(number)
        .map_err(|_| format!("it has to fit into {} bits", std::mem::size_of::<T>() * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number::<u8>("0xF5"), Ok(0xf5));
        assert_eq!(number::<u16>("245"), Ok(245));
        assert!(number::<u8>("0x100").is_err());
        assert!(number::<u8>("f5").is_err());
        assert!(number::<u8>("-1").is_err());
    }

    #[test]
    fn clashes_are_refused() {
        let args = CodePointArgs { frame_certificate: Some(0xf5), ..CodePointArgs::default() };
        assert!(args.code_points().is_err());
        assert_eq!(CodePointArgs::default().code_points().unwrap(), CodePoints::default());
    }
}
