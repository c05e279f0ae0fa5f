//! The decision, without a network.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_testkit::pki::Issued;
use countersign_testkit::tls::test_pki;
use http::Request;

use super::*;
use crate::forward::Forward;
use crate::names::Pattern;
use crate::route::Rule;
use crate::upstream::{Target, Upstream};

/// A client that answers as it is told to, and was shown certificates for hosts below
/// `.example`, for `localhost` and for an address.
#[derive(Default)]
struct Client {
    answers: Vec<(&'static str, Result<Arc<Caller>, Denial>)>,
    held: Vec<Arc<Caller>>,
    asked: AtomicUsize,
}

impl Connection for Client {
    async fn require(&self, credential: &str) -> Result<Arc<Caller>, Denial> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answer = self.answers.iter().find(|(name, _)| *name == credential);
        answer.map_or(Err(Denial::Missing), |(_, answer)| answer.clone())
    }

    fn held(&self) -> Vec<Arc<Caller>> {
        self.held.clone()
    }

    fn is_certified_for(&self, host: &str) -> bool {
        ["localhost", "::1"].contains(&host) || host.to_lowercase().ends_with(".example")
    }
}

fn caller(credential: &str, issued: &Issued) -> Arc<Caller> {
    Arc::new(Caller::read(credential, &issued.chain).unwrap())
}

fn device() -> Arc<Caller> {
    caller("device", &test_pki().device)
}

fn user(issued: &Issued) -> Arc<Caller> {
    caller("user", issued)
}

fn routes() -> RouteTable {
    let route = |path: &str, require: &[&str], allow: Option<&str>| {
        let route = Route {
            path: path.to_owned(),
            require: require.iter().map(|name| Arc::from(*name)).collect(),
            allow: allow.map(|pattern| {
                vec![Rule {
                    credential: "user".into(),
                    subject_alt_names: vec![Pattern::parse(pattern).unwrap()],
                }]
            }),
            without_extension: (path == "/staff/")
                .then(|| http::HeaderValue::from_static("https://help.example.test/")),
            upstream: Upstream::new(vec![Target::parse("http://127.0.0.1:9000").unwrap()]).unwrap(),
            forward: Forward::default(),
            meter: std::sync::OnceLock::new(),
        };
        (NormalPath::parse(path).unwrap(), route)
    };
    RouteTable::new(vec![
        route("/public/", &[], None),
        route("/admin/", &["device", "user"], Some("alice@example.test")),
        route("/staff/", &["user"], Some("*@example.test")),
    ])
    .unwrap()
}

fn request(method: &str, uri: &str, hosts: &[&str]) -> request::Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for host in hosts {
        builder = builder.header(HOST, *host);
    }
    builder.body(()).unwrap().into_parts().0
}

async fn decided(path: &str, client: &Client) -> Result<Admission, Problem> {
    let request = request("GET", path, &["localhost"]);
    decide(&routes(), &request, client, UnixTime::now).await
}

async fn kind(path: &str, client: &Client) -> Result<(), (Kind, Vec<Arc<str>>)> {
    decided(path, client).await.map(drop).map_err(|problem| (problem.kind, problem.credentials))
}

#[tokio::test]
async fn an_open_route_asks_for_nothing() {
    let client = Client::default();
    let admission = decided("/public/x", &client).await.unwrap();
    assert_eq!(admission.route.path, "/public/");
    assert_eq!(admission.path.as_str(), "/public/x");
    assert_eq!(client.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_holds_all_and_is_allowed_passes() {
    let client = Client {
        answers: vec![("device", Ok(device())), ("user", Ok(user(&test_pki().alice)))],
        ..Client::default()
    };
    let admission = decided("/admin/keys", &client).await.unwrap();
    let credentials: Vec<&str> =
        admission.callers.iter().map(|caller| caller.credential()).collect();
    assert_eq!(credentials, ["device", "user"]);
}

#[tokio::test]
async fn who_holds_all_and_is_not_allowed_does_not() {
    let client = Client {
        answers: vec![("device", Ok(device())), ("user", Ok(user(&test_pki().bob)))],
        ..Client::default()
    };
    assert_eq!(kind("/admin/", &client).await, Err((Kind::NotAllowed, vec!["user".into()])));
    assert_eq!(kind("/staff/", &client).await, Ok(()));
}

#[tokio::test]
async fn all_missing_credentials_are_asked_for_and_told() {
    let client = Client {
        answers: vec![("device", Err(Denial::Declined)), ("user", Err(Denial::Timeout))],
        ..Client::default()
    };
    let problem = decided("/admin/", &client).await.unwrap_err();
    assert_eq!(problem.kind, Kind::CredentialDeclined);
    assert_eq!(problem.credentials, ["device".into(), "user".into()]);
    assert_eq!(client.asked.load(Ordering::SeqCst), 2);

    let one = Client { answers: vec![("device", Ok(device()))], ..Client::default() };
    assert_eq!(kind("/admin/", &one).await, Err((Kind::CredentialMissing, vec!["user".into()])));
}

#[tokio::test]
async fn an_identity_ends_with_its_certificate() {
    let alice = user(&test_pki().alice);
    let client = Client {
        answers: vec![("user", Ok(Arc::clone(&alice)))],
        held: vec![device()],
        ..Client::default()
    };
    let request = request("GET", "/staff/", &["localhost"]);
    let at = |seconds: i64| {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()))
    };
    let last = decide(&routes(), &request, &client, || at(alice.not_after())).await.unwrap();
    assert_eq!(last.callers.len(), 2);
    let after = decide(&routes(), &request, &client, || at(alice.not_after() + 1)).await;
    assert_eq!(after.unwrap_err().kind, Kind::CredentialExpired);
}

#[tokio::test]
async fn the_backend_is_told_of_whom_was_decided_about() {
    // Bob's certificate took the place of alice's while the request was being decided.
    let client = Client {
        answers: vec![("user", Ok(user(&test_pki().alice)))],
        held: vec![device(), user(&test_pki().bob)],
        ..Client::default()
    };
    let admission = decided("/staff/", &client).await.unwrap();
    let subjects: Vec<&str> = admission.callers.iter().map(|caller| caller.subject()).collect();
    assert_eq!(subjects.len(), 2);
    assert!(subjects[0].starts_with("CN=alice") && subjects[1].starts_with("CN=device"));
}

#[tokio::test]
async fn what_cannot_be_decided_is_refused_before_anybody_is_asked() {
    let client = Client::default();
    for path in [
        "/public/%2e%2e/admin/",
        "/public/%2fadmin",
        "/public\\x",
        "/ADMIN/",
        "//admin/",
        "/a%",
        "*",
    ] {
        let refused = kind(path, &client).await;
        assert_eq!(refused, Err((Kind::BadRequest, Vec::new())), "{path}");
    }
    assert_eq!(kind("/elsewhere", &client).await, Err((Kind::NoRoute, Vec::new())));
    assert_eq!(client.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_is_for_one_authority() {
    for (uri, hosts, expected) in [
        ("/public/", &["localhost"][..], Some("localhost")),
        ("/public/", &["localhost:8443"], Some("localhost:8443")),
        ("https://a.example/public/", &[], Some("a.example")),
        ("https://a.example/public/", &["A.example"], Some("a.example")),
        ("/public/", &[], None),
        ("/public/", &["a", "a"], None),
        ("/public/", &[""], None),
        ("/public/", &["a b"], None),
        ("/public/", &["user@a"], None),
        ("/public/", &["a/b"], None),
        ("https://a.example/public/", &["b.example"], None),
    ] {
        let request = request("GET", uri, hosts);
        let outcome = decide(&routes(), &request, &Client::default(), UnixTime::now).await;
        match expected {
            Some(authority) => assert_eq!(outcome.unwrap().authority, authority, "{uri} {hosts:?}"),
            None => assert_eq!(outcome.unwrap_err().kind, Kind::BadRequest, "{uri} {hosts:?}"),
        }
    }
}

#[tokio::test]
async fn a_request_is_for_a_host_that_the_connection_is_certified_for() {
    let client = Client::default();
    for (uri, host, expected) in [
        ("/public/", "localhost", None),
        ("/public/", "[::1]:8443", None),
        ("/public/", "[::1]", None),
        ("https://A.example:8443/public/", "a.example:8443", None),
        ("/public/", "example", Some(Kind::Misdirected)),
        ("/public/", "[::2]", Some(Kind::Misdirected)),
        ("/public/", "a.example.test:443", Some(Kind::Misdirected)),
        ("https://b.test/public/", "b.test", Some(Kind::Misdirected)),
        // Whatever else is wrong with it: it is not for here.
        ("/elsewhere", "b.test", Some(Kind::Misdirected)),
        ("/admin/", "b.test", Some(Kind::Misdirected)),
        ("/public/%2e%2e/", "b.test", Some(Kind::Misdirected)),
    ] {
        let request = request("GET", uri, &[host]);
        let outcome = decide(&routes(), &request, &client, UnixTime::now).await;
        assert_eq!(outcome.err().map(|problem| problem.kind), expected, "{uri} {host}");
    }
    assert_eq!(client.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn tunnels_and_echoes_are_not_passed_on() {
    let served = "The method CONNECT is not passed on. a.example is served here: send the requests for it \
                  on this connection, without a tunnel.";
    for (method, uri, detail) in [
        ("CONNECT", "a.example:443", served),
        ("CONNECT", "b.test:443", "The method CONNECT is not passed on."),
        ("TRACE", "/public/", "The method TRACE is not passed on."),
    ] {
        let request = request(method, uri, &["a.example"]);
        let outcome = decide(&routes(), &request, &Client::default(), UnixTime::now).await;
        assert_eq!(outcome.unwrap_err(), Problem::new(Kind::NotImplemented, detail));
    }
}

#[tokio::test]
async fn who_cannot_be_asked_goes_where_the_route_says() {
    let help = "https://help.example.test/";
    for (path, answer, instead) in [
        ("/staff/", Err(Denial::Missing), Some(help)),
        ("/staff/", Err(Denial::Declined), None),
        ("/staff/", Err(Denial::Rejected(Rejection::Expired)), None),
        ("/admin/", Err(Denial::Missing), None),
    ] {
        let client = Client { answers: vec![("user", answer)], ..Client::default() };
        let problem = decided(path, &client).await.unwrap_err();
        let status = if instead.is_some() { 303 } else { 403 };
        assert_eq!(problem.status(), status, "{path}");
        assert_eq!(problem.instead.as_ref().map(|url| url.to_str().unwrap()), instead, "{path}");
    }
}
