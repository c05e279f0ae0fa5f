//! Clients of the bench, on whatever carries them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use countersign::client::{
    AuthConfig, AuthorityRules, ClientCredential, ClientHandle, DnsRule, Handshaker,
    NotAuthoritative, Origin, StaticCredentials,
};
use countersign::h3;
use countersign_testkit::TlsOptions;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::pki::{self, FIRST, FURTHER, client_tls, server_verifier};
use crate::way::{Version, Way};

/// A client's connection.
pub(crate) struct Client {
    way: Way,
    send: Sender,
    handle: ClientHandle,
}

enum Sender {
    H2(SendRequest<Empty<Bytes>>),
    H3(h3::Client),
}

fn origin(host: &str) -> Origin {
    Origin::new(host, 443)
}

/// Whom a connection is opened to.
fn opened_to(way: Way) -> Origin {
    origin(if way == Way::New { FURTHER } else { FIRST })
}

fn device() -> ClientCredential {
    pki::device().into()
}

/// The client's rules: for answering, and for further origins.
fn rules(way: Way) -> Arc<AuthConfig> {
    let shown = match way {
        Way::OnDemand => StaticCredentials::new().identity(origin(FIRST), device()),
        Way::Ahead => StaticCredentials::new().keep_generic(),
        Way::Get | Way::Second | Way::Offered | Way::New => StaticCredentials::new(),
    };
    let limit = if way.connects() { 0 } else { 4 };
    let rules = AuthConfig::builder(TlsOptions::default().provider());
    let mut rules = rules.resolver(Arc::new(shown)).limit(limit);
    if way == Way::Offered {
        rules = rules.authority(AuthorityRules::new(server_verifier()).dns(DnsRule::Never));
    }
    Arc::new(rules.build().unwrap())
}

impl Client {
    pub(crate) async fn over_tcp<IO>(way: Way, io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tls = Arc::new(client_tls(way, Version::H2.alpn()));
        let handshaker = Handshaker::new(tls, rules(way));
        let (stream, handle) = handshaker.connect(io, opened_to(way)).await.unwrap();
        let (send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        Self { way, send: Sender::H2(send), handle }
    }

    pub(crate) async fn over_quic(
        way: Way,
        endpoint: &quinn::Endpoint,
        address: SocketAddr,
    ) -> Self {
        let tls = client_tls(way, Version::H3.alpn());
        let config = countersign_testkit::quic::client_config(tls, Default::default());
        let handshaker = h3::Handshaker::new(config, rules(way));
        let (send, handle) = handshaker.connect(endpoint, address, opened_to(way)).await.unwrap();
        Self { way, send: Sender::H3(send), handle }
    }

    /// The first request on a connection that is to live.
    pub(crate) async fn warm_up(&mut self) {
        self.get(FIRST, "/").await;
        if self.way == Way::Offered {
            let refused = self.handle.is_authoritative_for(&origin(FURTHER)).await;
            assert_eq!(refused, Err(NotAuthoritative::NotCertified));
        }
    }

    /// What is measured, once there is a connection.
    pub(crate) async fn proceed(&mut self) {
        match self.way {
            Way::Get | Way::Second => self.get(FIRST, "/").await,
            Way::OnDemand => self.get(FIRST, "/device").await,
            Way::Ahead => {
                self.handle.present(Arc::new(device())).await.unwrap();
                self.get(FIRST, "/device").await;
            }
            Way::Offered => {
                self.handle.becomes_authoritative_for(&origin(FURTHER)).await.unwrap();
                self.get(FURTHER, "/further").await;
            }
            Way::New => self.get(FURTHER, "/further").await,
        }
    }

    /// A GET that has to succeed.
    async fn get(&mut self, host: &str, path: &str) {
        let uri = format!("https://{host}{path}");
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let status = match &mut self.send {
            Sender::H2(send) => {
                let response = send.send_request(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            }
            Sender::H3(send) => {
                let response = send.send(request).await.unwrap();
                let status = response.status();
                response.into_body().collect().await.unwrap();
                status
            }
        };
        assert_eq!(status, 200);
    }
}
