//! TLS to servers: `tls` and `http` of an upstream.

use std::ops::Range;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use toml::de::DeTable;

use super::super::diagnostic::Source;
use super::super::files;
use super::super::keys::{Key, Keys, Kind};
use super::super::table::{At, Table};
use crate::upstream::{Tls, Versions};

pub(super) const KEYS: Keys = &[
    Key::needed("trust", Kind::File, "PEM file of the CA certificates that vouch for servers."),
    Key::new(
        "server_name",
        Kind::Text("^[!-~]+$"),
        "Whom certificates have to be for; without it the URL's host.",
    ),
    Key::new(
        "certificate",
        Kind::File,
        "PEM file of the certificate that servers are shown if they ask; needs `key`.",
    ),
    Key::new("key", Kind::File, "PEM file of its key."),
];

/// `tls` and `http`, of which `https` needs the first and nothing else may have either.
pub(super) fn read(
    table: &Table<'_>,
    is_tls: Option<bool>,
    provider: &Arc<CryptoProvider>,
) -> Option<Option<Tls>> {
    let source = table.source();
    let versions = match table.get("http") {
        Some(_) => table.word(
            "http",
            &[("auto", Versions::Auto), ("1.1", Versions::Http1), ("2", Versions::Http2)],
        ),
        None => Some(Versions::default()),
    };
    if is_tls == Some(false) {
        let mut alone = true;
        for key in ["http", "tls"] {
            if let Some(span) = table.key_span(key) {
                source.mistake(
                    span,
                    format!("`{key}` is for servers with `https`"),
                    "without TLS the scheme says all: `http` is HTTP/1.1, `h2c` is HTTP/2"
                        .to_owned(),
                );
                alone = false;
            }
        }
        return alone.then_some(None);
    }
    let Some(At { value, span }) = table.table("tls") else {
        if is_tls == Some(true) && table.get("tls").is_none() {
            table.missing("tls", "tls = { trust = \"ca.pem\" }");
        }
        return None;
    };
    tls(source, value, span, versions, provider).map(Some)
}

fn tls(
    source: &Source<'_>,
    value: &DeTable<'_>,
    span: Range<usize>,
    versions: Option<Versions>,
    provider: &Arc<CryptoProvider>,
) -> Option<Tls> {
    let table = Table::new(source, "tls", value, span, KEYS);
    let already = source.inputs().len();
    let trust = table.needed("trust", "trust = \"ca.pem\"");
    let trust = trust.and_then(|name| files::trust(source, &name));
    let server_name = match table.get("server_name") {
        Some(_) => server_name(&table).map(Some),
        None => Some(None),
    };
    let own = match (table.get("certificate"), table.get("key")) {
        (None, None) => Some(None),
        _ => {
            let certificate = table.needed("certificate", "certificate = \"gateway.pem\"");
            let key = table.needed("key", "key = \"gateway.key\"");
            certificate
                .zip(key)
                .and_then(|(certificate, key)| {
                    files::certified_key(source, &certificate, &key, provider)
                })
                .map(Some)
        }
    };
    let (versions, trust, server_name, own) = (versions?, trust?, server_name?, own?);
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions();
    let builder = match builder {
        Ok(builder) => builder.with_root_certificates(trust),
        Err(error) => {
            source.mistake(table.span(), format!("TLS cannot be used: {error}"), None);
            return None;
        }
    };
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    let mut http1 = config.clone();
    config.alpn_protocols = versions.alpn();
    http1.alpn_protocols = Versions::Http1.alpn();
    let files = source.inputs().split_off(already);
    Some(Tls { versions, config: Arc::new(config), http1: Arc::new(http1), server_name, files })
}

fn server_name(table: &Table<'_>) -> Option<ServerName<'static>> {
    let At { value, span } = table.string("server_name")?;
    let name = ServerName::try_from(value).ok();
    if name.is_none() {
        table.source().mistake(
            span,
            format!("`{value}` is no name that a certificate could be for"),
            "a host name or an IP address: `backend.example.test`, `10.0.0.1`".to_owned(),
        );
    }
    name.map(|name| name.to_owned())
}
