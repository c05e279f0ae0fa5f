//! The table of paths in `configuration.md`, held to over sockets in every version: what becomes of each
//! line, and what the backend gets, octet by octet.

use std::sync::{Arc, Mutex};

use countersign_testkit::raw::{self, RawPeer, flag};
use countersign_testkit::raw_h3::{self, RawH3Peer};
use countersign_testkit::{Frame, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{HEAD, Running, tls};

/// RFC 9114, section 8.1: H3_EXCESSIVE_LOAD.
const EXCESSIVE_LOAD: u64 = 0x107;

/// The request targets that a backend got, as they came.
type Targets = Arc<Mutex<Vec<Vec<u8>>>>;

/// A backend that takes nothing apart.
async fn backend() -> (String, Targets) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let targets = Targets::default();
    let kept = Arc::clone(&targets);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&kept)));
        }
    });
    (format!("http://{address}"), targets)
}

async fn answer(mut stream: TcpStream, targets: Targets) -> std::io::Result<()> {
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await? != 0 {
        while let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).collect();
            let line = head.split(|octet| *octet == b'\r').next().unwrap();
            let target = line.strip_prefix(b"GET ").unwrap().strip_suffix(b" HTTP/1.1").unwrap();
            targets.lock().unwrap().push(target.to_vec());
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
    }
    Ok(())
}

/// A line of the table.
#[derive(Debug)]
struct Line {
    /// As it stands there.
    written: String,
    /// The octets that it stands for.
    path: Vec<u8>,
    outcome: String,
    backend: Option<Vec<u8>>,
}

/// `/a<00>` with octets in hexadecimal digits, `<61*70000>` for many of one.
fn octets(written: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('<') {
        octets.extend_from_slice(before.as_bytes());
        let (inside, after) = after.split_once('>').unwrap();
        let (digits, times) = inside.split_once('*').unwrap_or((inside, "1"));
        let octet = u8::from_str_radix(digits, 16).unwrap();
        octets.extend(std::iter::repeat_n(octet, times.parse().unwrap()));
        rest = after;
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}

fn table() -> Vec<Line> {
    let document = include_str!("../../configuration.md");
    let rows = document.lines().skip_while(|line| *line != "| path | outcome | backend gets |");
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [path, outcome, backend] = cells[..] else { panic!("not three cells: {row}") };
        let code = |cell: &str| cell.trim_matches('`').to_owned();
        let written = if path == "(empty)" { String::new() } else { code(path) };
        Line {
            path: octets(&written),
            written,
            outcome: outcome.to_owned(),
            backend: (!backend.is_empty()).then(|| octets(&code(backend))),
        }
    })
    .collect()
}

/// `version` of `outcome`: a status, or none for a request that is no message at all.
fn expected(outcome: &str, version: &str) -> Option<u16> {
    match (outcome, version) {
        ("malformed", "HTTP/1.1") => Some(400),
        ("too long", "HTTP/1.1" | "HTTP/2") => Some(431),
        ("passes", _) | ("absolute", "HTTP/1.1") => Some(200),
        ("malformed" | "absolute" | "too long", _) => None,
        (status, _) => Some(status.parse().unwrap()),
    }
}

async fn over_http1(gateway: &Running, path: &[u8]) -> Option<u16> {
    let mut peer = RawPeer::connect(gateway.address, tls("http/1.1", None)).await;
    let rest = b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // Who finds the beginning too long need not read the end.
    peer.try_send_bytes(&[b"GET ", path, rest].concat()).await;
    let answer = within(peer.rest()).await;
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

/// A string literal of HPACK and QPACK, not Huffman-coded.
fn literal(out: &mut Vec<u8>, value: &[u8]) {
    if value.len() < 127 {
        out.push(u8::try_from(value.len()).unwrap());
    } else {
        out.push(127);
        let mut more = value.len() - 127;
        while more >= 128 {
            out.push(u8::try_from(more % 128).unwrap() | 128);
            more /= 128;
        }
        out.push(u8::try_from(more).unwrap());
    }
    out.extend_from_slice(value);
}

async fn over_http2(gateway: &Running, path: &[u8]) -> Option<u16> {
    // RFC 7541, Appendix A: `:method: GET`, `:scheme: https`, then `:authority` and `:path`.
    let mut section = vec![0x82, 0x87, 0x01];
    literal(&mut section, b"localhost");
    section.push(0x04);
    literal(&mut section, path);
    let mut peer = RawPeer::connect(gateway.address, tls("h2", None)).await;
    within(peer.open(&[])).await;
    let chunks: Vec<_> = section.chunks(16_384).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let (kind, first) = match index {
            0 => (raw::kind::HEADERS, flag::END_STREAM),
            _ => (raw::kind::CONTINUATION, 0),
        };
        let last = if index + 1 == chunks.len() { flag::END_HEADERS } else { 0 };
        let payload = chunk.to_vec().into();
        let frame = Frame { kind, flags: first | last, stream: 1, payload };
        peer.try_send_bytes(&frame.encode()).await;
    }
    within(peer.response(1)).await
}

async fn over_http3(gateway: &Running, path: &[u8], too_long: bool) -> Option<u16> {
    // RFC 9204, Appendix A, the same fields in the same order.
    let mut section = vec![0, 0, 0xd1, 0xd7, 0x50];
    literal(&mut section, b"localhost");
    section.push(0x51);
    literal(&mut section, path);
    let mut peer = RawH3Peer::connect(gateway.address, Arc::unwrap_or_clone(tls("h3", None))).await;
    within(peer.open(&[])).await;
    let headers = raw_h3::Frame::new(raw_h3::kind::HEADERS, section);
    let id = peer.open_request(&headers.encode()).await;
    peer.finish(id).await;
    let response = within(peer.whole_response(id)).await;
    if too_long {
        peer.expect_close(EXCESSIVE_LOAD).await;
    } else {
        // Whatever a path is, it costs its own request at most.
        assert!(peer.connection().close_reason().is_none(), "{}", path.escape_ascii());
    }
    response.map(|(status, _)| status)
}

#[tokio::test]
async fn the_table_in_the_documentation_is_what_happens() {
    let (upstream, targets) = backend().await;
    let routes = ["/", "/admin/"]
        .map(|path| format!("[[routes]]\npath = \"{path}\"\nupstream = \"{upstream}\"\n"));
    let gateway = Running::start(&format!("{HEAD}{}", routes.concat())).await;
    let lines = table();
    assert!(lines.len() > 30, "the table was not found: {lines:?}");
    let mut wrong = Vec::new();
    for line in &lines {
        let got = [
            ("HTTP/1.1", over_http1(&gateway, &line.path).await),
            ("HTTP/2", over_http2(&gateway, &line.path).await),
            ("HTTP/3", over_http3(&gateway, &line.path, line.outcome == "too long").await),
        ];
        for (version, got) in &got {
            if *got != expected(&line.outcome, version) {
                wrong.push(format!("{version} {} is {}: {got:?}", line.written, line.outcome));
            }
        }
        let reached = std::mem::take(&mut *targets.lock().unwrap());
        let passing = got.iter().filter(|(_, got)| *got == Some(200)).count();
        let due = line.backend.iter().flat_map(|target| std::iter::repeat_n(target, passing));
        if !reached.iter().eq(due) {
            let reached: Vec<_> =
                reached.iter().map(|one| one.escape_ascii().to_string()).collect();
            wrong.push(format!("{} reached the backend as {reached:?}", line.written));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
