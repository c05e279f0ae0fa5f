//! What clients announce, and that they do not take it back. These cases come last: they also tell of the connections of all
//! cases before them.

use super::ClientCase;
use super::guest::{Guest, good_request};
use crate::case::{Done, cases, failed, skipped};

pub(super) const CASES: &[ClientCase] = cases! {
    Must "client/3.1/c5" Http2:
        "A client does not take its announcement back.",
        "a request, and a response once it is answered; and what the cases before send",
        "no SETTINGS with SETTINGS_HTTP_CLIENT_CERT_AUTH = 0 behind others, on any connection"
        => |guest| kept(guest, |host| host.points.client_cert_auth);
    Must "server/3.1/c2" Http2:
        "A client does not set SETTINGS_HTTP_SERVER_CERT_AUTH back to 0.",
        "a request, and a response once it is answered; and what the cases before send",
        "no SETTINGS with the value 0 behind others with 1, on any connection"
        => |guest| kept(guest, |host| host.points.server_cert_auth);
};

/// A setting that was above 0 and is 0 since, and the case in which that was.
pub(super) type TakenBack = (u16, &'static str);

async fn kept(guest: &mut Guest<'_>, setting: fn(&super::Host) -> u16) -> Done {
    guest.welcome().await?;
    let setting = setting(guest.host);
    if guest.peer.setting(setting).is_none_or(|value| value == 0) {
        return skipped("the client does not announce the setting");
    }
    if guest.peer.setting(guest.host.points.client_cert_auth).is_some_and(|limit| limit > 0) {
        guest.exchange(&good_request()).await?;
    }
    guest.content().await?;
    if guest.takes_back(setting) {
        return failed("the client took its announcement back");
    }
    match guest.taken_back.iter().find(|(known, _)| *known == setting) {
        Some((_, id)) => failed(format!("the client took its announcement back in the case {id}")),
        None => Ok(()),
    }
}
