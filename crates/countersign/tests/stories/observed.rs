//! What an observer hears of a connection's identities.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use countersign::server::{
    Acceptor, AuthConfig, AuthHandle, CredentialKind, Denied, Event, Loss, Observer,
};
use countersign::{BoxFuture, Rejection};
use countersign_testkit::tls::test_pki;
use countersign_testkit::{TlsOptions, Version, quic, within};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::support::{Client, device, rules, show, until, user, verifier};

/// Everything in a word or two, in its order.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: &Event) {
        let line = match event {
            Event::Proven(identity) => format!("proven {}", identity.credential()),
            Event::Rejected { credential, chain, reason } => {
                assert!(!chain.is_empty());
                format!("rejected {} {reason:?}", credential.as_deref().unwrap_or("nothing"))
            }
            Event::Declined { credential } => format!("declined {credential}"),
            Event::Unanswered { credential } => format!("unanswered {credential}"),
            Event::Lost(identity, loss) => format!("lost {} {loss:?}", identity.credential()),
            Event::Delayed => "delayed".to_owned(),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

type Answer = Result<Response<Empty<bytes::Bytes>>, std::convert::Infallible>;

/// 200 to whoever proves the credential that the path names.
fn answer<B>(handle: AuthHandle) -> impl Fn(Request<B>) -> BoxFuture<'static, Answer> + Clone {
    move |request: Request<B>| {
        let handle = handle.clone();
        let wanted = request.uri().path().trim_start_matches('/').to_owned();
        Box::pin(async move {
            let mut response = Response::new(Empty::new());
            if handle.require(&wanted).await.is_err() {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            Ok(response)
        })
    }
}

async fn serve(version: Version, rules: &Arc<AuthConfig>, log: &Arc<Log>) -> SocketAddr {
    let (tls, rules, log) = (TlsOptions::default().server_config(), rules.clone(), log.clone());
    match version {
        Version::H2 => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = Acceptor::new(Arc::new(tls), rules);
            tokio::spawn(async move {
                let (tcp, _) = listener.accept().await.unwrap();
                let accepting = acceptor.accept_observed(tcp, |_| log);
                let (stream, handle, _log) = accepting.await.unwrap();
                let service = hyper::service::service_fn(answer(handle));
                http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
            address
        }
        Version::H3 => {
            let endpoint = quic::server(tls, quinn::TransportConfig::default());
            let address = endpoint.local_addr().unwrap();
            let acceptor = countersign::h3::Acceptor::new(rules);
            tokio::spawn(async move {
                let incoming = endpoint.accept().await.unwrap();
                let (connection, handle) = acceptor.accept_observed(incoming, log).await.unwrap();
                let service = tower::service_fn(answer(handle));
                connection.serve(service, std::future::pending()).await;
            });
            address
        }
    }
}

async fn each_thing_is_told_once_and_before_anybody_goes_on(version: Version) {
    within(async {
        let pki = test_pki();
        let (rules, log) = (Arc::new(rules().build().unwrap()), Arc::new(Log::default()));
        let address = serve(version, &rules, &log).await;
        let shown = show(address, &[&pki.alice]);
        let mut client = Client::connect(version, address, shown, 4).await;
        assert_eq!(client.get("/user").await.0, 200);
        assert!(log.lines().contains(&"proven user".to_owned()), "{:?}", log.lines());
        assert_eq!(client.get("/device").await.0, 403);
        // On connect, and once more if that was over before the request came.
        let declined = log.lines().iter().filter(|line| *line == "declined device").count();
        assert!((1..=2).contains(&declined), "{declined}");

        let other = CredentialKind::new("user", verifier(&pki.server_ca));
        assert_eq!(rules.replace_credentials(vec![device(), other]), Ok(1));
        let lost = format!("lost user {:?}", Loss::Rejected(Rejection::Untrusted));
        assert_eq!(log.lines().last(), Some(&lost));

        assert_eq!(rules.replace_credentials(vec![device(), user()]), Ok(0));
        assert_eq!(client.get("/user").await.0, 200);
        assert_eq!(rules.replace_credentials(vec![device()]), Ok(1));
        assert_eq!(log.lines().last(), Some(&format!("lost user {:?}", Loss::NotConfigured)));
    })
    .await;
}

async fn what_is_not_accepted_is_told_and_what_ends_with_the_connection(version: Version) {
    within(async {
        let pki = test_pki();
        let (rules, log) = (Arc::new(rules().build().unwrap()), Arc::new(Log::default()));
        let address = serve(version, &rules, &log).await;
        let shown = show(address, &[&pki.revoked, &pki.device]);
        let mut client = Client::connect(version, address, shown, 4).await;
        assert_eq!(client.get("/user").await.0, 403);
        let reason = Denied::Rejected(Rejection::Revoked);
        assert!(log.lines().contains(&format!("rejected user {reason:?}")), "{:?}", log.lines());
        assert_eq!(client.get("/device").await.0, 200);
        drop(client);
        let lost = format!("lost device {:?}", Loss::Closed);
        until(|| log.lines().last() == Some(&lost)).await;
        assert_eq!(log.lines().iter().filter(|line| line.starts_with("lost")).count(), 1);
    })
    .await;
}

countersign_testkit::over_both_versions!(
    each_thing_is_told_once_and_before_anybody_goes_on,
    what_is_not_accepted_is_told_and_what_ends_with_the_connection,
);
