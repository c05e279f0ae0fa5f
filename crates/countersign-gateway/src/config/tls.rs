//! `[[tls]]`: the server's certificates.

use std::collections::HashMap;
use std::ops::Range;

use countersign::server::ServerCertificate;
use exported_authenticator::Credential;
use rustls::crypto::CryptoProvider;

use super::diagnostic::Source;
use super::files;
use super::keys::{Key, Keys, Kind};
use super::table::{At, Table};
use crate::certificates::Certificate;

pub(super) const KEYS: Keys = &[
    Key::needed("certificate", Kind::File, "PEM file of the certificate chain, leaf first."),
    Key::needed(
        "key",
        Kind::File,
        "PEM file of the certificate's key, or a `pkcs11:` URI (RFC 7512) of a key in a token.",
    ),
];

/// Reads all of them, the default one first.
pub(super) fn read(root: &Table<'_>, provider: &CryptoProvider) -> Option<Vec<Certificate>> {
    let tables = root.tables("tls").unwrap_or_default();
    if tables.is_empty() {
        if root.get("tls").is_none_or(|value| value.get_ref().is_array()) {
            root.missing(
                "tls",
                "[[tls]] with `certificate = \"server.pem\"` and `key = \"server.key\"`",
            );
        }
        return None;
    }
    let mut known = Known::default();
    let read: Vec<_> = tables
        .into_iter()
        .map(|At { value, span }| {
            let line = root.source().line_of(span.start);
            let table = Table::new(root.source(), "[[tls]]", value, span, KEYS);
            let (certificate, place) = one(&table, provider)?;
            known.add(root.source(), &certificate, place, line);
            Some(certificate)
        })
        .collect();
    read.into_iter().collect()
}

/// One of them, and where its certificate is named.
fn one(table: &Table<'_>, provider: &CryptoProvider) -> Option<(Certificate, At<String>)> {
    let file = table.needed("certificate", "certificate = \"server.pem\"");
    let key = table.needed("key", "key = \"server.key\"");
    let (file, key) = (file?, key?);
    let key = files::certified_key(table.source(), &file, &key, provider)?;
    let credential = match Credential::from_certified_key(&key) {
        Ok(credential) => credential,
        Err(error) => {
            table.source().mistake(
                file.span,
                format!("the certificate `{}` cannot be used: {error}", file.value),
                "a certificate that may sign in TLS 1.3".to_owned(),
            );
            return None;
        }
    };
    let names = ServerCertificate::new(credential.clone()).names().to_vec();
    if names.is_empty() {
        table.source().mistake(
            file.span,
            format!("the certificate `{}` is for no host", file.value),
            "a certificate with a dNSName or an iPAddress in its subjectAltName".to_owned(),
        );
        return None;
    }
    let place = At { value: file.value.to_owned(), span: file.span };
    Some((Certificate { key, credential, names }, place))
}

/// The names that were read so far, with the lines of their `[[tls]]`.
#[derive(Default)]
struct Known(HashMap<String, usize>);

impl Known {
    /// Of two certificates for one name, the second would never be served.
    fn add(
        &mut self,
        source: &Source<'_>,
        certificate: &Certificate,
        At { value: file, span }: At<String>,
        line: usize,
    ) {
        let mut repeated: Option<(usize, Vec<&str>)> = None;
        for name in &certificate.names {
            if let Some(earlier) = self.0.get(name) {
                repeated.get_or_insert_with(|| (*earlier, Vec::new())).1.push(name);
            }
        }
        if let Some((earlier, names)) = repeated {
            repeats(source, span, &file, &names, earlier);
        }
        for name in &certificate.names {
            self.0.entry(name.clone()).or_insert(line);
        }
    }
}

fn repeats(source: &Source<'_>, span: Range<usize>, file: &str, names: &[&str], line: usize) {
    source.mistake(
        span,
        format!(
            "the certificate `{file}` is for names that the [[tls]] in line {line} is for: `{}`",
            names.join("`, `")
        ),
        "one certificate for each name; a wildcard and a name that it covers may be in two"
            .to_owned(),
    );
}
