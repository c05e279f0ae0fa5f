//! Identities that end by themselves, and clients that come again.

use countersign_testkit::pki::{Authority, Issued, KeyKind, Leaf, Lifetime, Validity, crls_pem};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::admin::{ask, metric};
use crate::audit::events;
use crate::support::{Answer, Backend, Client, HEAD, Running, Version, for_both_versions};

for_both_versions! {
    an_identity_ends_with_its_certificate,
    an_identity_ends_with_its_revocation_list,
    who_comes_again_is_remembered_until_the_next_reload,
}

const ROUTES: &str = r#"
[audit]
file = "log/audit.log"
[[routes]]
path = "/user/"
require = ["user"]
upstream = "http://UPSTREAM"
"#;

/// A gateway with an authority of its own for users.
async fn start(users: &Authority, listed_until: OffsetDateTime) -> Running {
    let backend = Backend::start().await;
    let routes = ROUTES.replace("UPSTREAM", &backend.address.to_string());
    let head = HEAD.replace("http3 = true", "http3 = true\nadmin = \"127.0.0.1:0\"");
    let more = [
        ("log/audit.log", String::new()),
        ("user-ca.pem", users.root_pem()),
        ("user.crl", list(users, listed_until)),
    ];
    Running::start_with(&format!("{head}{routes}"), &more).await
}

fn list(users: &Authority, until: OffsetDateTime) -> String {
    crls_pem(&[users.crl_with(&[], validity(until)).unwrap()])
}

fn validity(until: OffsetDateTime) -> Validity {
    Validity { not_before: OffsetDateTime::now_utc() - Duration::HOUR, not_after: until }
}

fn alice(users: &Authority, until: OffsetDateTime) -> Issued {
    let leaf = Leaf::client("alice").email("alice@example.test");
    users.issue(&leaf.lifetime(Lifetime::Exactly(validity(until)))).unwrap()
}

/// Long enough for what comes before, short enough to be waited for.
fn soon() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::seconds(4)
}

fn tomorrow() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::DAY
}

/// The loss of an identity, of which nobody has asked.
async fn lost(gateway: &Running) -> (String, OffsetDateTime) {
    let lines: Vec<Value> = events(gateway, "identity-lost", 1).await;
    let text = |member: &str| lines[0][member].as_str().unwrap().to_owned();
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    (text("reason"), OffsetDateTime::parse(&text("time"), rfc3339).unwrap())
}

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.problem().0)
}

async fn an_identity_ends_with_its_certificate(version: Version) {
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let gateway = start(&users, tomorrow()).await;
    let until = soon();
    let alice = alice(&users, until);
    let client = Client::showing(version, &gateway, &[&alice]).await;
    assert_eq!(client.get("/user/").await.status, 200);
    let (reason, at) = lost(&gateway).await;
    assert_eq!(reason, "expired");
    assert!(at > until, "{at}");
    let expected = (403, "urn:countersign:credential-expired".to_owned());
    assert_eq!(refusal(&client.get("/user/").await), expected);
}

async fn an_identity_ends_with_its_revocation_list(version: Version) {
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let until = soon();
    let gateway = start(&users, until).await;
    let client = Client::showing(version, &gateway, &[&alice(&users, tomorrow())]).await;
    assert_eq!(client.get("/user/").await.status, 200);
    let (reason, at) = lost(&gateway).await;
    assert_eq!(reason, "revocation-stale");
    assert!(at > until, "{at}");
    let expected = (403, "urn:countersign:credential-untrusted".to_owned());
    assert_eq!(refusal(&client.get("/user/").await), expected);
    gateway.write("user.crl", list(&users, tomorrow()));
    gateway.reload().await.unwrap();
    assert_eq!(client.get("/user/").await.status, 200);
}

async fn who_comes_again_is_remembered_until_the_next_reload(version: Version) {
    let users = Authority::root("Users", KeyKind::P256).unwrap();
    let gateway = start(&users, tomorrow()).await;
    let alice = alice(&users, tomorrow());
    let come = async || {
        let client = Client::showing(version, &gateway, &[&alice]).await;
        assert_eq!(client.get("/user/").await.status, 200);
        client
    };
    let misses = async || {
        let text = ask(&gateway, "GET", "/metrics").await.body;
        let text = String::from_utf8(text.to_vec()).unwrap();
        let of = |outcome: &str| {
            let name = "countersign_gateway_chain_lookups_total";
            metric(&text, &format!("{name}{{outcome=\"{outcome}\"}}")).unwrap()
        };
        assert!(of("hit") > 0.0, "{text}");
        assert_eq!(metric(&text, "countersign_gateway_chains_remembered"), Some(1.0), "{text}");
        of("miss")
    };
    let _live = come().await;
    for _ in 0..3 {
        come().await;
    }
    assert_eq!(misses().await, 1.0);
    // Trust is the same, but nobody relies on what was verified before; the identity that is held is verified again.
    gateway.reload().await.unwrap();
    assert_eq!(misses().await, 2.0);
    come().await;
    assert_eq!(misses().await, 2.0);
    let revoked = std::slice::from_ref(&alice.serial);
    let list = crls_pem(&[users.crl_with(revoked, validity(tomorrow())).unwrap()]);
    gateway.write("user.crl", list);
    gateway.reload().await.unwrap();
    let client = Client::showing(version, &gateway, &[&alice]).await;
    let expected = (403, "urn:countersign:credential-revoked".to_owned());
    assert_eq!(refusal(&client.get("/user/").await), expected);
}
