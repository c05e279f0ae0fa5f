//! Settings.

use super::ServerCase;
use super::visit::{MOMENT, Next, Visit};
use crate::case::{Done, cases, failed};
use crate::code_points::GREASE;
use crate::raw::{Arrival, Event, fields, kind, payload, settings_payload};

pub(super) const CASES: &[ServerCase] = cases! {
    Must "client/3.1/s1" Both:
        "A server that supports the mechanism confirms it with the value 1.",
        "SETTINGS with a limit of 4",
        "SETTINGS_HTTP_CLIENT_CERT_AUTH = 1 in the first SETTINGS frame"
        => confirms;
    Must "client/3/s1" Both:
        "A client that announced nothing is not asked.",
        "SETTINGS without the setting, then a GET that needs a credential",
        "an error status and no AUTHENTICATOR_REQUESTS"
        => |visit| is_not_asked(visit, None);
    Must "client/3.1/s2" Both:
        "A client that announced 0 is not asked.",
        "SETTINGS with a limit of 0, then a GET that needs a credential",
        "an error status and no AUTHENTICATOR_REQUESTS"
        => |visit| is_not_asked(visit, Some(0));
    Robustness "client/3.1/s3" Http2:
        "A client must not take its announcement back.",
        "SETTINGS with a limit of 4, and later with 0",
        "a connection error"
        => taken_back;
    Robustness "client/3.1/s4" Both:
        "The greatest limit is a limit.",
        "SETTINGS with a limit of 2^32 - 1, then a GET that needs a credential",
        "AUTHENTICATOR_REQUESTS"
        => greatest;
    Robustness "client/3.1/s6" Http2:
        "Support may be announced with a later SETTINGS frame.",
        "SETTINGS with a limit of 0, and later with 4; then a GET that needs a credential",
        "AUTHENTICATOR_REQUESTS"
        => announced_late;
    Robustness "client/3.1/s5" Both:
        "Settings, frames and streams that nobody knows change nothing.",
        "unknown settings, frames and (HTTP/3) streams around a valid answer",
        "success"
        => greased;
    Must "server/4/s1" Both:
        "The value of SETTINGS_HTTP_SERVER_CERT_AUTH is 0 or 1.",
        "SETTINGS that announce support",
        "the value 0 or 1, or no such setting"
        => server_value;
    Robustness "server/4/s2" Both:
        "A value of SETTINGS_HTTP_SERVER_CERT_AUTH other than 0 and 1 is an error.",
        "SETTINGS with the value 2",
        "a connection error"
        => wrong_server_value;
    Robustness "server/3.1/s2" Http2:
        "SETTINGS_HTTP_SERVER_CERT_AUTH must not go back to 0.",
        "SETTINGS with the value 1, and later with 0",
        "a connection error"
        => server_value_taken_back;
    Robustness "client/3.1/s8" Http3:
        "A limit may be any number that HTTP/3 can say.",
        "SETTINGS with a limit of 2^32, and with one of 2^62 - 1, then a GET that needs a credential",
        "AUTHENTICATOR_REQUESTS, both times"
        => greater_than_32_bits;
    Robustness "client/3.1/s9" Http2:
        "A client must not take its announcement back within a frame either.",
        "SETTINGS with a limit of 4 and behind it 0 in the same frame",
        "a connection error"
        => taken_back_at_once;
    Must "client/3/s3" Http3:
        "A client that needs to be asked is not asked before its SETTINGS.",
        "a GET that needs a credential, without a control stream; then SETTINGS with a limit of 4",
        "no AUTHENTICATOR_REQUESTS before SETTINGS, then a request or an error status"
        => is_not_asked_early;
    Must "http3/7.2.4/s1" Http3:
        "A second SETTINGS frame is H3_FRAME_UNEXPECTED.",
        "SETTINGS twice on the control stream",
        "H3_FRAME_UNEXPECTED"
        => second_settings;
};

async fn confirms(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    peer.open(&visit.announcing(4)).await?;
    match peer.setting(visit.target.points.client_cert_auth) {
        Some(1) => Ok(()),
        Some(value) => failed(format!("the server announced {value}")),
        None => failed("the server announced nothing"),
    }
}

async fn is_not_asked(visit: &Visit<'_>, limit: Option<u64>) -> Done {
    let mut peer = visit.connect().await?;
    peer.open(&limit.map_or_else(Vec::new, |limit| visit.announcing(limit))).await?;
    visit.takes_part(&peer)?;
    let stream = visit.get(&mut peer, visit.path(0)?).await;
    match visit.status_unasked(&mut peer, stream).await? {
        400.. => Ok(()),
        status => failed(format!("status {status}: the path needs no credential")),
    }
}

async fn taken_back(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    let settings = settings_payload(visit.version, &visit.announcing(0));
    peer.control(kind::SETTINGS, &settings).await;
    peer.expect_any_error().await
}

async fn announced_late(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(0).await?;
    let settings = settings_payload(visit.version, &visit.announcing(4));
    peer.control(kind::SETTINGS, &settings).await;
    visit.challenged_on(peer, visit.path(0)?).await.map(|_| ())
}

async fn greatest(visit: &Visit<'_>) -> Done {
    let peer = visit.opened(u32::MAX.into()).await?;
    visit.challenged_on(peer, visit.path(0)?).await.map(|_| ())
}

async fn greater_than_32_bits(visit: &Visit<'_>) -> Done {
    for limit in [1 << 32, (1 << 62) - 1] {
        let peer = visit.opened(limit).await?;
        visit.challenged_on(peer, visit.path(0)?).await?;
    }
    Ok(())
}

async fn taken_back_at_once(visit: &Visit<'_>) -> Done {
    // Whether the server knows the setting is to be seen elsewhere.
    drop(visit.opened(4).await?);
    let mut peer = visit.connect().await?;
    peer.announce(&[visit.announcing(4), visit.announcing(0)].concat()).await;
    peer.expect_any_error().await
}

async fn is_not_asked_early(visit: &Visit<'_>) -> Done {
    drop(visit.opened(4).await?);
    let mut peer = visit.connect().await?;
    let stream = visit.get(&mut peer, visit.path(0)?).await;
    let requests = u64::from(visit.target.points.requests);
    let of_interest = |arrival: &Arrival| match arrival {
        Arrival::Frame { stream: None, kind, .. } => *kind == requests,
        Arrival::Frame { stream: Some(of), .. } => *of == stream,
        Arrival::StreamEnded(_)
        | Arrival::ControlEnded
        | Arrival::Oversized
        | Arrival::Closed(_) => false,
    };
    let patience = peer.patience();
    peer.be_patient(MOMENT);
    let early = peer.event(of_interest).await;
    peer.be_patient(patience);
    match early {
        Event::Arrived(Arrival::Frame { stream: None, .. }) => {
            return failed("AUTHENTICATOR_REQUESTS before the client's SETTINGS");
        }
        Event::Arrived(arrival) => {
            return match fields::status(visit.version, &payload(arrival)) {
                Some(400..) => Ok(()),
                Some(status) => failed(format!("status {status}: the path needs no credential")),
                None => failed("a response whose status does not decode"),
            };
        }
        Event::Closed(end) => return failed(peer.tell(&end)),
        Event::Silence => {}
    }
    peer.announce(&visit.announcing(4)).await;
    match visit.next(&mut peer, stream).await? {
        Next::Requests(_) | Next::Response(400..) => Ok(()),
        Next::Response(status) => failed(format!("status {status}: the path needs no credential")),
        Next::Ended(how) => failed(how),
    }
}

async fn greased(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    // HTTP/2 has settings of 16 bits and frame types of 8.
    let settings = [vec![(GREASE, 7)], visit.announcing(4), vec![(0xfafa, 1)]].concat();
    peer.open(&settings).await?;
    visit.takes_part(&peer)?;
    peer.open_uni(&[crate::bytes::varint(GREASE), vec![0; 40]].concat()).await;
    let unknown = match visit.version {
        crate::Version::Http2 => 0xfb,
        crate::Version::Http3 => GREASE,
    };
    peer.control(unknown, b"nothing").await;
    let mut asked = visit.challenged_on(peer, visit.path(0)?).await?;
    asked.peer.control(unknown, b"").await;
    asked.peer.answer(&asked.request, visit.identity(&asked.request)?).await?;
    asked.peer.control(unknown, &[0; 99]).await;
    visit.granted(&mut asked.peer, asked.stream).await
}

async fn server_value(visit: &Visit<'_>) -> Done {
    let mut peer = visit.connect().await?;
    peer.open(&[(visit.target.points.server_cert_auth.into(), 1)]).await?;
    match peer.setting(visit.target.points.server_cert_auth) {
        None | Some(0 | 1) => Ok(()),
        Some(value) => failed(format!("the server announced {value}")),
    }
}

async fn wrong_server_value(visit: &Visit<'_>) -> Done {
    drop(visit.opened_for_both(1).await?);
    let mut peer = visit.connect().await?;
    peer.announce(&[(visit.target.points.server_cert_auth.into(), 2)]).await;
    peer.expect_any_error().await
}

async fn server_value_taken_back(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened_for_both(1).await?;
    let settings = [(visit.target.points.server_cert_auth.into(), 0)];
    peer.control(kind::SETTINGS, &settings_payload(visit.version, &settings)).await;
    peer.expect_any_error().await
}

async fn second_settings(visit: &Visit<'_>) -> Done {
    let mut peer = visit.opened(4).await?;
    peer.control(kind::SETTINGS, &settings_payload(visit.version, &visit.announcing(4))).await;
    peer.expect_error(crate::code_points::UNEXPECTED).await
}
