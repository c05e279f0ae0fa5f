//! Frames that may not be there, whatever is in them, and too much of them.

use super::ServerCase;
use super::visit::Visit;
use crate::authenticator::{Draft, Request, message};
use crate::case::{Done, Version, cases, skipped};
use crate::code_points::{H3_CLOSED_CRITICAL_STREAM, H3_MISSING_SETTINGS, TOO_LONG, UNEXPECTED};
use crate::raw::{H2Frame, PREFACE, fields, kind};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "client/4.1.1/s1" Http2:
        "AUTHENTICATOR_REQUESTS from a client is PROTOCOL_ERROR.",
        "AUTHENTICATOR_REQUESTS with a request on stream 0",
        "PROTOCOL_ERROR"
        => requests_from_a_client;
    Must "client/4.1.1/s2" Http2:
        "AUTHENTICATOR_REQUESTS from a client is PROTOCOL_ERROR on whatever stream.",
        "AUTHENTICATOR_REQUESTS with a request on the stream of a GET",
        "PROTOCOL_ERROR"
        => requests_on_a_stream;
    Must "client/4.1.2/s1" Http3:
        "AUTHENTICATOR_REQUESTS from a client is H3_FRAME_UNEXPECTED.",
        "AUTHENTICATOR_REQUESTS with a request on the control stream",
        "H3_FRAME_UNEXPECTED"
        => requests_from_a_client;
    Must "client/4.1.2/s2" Http3:
        "AUTHENTICATOR_REQUESTS from a client is H3_FRAME_UNEXPECTED on whatever stream.",
        "AUTHENTICATOR_REQUESTS with a request on the stream of a GET",
        "H3_FRAME_UNEXPECTED"
        => requests_on_a_stream;
    Must "client/4.2/s4" Both:
        "CERTIFICATE while no request is outstanding is a connection error.",
        "CERTIFICATE right after SETTINGS",
        "a connection error"
        => unsolicited;
    Must "client/4.2/s5" Both:
        "A request is answered once.",
        "a valid answer, and after success the same again",
        "a connection error"
        => one_too_many;
    Must "client/4.2/s6" Both:
        "CERTIFICATE of a client that announced nothing is a connection error.",
        "SETTINGS without the setting, then CERTIFICATE",
        "a connection error"
        => not_negotiated;
    Must "client/4.2/s7" Http2:
        "CERTIFICATE before SETTINGS is a connection error.",
        "the preface, then CERTIFICATE",
        "a connection error"
        => before_settings_h2;
    Must "http3/6.2.1/s1" Http3:
        "The control stream begins with SETTINGS.",
        "CERTIFICATE as the first frame of the control stream",
        "H3_MISSING_SETTINGS"
        => before_settings_h3;
    Must "server/5.1/s1" Http2:
        "CERTIFICATE on another stream than 0 is a connection error.",
        "a valid answer on the stream of a GET",
        "a connection error"
        => on_a_stream;
    Must "server/5.2/s1" Http3:
        "CERTIFICATE on another stream than the control stream is a connection error.",
        "a valid answer on the stream of a GET",
        "a connection error"
        => on_a_stream;
    Must "server/3.2/s1" Both:
        "A server that receives SERVER_CERTIFICATE closes the connection.",
        "SETTINGS_HTTP_SERVER_CERT_AUTH = 1, then a spontaneous authenticator in SERVER_CERTIFICATE",
        "the end of the connection"
        => server_certificate;
    Must "http2/6.10/s1" Http2:
        "Nothing comes between HEADERS and CONTINUATION.",
        "a valid answer behind HEADERS without END_HEADERS",
        "PROTOCOL_ERROR"
        => inside_a_header_block;
    Must "http2/4.2/s1" Http2:
        "A frame longer than SETTINGS_MAX_FRAME_SIZE is FRAME_SIZE_ERROR.",
        "the header of a CERTIFICATE that is one byte too long",
        "FRAME_SIZE_ERROR"
        => too_long_h2;
    Robustness "client/5.5/s1" Http3:
        "A frame that could not be kept is refused at its header.",
        "the header of a CERTIFICATE of one gibibyte",
        "a connection error"
        => too_long_h3;
    Robustness "client/5.5/s2" Both:
        "A flood of frames costs one connection.",
        "2,000 frames of CERTIFICATE that nobody asked for",
        "the end of the connection, and others are served"
        => flood;
    Should "http2/5.4.1/s1" Http2:
        "An endpoint that meets a connection error says so in GOAWAY.",
        "2,000 frames of CERTIFICATE that nobody asked for, and as many more",
        "GOAWAY with an error code"
        => goaway;
    Must "http3/6.2.1/s2" Http3:
        "The control stream is not closed.",
        "the end of the control stream while an answer is awaited",
        "H3_CLOSED_CRITICAL_STREAM"
        => closed_control_stream;
    Robustness "client/5.5/s3" Both:
        "A client that goes away while it is asked is no burden.",
        "a GET that needs a credential; the connection is dropped when the challenge has come, ten times",
        "others are served"
        => goes_away;
};

fn some_request() -> Vec<u8> {
    let algorithms = Request::algorithms(&[0x0403]);
    let request = Request::new(message::CLIENT_CERTIFICATE_REQUEST, &[7; 32], &[algorithms]);
    Request::encode_list(&[request])
}

async fn requests_from_a_client(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    peer.control(visit.target.points.requests, &some_request()).await;
    peer.expect_error(UNEXPECTED).await
}

async fn requests_on_a_stream(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let (path, requests) = (visit.path(0)?, visit.target.points.requests);
    peer.begin_with(&visit.target.authority, path, requests, &some_request()).await;
    peer.expect_error(UNEXPECTED).await
}

async fn unsolicited(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    // Whatever a server asks for as soon as it can is a request that this answers.
    if peer.came(visit.target.points.requests).is_some() {
        return skipped("the server asks everybody at once");
    }
    peer.certificate(b"whatever").await;
    peer.expect_any_error().await
}

async fn one_too_many(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    asked.peer.certificate(&authenticator).await;
    visit.granted(&mut asked.peer, asked.stream).await?;
    asked.peer.certificate(&authenticator).await;
    asked.peer.expect_any_error().await
}

async fn not_negotiated(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    peer.open(&[]).await?;
    visit.takes_part(&peer)?;
    peer.certificate(b"whatever").await;
    peer.expect_any_error().await
}

async fn before_settings_h2(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    let frame = peer.encode(visit.target.points.certificate, b"whatever");
    peer.bytes(&[PREFACE, &frame].concat()).await;
    peer.expect_any_error().await
}

async fn before_settings_h3(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    peer.certificate(b"whatever").await;
    peer.expect_code(H3_MISSING_SETTINGS).await
}

async fn on_a_stream(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let (path, certificate) = (visit.path(0)?, visit.target.points.certificate);
    asked.peer.begin_with(&visit.target.authority, path, certificate, &authenticator).await;
    asked.peer.expect_any_error().await
}

async fn server_certificate(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened_for_both(1).await?;
    if peer.came(visit.target.points.requests).is_some() {
        return skipped("the server asks everybody at once");
    }
    let draft = Draft::spontaneous(&[5; 32], &visit.target.stranger);
    let authenticator = draft.sign(&peer.secrets)?;
    peer.control(visit.target.points.server_certificate, &authenticator).await;
    peer.expect_end().await.map(|_| ())
}

async fn inside_a_header_block(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let draft = Draft::answer(&asked.request, visit.identity(&asked.request)?)?;
    let authenticator = draft.sign(&asked.peer.secrets)?;
    let block = fields::request(Version::Http2, &visit.target.authority, visit.path(0)?);
    let unfinished = H2Frame::new(kind::HEADERS, 0, asked.stream + 2, &block);
    let frame = asked.peer.encode(visit.target.points.certificate, &authenticator);
    asked.peer.bytes(&[unfinished.encode(), frame].concat()).await;
    asked.peer.expect_error(UNEXPECTED).await
}

async fn too_long_h2(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    // SETTINGS_MAX_FRAME_SIZE.
    let greatest = asked.peer.setting(5).unwrap_or(1 << 14);
    let length = usize::try_from(greatest).unwrap_or(usize::MAX).saturating_add(1);
    if length >= 1 << 24 {
        return skipped("the server takes frames of every length");
    }
    let header = asked.peer.header(visit.target.points.certificate, length);
    asked.peer.bytes(&header).await;
    asked.peer.expect_error(TOO_LONG).await
}

async fn too_long_h3(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    let header = asked.peer.header(visit.target.points.certificate, 1 << 30);
    asked.peer.bytes(&header).await;
    asked.peer.expect_any_error().await
}

async fn flood(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let frame = peer.encode(visit.target.points.certificate, &[0; 100]);
    peer.bytes(&frame.repeat(2000)).await;
    peer.expect_end().await.map(|_| ())
}

async fn goaway(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let frames = peer.encode(visit.target.points.certificate, &[0; 100]).repeat(2000);
    peer.bytes(&frames).await;
    peer.bytes(&frames).await;
    peer.expect_any_error().await
}

async fn closed_control_stream(visit: &Visit<'_>) -> Done {
    let mut asked = visit.challenged().await?;
    asked.peer.finish_control().await;
    asked.peer.expect_code(H3_CLOSED_CRITICAL_STREAM).await
}

async fn goes_away(visit: &Visit<'_>) -> Done {
    for _ in 0..10 {
        drop(visit.challenged().await?);
    }
    Ok(())
}
