//! The document that lists all cases.

use std::fmt::Write as _;

use crate::case::{About, Level, Over};
use crate::report::markdown;
use crate::{against_client, against_server};

const INTRODUCTION: &str = "\
# Conformance

`countersign conform` tests any implementation of the two drafts and of exported authenticators (RFC 9261), over HTTP/2 and
HTTP/3: a server by visiting it, a client by being visited. Its frames and its authenticators are its own; it shares
no code of the protocol with the implementation in this repository.

This file is made by `countersign conform list --markdown`; a test compares the two.

## A server

```sh
countersign conform server localhost:8443 --cacert server-ca.pem --public /public/ \\
    --path /device/ --identity device.pem,device.key --path /user/ --identity alice.pem,alice.key \\
    --reject revoked.pem,revoked.key --issuer device-ca.pem,device-ca.key --junit report.xml
```

These are the files of `countersign pki init DIR`, and the routes of the gateway.toml beside them.

Each `--path` needs one credential that one `--identity` is, and asks for it when it is requested. `--public` needs none. With
`--issuer`, an authority whose certificates the first path accepts, the tool makes identities of every kind: every signature
scheme, long and post-quantum chains, expired ones. `--reject` is what the first path must not accept. Cases that need what
was not given are skipped, and say what they need.

## A client

```sh
countersign conform client --listen 127.0.0.1:0 --write-ca ca.pem \\
    --command 'exec my-client {http} --cacert ca.pem --identity alice.pem,alice.key {url} {further}'
```

The command is started for each case, for some cases several times, and has to send one GET to the URL over one connection;
`{http}` is `--http2` or `--http3`. It may be killed when the case is over. Where the command has `{further}`, this is the URL of
a second origin in a few cases, to be fetched after the response to the first, and nothing in all others: it shows what a further
certificate counts for. The client has to do without DNS for it. Without `--command` the URLs are printed for somebody to visit. The client should have an
identity to present and take at least four requests at a time.

## Verdicts

A case passes, fails, or is skipped with the reason. The exit code is 1 if any case fails. `MUST` and `SHOULD` are those of the
document that the id names; `robustness` is what no document demands, but whoever fails it is fragile. A connection error
is one that is told, with its code in GOAWAY or CONNECTION_CLOSE: a connection that just ends may be one that fell over. An id is
`DOCUMENT/SECTION/NUMBER`:

| document | is |
| --- | --- |
| `client` | draft-rosomakho-httpbis-secondary-client-certs-00 |
| `server` | draft-ietf-httpbis-secondary-server-certs |
| `rfc9261` | exported authenticators |
| `rfc8336` | ORIGIN, in HTTP/3 with RFC 9412 |
| `http2`, `http3` | RFC 9113, RFC 9114 |

`--only ID` runs one case, `--http2` or `--http3` one version; `--json` prints an object per case, `--junit FILE` writes JUnit's XML.
`SSLKEYLOGFILE` works, to look at a case with Wireshark.
";

const NOT_TRIED: &str = "
## Not tried

| rule | why |
| --- | --- |
| RFC 9261, section 5.1: with TLS 1.2, authenticators need the extended master secret | rustls, which the tool makes connections with, always has it |
| RFC 9261, section 9: a server waits for the client's Finished before it sends an authenticator | the tool sends no early data, so that nothing can be sent back before its Finished |
";

/// The whole document, in Markdown.
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    section(&mut text, "Cases against servers", against_server::cases().map(|case| &case.about));
    section(&mut text, "Cases against clients", against_client::cases().map(|case| &case.about));
    text.push_str(NOT_TRIED);
    text
}

fn section<'a>(text: &mut String, title: &str, cases: impl Iterator<Item = &'a About>) {
    let cases: Vec<_> = cases.collect();
    let count = |wanted: fn(&About) -> bool| cases.iter().filter(|case| wanted(case)).count();
    let _ = write!(
        text,
        "\n## {title}\n\n{} cases: {} MUST, {} SHOULD, {} robustness. {} are for both versions, {} for HTTP/2 alone, {} for \
         HTTP/3 alone.\n\n",
        cases.len(),
        count(|case| case.level == Level::Must),
        count(|case| case.level == Level::Should),
        count(|case| case.level == Level::Robustness),
        count(|case| case.over == Over::Both),
        count(|case| case.over == Over::Http2),
        count(|case| case.over == Over::Http3),
    );
    text.push_str(&markdown(cases.iter().copied()));
}
