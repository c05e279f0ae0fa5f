//! The stock HTTP/3 stack on both ends.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use countersign_h3::{BidiStream, Connection, OpenStreams};
use countersign_proto::Role;
use h3::error::ConnectionError;
use http::{Request, Response};
use tokio::task::JoinHandle;

use super::mock::MockLink;
use super::quic::{Net, Options, connect};

pub(crate) type SendRequest = h3::client::SendRequest<OpenStreams<MockLink>, Bytes>;
pub(crate) type ServerStream = h3::server::RequestStream<BidiStream<MockLink, Bytes>, Bytes>;
pub(crate) type ClientStream = h3::client::RequestStream<BidiStream<MockLink, Bytes>, Bytes>;
pub(crate) type ServerConnection = h3::server::Connection<Connection<MockLink>, Bytes>;

/// A client on `quic`, driven by a task.
pub(crate) async fn client(
    quic: quinn::Connection,
    link: &Arc<MockLink>,
) -> (SendRequest, JoinHandle<ConnectionError>) {
    let connection = Connection::new(quic, Arc::clone(link));
    let (mut driver, requests) = h3::client::new(connection).await.unwrap();
    (requests, tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await }))
}

/// A server on `quic`.
pub(crate) async fn server(quic: quinn::Connection, link: &Arc<MockLink>) -> ServerConnection {
    let connection = Connection::new(quic, Arc::clone(link));
    h3::server::Connection::new(connection).await.unwrap()
}

/// Answers every request with what it carries, and says how the connection ended.
pub(crate) fn serve(mut connection: ServerConnection) -> JoinHandle<Option<ConnectionError>> {
    tokio::spawn(async move {
        loop {
            match connection.accept().await {
                Ok(Some(resolver)) => {
                    tokio::spawn(async move {
                        // A request on a connection that is closed for a violation ends so.
                        let (_, stream) = resolver.resolve_request().await.ok()?;
                        echo(stream).await.ok()
                    });
                }
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    })
}

async fn echo(mut stream: ServerStream) -> Result<(), h3::error::StreamError> {
    stream.send_response(Response::new(())).await?;
    let (mut send, mut recv) = stream.split();
    while let Some(mut data) = recv.recv_data().await? {
        send.send_data(data.copy_to_bytes(data.remaining())).await?;
    }
    send.finish().await
}

pub(crate) fn request() -> Request<()> {
    Request::post("https://localhost/").body(()).unwrap()
}

/// Sends `body` and returns what comes back; at most `window` bytes are on their way.
pub(crate) async fn exchange(requests: &mut SendRequest, body: Bytes) -> Bytes {
    let stream = requests.send_request(request()).await.unwrap();
    let (mut send, mut recv) = stream.split();
    let sending = async {
        let mut rest = body.clone();
        let sizes = [1, 8, 255, 1023, 5000, 16_383, 70_000];
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            send.send_data(rest.split_to(size.min(rest.len()))).await.unwrap();
        }
        send.finish().await.unwrap();
    };
    let receiving = async {
        recv.recv_response().await.unwrap();
        let mut received = Vec::new();
        while let Some(mut data) = recv.recv_data().await.unwrap() {
            while data.has_remaining() {
                let len = data.chunk().len();
                received.extend_from_slice(data.chunk());
                data.advance(len);
            }
        }
        Bytes::from(received)
    };
    tokio::join!(sending, receiving).1
}

/// Both ends, with a mock behind each.
pub(crate) struct Pair {
    pub(crate) net: Net,
    pub(crate) client_link: Arc<MockLink>,
    pub(crate) server_link: Arc<MockLink>,
    pub(crate) client_quic: quinn::Connection,
    pub(crate) server_quic: quinn::Connection,
    pub(crate) requests: SendRequest,
    pub(crate) client: JoinHandle<ConnectionError>,
    pub(crate) server: JoinHandle<Option<ConnectionError>>,
}

pub(crate) async fn pair(options: &Options) -> Pair {
    let (net, client_quic, server_quic) = connect(options).await;
    let client_link = Arc::new(MockLink::new(Role::Client));
    let server_link = Arc::new(MockLink::new(Role::Server));
    let ((requests, client), server) = tokio::join!(
        client(client_quic.clone(), &client_link),
        server(server_quic.clone(), &server_link),
    );
    let server = serve(server);
    Pair { net, client_link, server_link, client_quic, server_quic, requests, client, server }
}

/// `len` bytes that a wrong, missing or displaced one changes.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}
