//! Frames where they may not be, and too much of them.

use super::ClientCase;
use super::guest::{Guest, good_request};
use crate::authenticator::{Request, Side, check};
use crate::case::{Done, Version, cases, failed, skipped};
use crate::code_points::{H3_CLOSED_CRITICAL_STREAM, TOO_LONG, UNEXPECTED};
use crate::raw::{H2Frame, fields, kind, settings_payload};

pub(super) const CASES: &[ClientCase] = cases! {
    Must "client/4.1.1/c4" Http2:
        "AUTHENTICATOR_REQUESTS on another stream than 0 is PROTOCOL_ERROR.",
        "a request on the stream of the client's GET",
        "PROTOCOL_ERROR"
        => on_a_stream;
    Must "client/4.1.2/c4" Http3:
        "AUTHENTICATOR_REQUESTS on another stream than the control stream is H3_FRAME_UNEXPECTED.",
        "a request on the stream of the client's GET",
        "H3_FRAME_UNEXPECTED"
        => on_a_stream;
    Must "http2/6.10/c1" Http2:
        "Nothing comes between HEADERS and CONTINUATION.",
        "a request behind HEADERS without END_HEADERS",
        "PROTOCOL_ERROR"
        => inside_a_header_block;
    Must "http2/4.2/c1" Http2:
        "A frame longer than SETTINGS_MAX_FRAME_SIZE is FRAME_SIZE_ERROR.",
        "the header of AUTHENTICATOR_REQUESTS that is one byte too long",
        "FRAME_SIZE_ERROR"
        => too_long_h2;
    Must "http2/4.2/c2" Http2:
        "A client sends no frame that is longer than the server's SETTINGS_MAX_FRAME_SIZE.",
        "SETTINGS_MAX_FRAME_SIZE of 16,384, and a request; it shows with a certificate chain that is longer",
        "a valid authenticator that fits, empty or not"
        => fits;
    Robustness "client/5.5/c1" Http3:
        "A frame that could not be kept is refused at its header.",
        "the header of AUTHENTICATOR_REQUESTS of one gibibyte",
        "a connection error"
        => |guest| too_long_h3(guest, 1 << 30);
    Robustness "client/5.5/c2" Http3:
        "A frame whose length no count of bytes can reach is refused at its header.",
        "the header of AUTHENTICATOR_REQUESTS of 2^62-1 bytes",
        "a connection error"
        => |guest| too_long_h3(guest, (1 << 62) - 1);
    Robustness "client/3.1/c6" Http2:
        "A server must not take its announcement back, not even in the same frame.",
        "SETTINGS with the value 1, and behind it 0",
        "a connection error"
        => taken_back_at_once;
    Robustness "client/3.1/c4" Http2:
        "A server must not take its announcement back.",
        "SETTINGS with the value 1, and later with 0",
        "a connection error"
        => taken_back;
    Must "http3/7.2.4/c1" Http3:
        "A second SETTINGS frame is H3_FRAME_UNEXPECTED.",
        "SETTINGS twice on the control stream",
        "H3_FRAME_UNEXPECTED"
        => second_settings;
    Must "http3/6.2.1/c1" Http3:
        "The control stream is not closed.",
        "the end of the control stream",
        "H3_CLOSED_CRITICAL_STREAM"
        => closed_control_stream;
};

/// SETTINGS_MAX_FRAME_SIZE, and its least and first value (RFC 9113, section 6.5.2).
const MAX_FRAME_SIZE: u64 = 5;
const LEAST_MAX_FRAME_SIZE: u64 = 1 << 14;

async fn on_a_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let list = Request::encode_list(&[good_request()]);
    guest.peer.on_stream(guest.stream, guest.host.points.requests, &list).await;
    guest.peer.expect_error(UNEXPECTED).await
}

async fn inside_a_header_block(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let block = fields::response(Version::Http2, 200);
    let unfinished = H2Frame::new(kind::HEADERS, 0, guest.stream, &block);
    let list = Request::encode_list(&[good_request()]);
    let frame = guest.peer.encode(guest.host.points.requests, &list);
    guest.peer.bytes(&[unfinished.encode(), frame].concat()).await;
    guest.peer.expect_error(UNEXPECTED).await
}

async fn too_long_h2(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let announced = guest.peer.settings.iter().find(|(known, _)| *known == MAX_FRAME_SIZE);
    let greatest = announced.map_or(LEAST_MAX_FRAME_SIZE, |(_, value)| *value);
    let length = usize::try_from(greatest).unwrap_or(usize::MAX).saturating_add(1);
    if length >= 1 << 24 {
        return skipped("the client takes frames of every length");
    }
    let header = guest.peer.header(guest.host.points.requests, length);
    guest.peer.bytes(&header).await;
    guest.peer.expect_error(TOO_LONG).await
}

async fn fits(guest: &mut Guest<'_>) -> Done {
    let mut settings = guest.both();
    settings.push((MAX_FRAME_SIZE, LEAST_MAX_FRAME_SIZE));
    guest.welcome_with(&settings).await?;
    if guest.peer.setting(guest.host.points.client_cert_auth).is_none_or(|limit| limit == 0) {
        return skipped("the client does not announce SETTINGS_HTTP_CLIENT_CERT_AUTH");
    }
    let request = good_request();
    guest.ask(std::slice::from_ref(&request)).await;
    let authenticator = guest.certificate().await?;
    if authenticator.len() as u64 > LEAST_MAX_FRAME_SIZE {
        return failed(format!("CERTIFICATE of {} bytes", authenticator.len()));
    }
    check(&guest.peer.secrets, Side::Client, Some(&request), &authenticator, &[])?;
    Ok(())
}

async fn too_long_h3(guest: &mut Guest<'_>, length: usize) -> Done {
    guest.welcome_to_be_asked().await?;
    let header = guest.peer.header(guest.host.points.requests, length);
    guest.peer.bytes(&header).await;
    guest.complains().await
}

async fn taken_back_at_once(guest: &mut Guest<'_>) -> Done {
    let setting = guest.host.points.client_cert_auth.into();
    guest.peer.announce(&[(setting, 1), (setting, 0)]).await;
    guest.complains().await
}

async fn taken_back(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_asked().await?;
    let settings = [(guest.host.points.client_cert_auth.into(), 0)];
    guest.peer.control(kind::SETTINGS, &settings_payload(Version::Http2, &settings)).await;
    guest.complains().await
}

async fn second_settings(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    let settings = guest.both();
    guest.peer.control(kind::SETTINGS, &settings_payload(Version::Http3, &settings)).await;
    guest.peer.expect_error(UNEXPECTED).await
}

async fn closed_control_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    guest.peer.finish_control().await;
    guest.peer.expect_code(H3_CLOSED_CRITICAL_STREAM).await
}
