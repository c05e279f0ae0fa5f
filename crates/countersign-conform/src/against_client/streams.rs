//! What comes first on a connection, and the streams of HTTP/3 that are there once.

use super::ClientCase;
use super::forged::told;
use super::guest::{Guest, good_request};
use crate::authenticator::Request;
use crate::bytes::{varint, wide_varint};
use crate::case::{Done, cases, failed};
use crate::code_points::{
    H3_CLOSED_CRITICAL_STREAM, H3_FRAME_ERROR, H3_STREAM_CREATION_ERROR, NO_SETTINGS,
};
use crate::raw::stream;

pub(super) const CASES: &[ClientCase] = cases! {
    Must "http2/3.4/c1" Http2:
        "The server's preface is a SETTINGS frame.",
        "a request, and on another connection SERVER_CERTIFICATE, before SETTINGS",
        "PROTOCOL_ERROR, each time"
        => before_settings;
    Must "http3/6.2.1/c2" Http3:
        "SETTINGS is the first frame of the control stream.",
        "a request, and on another connection SERVER_CERTIFICATE, before SETTINGS",
        "H3_MISSING_SETTINGS, each time"
        => before_settings;
    Must "http3/6.2.1/c3" Http3:
        "The control stream is not reset.",
        "a request, and when it is answered a reset of the control stream",
        "H3_CLOSED_CRITICAL_STREAM"
        => reset_control_stream;
    Must "http3/7.1/c1" Http3:
        "A frame does not end early.",
        "the end of the control stream within AUTHENTICATOR_REQUESTS",
        "H3_FRAME_ERROR or H3_CLOSED_CRITICAL_STREAM"
        => ends_within;
    Must "http3/6.2.1/c4" Http3:
        "There is one control stream.",
        "a second control stream, with SETTINGS",
        "H3_STREAM_CREATION_ERROR"
        => second_control_stream;
    Must "client/4.1.2/c6" Http3:
        "AUTHENTICATOR_REQUESTS is not for push streams, which nobody allowed.",
        "a request on a push stream",
        "a connection error"
        => on_a_push_stream;
    Robustness "http3/7.1/c2" Http3:
        "The type and the length of a frame may be longer than they need be.",
        "a request in a frame whose type and length have 8 bytes each",
        "a valid answer as to any other request"
        => wide_header;
};

/// What comes before SETTINGS, each on a connection of its own.
pub(super) const BEFORE_SETTINGS: usize = 2;

async fn before_settings(guest: &mut Guest<'_>) -> Done {
    let points = guest.host.points;
    let tried = if guest.round == 0 {
        guest.ask(&[good_request()]).await;
        "AUTHENTICATOR_REQUESTS"
    } else {
        let authenticator = guest.spontaneous(&guest.host.further, |_| {})?;
        guest.peer.control(points.server_certificate, &authenticator).await;
        "SERVER_CERTIFICATE"
    };
    told(tried, guest.peer.expect_error(NO_SETTINGS).await)
}

async fn reset_control_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    // A stream that is reset before anything of it was read could be any stream.
    guest.exchange(&good_request()).await?;
    guest.peer.reset_control();
    guest.peer.expect_code(H3_CLOSED_CRITICAL_STREAM).await
}

async fn ends_within(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    let list = Request::encode_list(&[good_request()]);
    let mut frame = guest.peer.encode(guest.host.points.requests, &list);
    frame.truncate(frame.len() / 2);
    guest.peer.bytes(&frame).await;
    guest.peer.finish_control().await;
    let end = guest.peer.expect_end().await?;
    match end.code {
        Some(H3_FRAME_ERROR | H3_CLOSED_CRITICAL_STREAM) => Ok(()),
        Some(_) | None => failed(format!("{} instead of H3_FRAME_ERROR", guest.peer.tell(&end))),
    }
}

async fn second_control_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    let settings = crate::raw::settings_payload(guest.version(), &guest.both());
    let frame = guest.peer.encode(crate::raw::kind::SETTINGS, &settings);
    guest.peer.open_uni(&[varint(stream::CONTROL), frame].concat()).await;
    guest.peer.expect_code(H3_STREAM_CREATION_ERROR).await
}

async fn on_a_push_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let list = Request::encode_list(&[good_request()]);
    let frame = guest.peer.encode(guest.host.points.requests, &list);
    // The identifier of the push stands before its frames.
    guest.peer.open_uni(&[varint(stream::PUSH), varint(0), frame].concat()).await;
    guest.complains().await
}

async fn wide_header(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let request = good_request();
    let list = Request::encode_list(std::slice::from_ref(&request));
    let wide = |value| wide_varint(value, 8, 0xc0);
    let header = [wide(guest.host.points.requests.into()), wide(list.len() as u64)].concat();
    guest.peer.bytes(&[header, list].concat()).await;
    let proof = guest.answer(&request).await?;
    guest.as_ever(&proof).await
}
