//! What peers get that write what they should not: the code in CONNECTION_CLOSE, as they see it.

#![cfg(test)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use countersign_h3::{Connection, PeerError};
use countersign_proto::link::{Closed, Link, Place};
use countersign_proto::{CodePoints, FrameKind, Role, Violation};
use support::mock::{Event, MockLink, OURS};
use support::quic::{
    Net, Options, closed_with, code, connect, control, frame, open_bi, open_uni, settings, varints,
};
use support::stacks::{client, pattern, serve, server};
use support::within;

const H3_STREAM_CREATION_ERROR: u64 = 0x103;
const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
const H3_FRAME_UNEXPECTED: u64 = 0x105;
const H3_FRAME_ERROR: u64 = 0x106;
const H3_EXCESSIVE_LOAD: u64 = 0x107;
const H3_SETTINGS_ERROR: u64 = 0x109;
const H3_MISSING_SETTINGS: u64 = 0x10a;
const H3_MESSAGE_ERROR: u64 = 0x10e;

const REQUESTS: u64 = 0xf5;
const CERTIFICATE: u64 = 0xf6;
const GIBIBYTE: u64 = 1 << 30;

/// A server with the stock stack, and a client that writes what it is told to.
struct Victim {
    /// Keeps the endpoints.
    _net: Net,
    quic: quinn::Connection,
    link: Arc<MockLink>,
    serving: tokio::task::JoinHandle<Option<h3::error::ConnectionError>>,
}

impl Victim {
    async fn new() -> Self {
        let (net, quic, server_quic) = connect(&Options::default()).await;
        let link = Arc::new(MockLink::new(Role::Server));
        let serving = serve(server(server_quic, &link).await);
        Self { _net: net, quic, link, serving }
    }

    /// The code that the connection was closed with, which the link and the stack have heard of too.
    async fn code(self) -> u64 {
        let (code, _) = closed_with(&self.quic).await;
        self.link
            .until(|events| events.iter().any(|event| matches!(event, Event::Closed(_))))
            .await;
        assert!(self.serving.await.unwrap().is_some(), "the stack noticed nothing");
        code
    }
}

/// What the client's control stream is answered with.
async fn control_gets(bytes: &[u8]) -> u64 {
    let victim = Victim::new().await;
    let _stream = open_uni(&victim.quic, bytes).await;
    victim.code().await
}

#[tokio::test]
async fn control_streams() {
    //= specs/client-certs.md#decisions-limits
    //= type=test
    //# (ours) A second SETTINGS frame in HTTP/3 MUST be a connection error H3_FRAME_UNEXPECTED.
    //= specs/client-certs.md#decisions-frames
    //= type=test
    //# (ours) A frame over the accepted size MUST be a connection error at its header, before any of
    //# it is buffered, FRAME_SIZE_ERROR in HTTP/2 and H3_EXCESSIVE_LOAD in HTTP/3.
    let settled = |rest: &[u8]| [control(&[OURS]), rest.to_vec()].concat();
    let cases = [
        (
            "our frame before SETTINGS",
            [vec![0], frame(CERTIFICATE, b"x")].concat(),
            H3_MISSING_SETTINGS,
        ),
        ("DATA before SETTINGS", [vec![0], frame(0x0, b"")].concat(), H3_MISSING_SETTINGS),
        ("GREASE before SETTINGS", [vec![0], frame(0x21, b"")].concat(), H3_MISSING_SETTINGS),
        ("a setting twice", control(&[OURS, OURS]), H3_SETTINGS_ERROR),
        ("SETTINGS cut", [vec![0], frame(0x4, &[0x40])].concat(), H3_FRAME_ERROR),
        ("SETTINGS without a value", [vec![0], frame(0x4, &[0x06])].concat(), H3_FRAME_ERROR),
        ("SETTINGS of 1 GiB", [vec![0], varints(&[0x4, GIBIBYTE])].concat(), H3_EXCESSIVE_LOAD),
        ("a second SETTINGS", settled(&settings(&[])), H3_FRAME_UNEXPECTED),
        ("our frame of 1 GiB", settled(&varints(&[CERTIFICATE, GIBIBYTE])), H3_EXCESSIVE_LOAD),
        ("GREASE of 1 GiB", settled(&varints(&[0x21, GIBIBYTE])), H3_EXCESSIVE_LOAD),
        ("GOAWAY of 1 GiB", settled(&varints(&[0x7, GIBIBYTE])), H3_EXCESSIVE_LOAD),
        ("DATA", settled(&frame(0x0, b"x")), H3_FRAME_UNEXPECTED),
        ("HEADERS", settled(&frame(0x1, b"")), H3_FRAME_UNEXPECTED),
        ("HTTP/2's PRIORITY", settled(&frame(0x2, b"")), H3_FRAME_UNEXPECTED),
        ("HTTP/2's PING", settled(&frame(0x6, b"")), H3_FRAME_UNEXPECTED),
        ("HTTP/2's WINDOW_UPDATE", settled(&frame(0x8, b"")), H3_FRAME_UNEXPECTED),
        ("HTTP/2's CONTINUATION", settled(&frame(0x9, b"")), H3_FRAME_UNEXPECTED),
        ("malformed", settled(&frame(CERTIFICATE, b"malformed")), H3_MESSAGE_ERROR),
    ];
    for (name, bytes, wanted) in cases {
        let got = within(control_gets(&bytes)).await;
        assert_eq!(got, wanted, "{name}: {got:#x} instead of {wanted:#x}");
    }
}

#[tokio::test]
async fn http2s_settings_are_refused() {
    for id in [0x2, 0x3, 0x4, 0x5] {
        let reserved = countersign_proto::Setting { id, value: 1 };
        let got = within(control_gets(&control(&[reserved]))).await;
        assert_eq!(got, H3_SETTINGS_ERROR, "setting {id:#x}");
    }
}

#[tokio::test]
async fn ends_of_the_control_stream() {
    let whole = control(&[OURS]);
    let inside = [control(&[OURS]), varints(&[CERTIFICATE, 10]), vec![1, 2, 3]].concat();
    let header = [control(&[OURS]), vec![0x40]].concat();
    for (name, bytes, wanted) in [
        ("at a boundary", whole, H3_CLOSED_CRITICAL_STREAM),
        ("inside of our frame", inside, H3_FRAME_ERROR),
        ("inside of a header", header, H3_FRAME_ERROR),
    ] {
        let victim = within(Victim::new()).await;
        let mut stream = within(open_uni(&victim.quic, &bytes)).await;
        stream.finish().unwrap();
        let got = within(victim.code()).await;
        assert_eq!(got, wanted, "{name}: {got:#x} instead of {wanted:#x}");
    }
}

#[tokio::test]
async fn a_reset_control_stream() {
    within(async {
        let victim = Victim::new().await;
        let mut stream = open_uni(&victim.quic, &control(&[OURS])).await;
        victim.link.until(|events| events.iter().any(|event| event.settings().is_some())).await;
        stream.reset(code(0x100)).unwrap();
        assert_eq!(victim.code().await, H3_CLOSED_CRITICAL_STREAM);
    })
    .await;
}

#[tokio::test]
async fn a_control_stream_that_is_not_wanted() {
    within(async {
        let victim = Victim::new().await;
        let _stream = open_uni(&victim.quic, &control(&[OURS])).await;
        let mut theirs = victim.quic.accept_uni().await.unwrap();
        theirs.stop(code(0x100)).unwrap();
        // Noticed with the next frame.
        let pushing = async {
            loop {
                victim.link.push_frame("frame");
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            (code, _) = closed_with(&victim.quic) => assert_eq!(code, H3_CLOSED_CRITICAL_STREAM),
            () = pushing => {}
        }
        assert!(victim.link.events().contains(&Event::Closed(Closed::Transport)));
    })
    .await;
}

#[tokio::test]
async fn request_streams() {
    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# A server that receives this HTTP/3 frame on whatever stream MUST treat that as a connection
    //# error H3_FRAME_UNEXPECTED.
    let grease = frame(0x21, b"ignored");
    for (name, bytes, wanted) in [
        ("our frame", frame(CERTIFICATE, b"x"), H3_FRAME_UNEXPECTED),
        ("our frame after GREASE", [grease, frame(REQUESTS, b"")].concat(), H3_FRAME_UNEXPECTED),
        ("our frame of 1 GiB", varints(&[CERTIFICATE, GIBIBYTE]), H3_FRAME_UNEXPECTED),
        ("HEADERS of 1 GiB", varints(&[0x1, GIBIBYTE]), H3_EXCESSIVE_LOAD),
        ("GREASE of 1 GiB", varints(&[0x21, GIBIBYTE]), H3_EXCESSIVE_LOAD),
        ("HTTP/2's PRIORITY", frame(0x2, b""), H3_FRAME_UNEXPECTED),
    ] {
        let victim = within(Victim::new()).await;
        let _control = within(open_uni(&victim.quic, &control(&[OURS]))).await;
        let _request = within(open_bi(&victim.quic, &bytes)).await;
        let got = within(victim.code()).await;
        assert_eq!(got, wanted, "{name}: {got:#x} instead of {wanted:#x}");
    }
}

#[tokio::test]
async fn a_refused_frame_is_named_to_the_link() {
    within(async {
        let victim = Victim::new().await;
        let (request, _) = open_bi(&victim.quic, &frame(CERTIFICATE, b"abc")).await;
        let id = quinn::VarInt::from(request.id()).into_inner();
        let (code, text) = closed_with(&victim.quic).await;
        assert_eq!(code, H3_FRAME_UNEXPECTED);
        assert_eq!(text, Violation::WrongStream.to_string());
        let header = Event::Header(FrameKind::Certificate, Place::Stream(id), 3);
        assert!(victim.link.events().contains(&header));
        assert_eq!(victim.link.violation(), Some(Violation::WrongStream));
        assert_eq!(victim.link.frames(), Vec::<Bytes>::new());
    })
    .await;
}

#[tokio::test]
async fn other_unidirectional_streams() {
    within(async {
        let victim = Victim::new().await;
        let _control = open_uni(&victim.quic, &control(&[OURS])).await;
        victim.link.until(|events| events.iter().any(|event| event.settings().is_some())).await;
        let second = [control(&[]), frame(CERTIFICATE, b"x")].concat();
        let _second = open_uni(&victim.quic, &second).await;
        let link = Arc::clone(&victim.link);
        assert_eq!(victim.code().await, H3_STREAM_CREATION_ERROR);
        assert_eq!(link.peer_settings().len(), 1);
        assert_eq!(link.frames(), Vec::<Bytes>::new());
    })
    .await;
    within(async {
        let victim = Victim::new().await;
        let _control = open_uni(&victim.quic, &control(&[OURS])).await;
        let push = [varints(&[0x1, 0x0]), frame(CERTIFICATE, b"x")].concat();
        let _push = open_uni(&victim.quic, &push).await;
        assert_eq!(victim.code().await, H3_FRAME_UNEXPECTED);
    })
    .await;
}

#[tokio::test]
async fn what_is_to_be_ignored_is() {
    within(async {
        let victim = Victim::new().await;
        // An unknown stream that happens to contain what looks like our frame.
        let unknown = [varints(&[0x21]), frame(CERTIFICATE, b"no frame")].concat();
        let _unknown = open_uni(&victim.quic, &unknown).await;
        let grease = countersign_proto::Setting { id: 0x1f * 7 + 0x21, value: 5 };
        let _decoder = open_uni(&victim.quic, &[0x3]).await;
        let bytes = [
            control(&[grease, OURS]),
            frame(0x21, b"grease"),
            frame(CERTIFICATE, b"first"),
            frame(0x1f * 1000 + 0x21, &[]),
            frame(CERTIFICATE, &pattern(5000)),
            frame(CERTIFICATE, b""),
            frame(0x40, b"unknown"),
            frame(CERTIFICATE, b"last"),
        ]
        .concat();
        // One byte in each STREAM frame, as far as QUIC lets it be.
        let mut stream = victim.quic.open_uni().await.unwrap();
        for byte in bytes {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        victim
            .link
            .until(|events| {
                events.iter().filter(|event| matches!(event, Event::Frame(..))).count() == 4
            })
            .await;
        assert_eq!(
            victim.link.frames(),
            [Bytes::from("first"), pattern(5000), Bytes::new(), Bytes::from("last")]
        );
        assert_eq!(victim.link.peer_settings(), [[grease, OURS]]);
        assert!(victim.quic.close_reason().is_none());
    })
    .await;
}

#[tokio::test]
async fn long_frames_below_the_limit_pass() {
    within(async {
        let (_net, quic, server_quic) = connect(&Options::default()).await;
        let link = Arc::new(MockLink::new(Role::Server));
        let connection = Connection::with_max_frame_len(server_quic, Arc::clone(&link), 100);
        let _serving = serve(h3::server::Connection::new(connection).await.unwrap());
        let fits = [control(&[OURS]), frame(0x21, &[0; 100]), frame(CERTIFICATE, &[0; 101])];
        let mut stream = open_uni(&quic, &fits.concat()).await;
        link.until(|events| events.iter().any(|event| matches!(event, Event::Frame(..)))).await;
        stream.write_all(&varints(&[0x21, 101])).await.unwrap();
        let (code, text) = closed_with(&quic).await;
        assert_eq!(code, H3_EXCESSIVE_LOAD);
        assert_eq!(text, PeerError::FrameTooLong.to_string());
    })
    .await;
}

/// A server that sends before the client's Finished, and a client with the stock stack.
async fn early_server(bytes: &[u8]) -> (u64, Arc<MockLink>) {
    let net = Net::new(&Options::default());
    let link = Arc::new(MockLink::new(Role::Client));
    let serving = async {
        let connecting = net.server.accept().await.unwrap().accept().unwrap();
        let (quic, _) = connecting.into_0rtt().unwrap();
        let _control = open_uni(&quic, bytes).await;
        closed_with(&quic).await.0
    };
    let visiting = async {
        let quic = net.connecting().await.unwrap();
        let (_requests, driver) = client(quic, &link).await;
        driver.await.unwrap()
    };
    let (code, _) = tokio::join!(serving, visiting);
    (code, link)
}

#[tokio::test]
async fn servers_that_are_early_and_wrong_see_the_code_too() {
    for (bytes, wanted) in [
        (control(&[OURS, OURS]), H3_SETTINGS_ERROR),
        ([vec![0], frame(REQUESTS, b"x")].concat(), H3_MISSING_SETTINGS),
        ([control(&[OURS]), frame(REQUESTS, b"malformed")].concat(), H3_MESSAGE_ERROR),
    ] {
        let (code, link) = within(early_server(&bytes)).await;
        assert_eq!(code, wanted, "{code:#x} instead of {wanted:#x}");
        assert!(link.events().iter().any(|event| matches!(event, Event::Closed(_))));
    }
}

#[tokio::test]
async fn servers_frames_have_no_place_on_a_push_or_request_stream() {
    //= specs/client-certs.md#section-4.1.2
    //= type=test
    //# A client that receives this HTTP/3 frame on another stream than the control stream MUST treat
    //# that as a connection error H3_FRAME_UNEXPECTED.
    for push in [true, false] {
        within(async {
            let (_net, client_quic, quic) = connect(&Options::default()).await;
            let link = Arc::new(MockLink::new(Role::Client));
            let (mut requests, _driver) = client(client_quic, &link).await;
            let _control = open_uni(&quic, &control(&[OURS])).await;
            let (_push, _exchange);
            if push {
                let bytes = [varints(&[0x1, 0x0]), frame(REQUESTS, b"x")].concat();
                _push = open_uni(&quic, &bytes).await;
            } else {
                let mut stream = requests.send_request(support::stacks::request()).await.unwrap();
                _exchange = tokio::spawn(async move { stream.recv_response().await.is_err() });
                let (mut send, _) = quic.accept_bi().await.unwrap();
                send.write_all(&frame(REQUESTS, b"x")).await.unwrap();
            }
            assert_eq!(closed_with(&quic).await.0, H3_FRAME_UNEXPECTED);
            assert_eq!(link.violation(), Some(Violation::WrongStream));
        })
        .await;
    }
}

#[test]
fn every_reason_has_its_code() {
    let points = CodePoints::default();
    for (reason, wanted) in [
        (PeerError::Violation(Violation::BadFinished), H3_MESSAGE_ERROR),
        (PeerError::MissingSettings, H3_MISSING_SETTINGS),
        (PeerError::MalformedSettings, H3_FRAME_ERROR),
        (PeerError::RepeatedSetting, H3_SETTINGS_ERROR),
        (PeerError::FrameTooLong, H3_EXCESSIVE_LOAD),
        (PeerError::TruncatedFrame, H3_FRAME_ERROR),
        (PeerError::ControlStreamStopped, H3_CLOSED_CRITICAL_STREAM),
    ] {
        assert_eq!(reason.code(&points).0, wanted, "{reason}");
    }
    let link = MockLink::new(Role::Server);
    assert_eq!(link.role(), Role::Server);
}
