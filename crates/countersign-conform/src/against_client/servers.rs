//! Further certificates of servers.

use super::ClientCase;
use super::guest::Guest;
use crate::case::{Done, cases, failed, skipped};
use crate::code_points::UNEXPECTED;
use crate::raw::{Event, H2Frame, is_settings, kind, payload, settings_payload};

pub(super) const CASES: &[ClientCase] = cases! {
    Must "server/4/c1" Both:
        "The value of SETTINGS_HTTP_SERVER_CERT_AUTH is 0 or 1.",
        "SETTINGS that announce support",
        "the value 0 or 1, or no such setting"
        => value;
    Robustness "server/4/c2" Both:
        "A value of SETTINGS_HTTP_SERVER_CERT_AUTH other than 0 and 1 is an error.",
        "SETTINGS with the value 2",
        "a connection error"
        => wrong_value;
    Robustness "server/3.1/c1" Http2:
        "SETTINGS_HTTP_SERVER_CERT_AUTH must not go back to 0.",
        "SETTINGS with the value 1, and later with 0",
        "a connection error"
        => taken_back;
    Must "client/4.2/c4" Both:
        "A server's CERTIFICATE without negotiation is a connection error.",
        "SETTINGS without SETTINGS_HTTP_SERVER_CERT_AUTH, then SERVER_CERTIFICATE",
        "PROTOCOL_ERROR in HTTP/2, H3_FRAME_UNEXPECTED in HTTP/3"
        => not_negotiated;
    Must "server/5.1/c1" Http2:
        "SERVER_CERTIFICATE on another stream than 0 is a connection error.",
        "a valid spontaneous authenticator on the stream of the client's GET",
        "a connection error"
        => on_a_stream;
    Must "server/5.2/c1" Http3:
        "SERVER_CERTIFICATE on another stream than the control stream is a connection error.",
        "a valid spontaneous authenticator on the stream of the client's GET",
        "a connection error"
        => on_a_stream;
    Must "server/5.1/c2" Http2:
        "SERVER_CERTIFICATE defines no flags.",
        "a valid spontaneous authenticator in a frame with all flags set, and a response",
        "no error"
        => flags;
};

async fn value(guest: &mut Guest<'_>) -> Done {
    guest.welcome().await?;
    match guest.peer.setting(guest.host.points.server_cert_auth) {
        None | Some(0 | 1) => Ok(()),
        Some(value) => failed(format!("the client announced {value}")),
    }
}

async fn wrong_value(guest: &mut Guest<'_>) -> Done {
    let setting = guest.host.points.server_cert_auth;
    guest.peer.announce(&[(setting.into(), 2)]).await;
    // Over HTTP/3 the error may come before the client's SETTINGS, which show whether it takes part.
    match guest.peer.event(is_settings).await {
        Event::Closed(end) if end.code.is_some() => return Ok(()),
        Event::Closed(end) => return failed(guest.peer.tell(&end)),
        Event::Silence => return failed("neither SETTINGS nor a connection error"),
        Event::Arrived(arrival) => guest.peer.take_settings(&payload(arrival))?,
    }
    if guest.peer.setting(setting).is_none_or(|value| value == 0) {
        return skipped("the client does not announce SETTINGS_HTTP_SERVER_CERT_AUTH");
    }
    guest.complains().await
}

async fn taken_back(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let settings = [(guest.host.points.server_cert_auth.into(), 0)];
    guest.peer.control(kind::SETTINGS, &settings_payload(guest.version(), &settings)).await;
    guest.complains().await
}

async fn not_negotiated(guest: &mut Guest<'_>) -> Done {
    let points = guest.host.points;
    guest.welcome_with(&[(points.client_cert_auth.into(), 1)]).await?;
    let supported = guest.peer.setting(points.server_cert_auth).is_some_and(|value| value > 0);
    if points.server_certificate != points.certificate && !supported {
        return skipped("the client does not know SERVER_CERTIFICATE, which has a type of its own");
    }
    guest.show(&guest.host.further, |_| {}).await?;
    guest.peer.expect_error(UNEXPECTED).await
}

async fn on_a_stream(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let authenticator = guest.spontaneous(&guest.host.further, |_| {})?;
    guest.peer.on_stream(guest.stream, guest.host.points.server_certificate, &authenticator).await;
    guest.complains().await
}

async fn flags(guest: &mut Guest<'_>) -> Done {
    guest.welcome_to_be_shown().await?;
    let authenticator = guest.spontaneous(&guest.host.further, |_| {})?;
    let kind = guest.host.points.server_certificate.into();
    guest.peer.bytes(&H2Frame::new(kind, 0xff, 0, &authenticator).encode()).await;
    guest.content_in_the_end().await
}
