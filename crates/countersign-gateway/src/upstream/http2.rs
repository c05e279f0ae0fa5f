//! HTTP/2 without TLS: one connection to a server, shared by all requests.

use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::UpstreamBody;
use super::failure::Failure;

/// How often, and how long, a server is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

type Sender = http2::SendRequest<UpstreamBody>;

/// One shared HTTP/2 connection to a server.
pub(super) struct Http2Pool {
    authority: Authority,
    connect_timeout: Duration,
    connection: Mutex<Option<Sender>>,
}

impl Http2Pool {
    /// Connects to nothing yet.
    pub(super) fn new(authority: Authority, connect_timeout: Duration) -> Self {
        Self { authority, connect_timeout, connection: Mutex::default() }
    }

    pub(super) async fn send(
        &self,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, Failure> {
        // A kept connection may be closing just now. What was not sent over it comes back and
        // goes over a fresh one.
        let (mut sender, fresh) = self.in_time(self.connection()).await?;
        if !fresh {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::of(error.error())),
                },
            }
            sender = self.in_time(self.reconnect(&sender)).await?;
        }
        sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let failure = Failure::of(error.error());
            if unsent { failure.unsent() } else { failure }
        })
    }

    /// The connection, and whether it was made for this call.
    async fn connection(&self) -> Result<(Sender, bool), Failure> {
        let mut kept = self.connection.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let sender = self.connect().await?;
        *kept = Some(sender.clone());
        Ok((sender, true))
    }

    /// A connection other than the one that failed, which is forgotten.
    async fn reconnect(&self, failed: &Sender) -> Result<Sender, Failure> {
        if failed.is_closed() {
            return Ok(self.connection().await?.0);
        }
        let sender = self.connect().await?;
        *self.connection.lock().await = Some(sender.clone());
        Ok(sender)
    }

    /// Bounds the time for a connection, including the time that others take to make it.
    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match timeout(self.connect_timeout, connecting).await {
            Ok(outcome) => outcome.map_err(Failure::unsent),
            Err(_) => Err(Failure::not_accepted()),
        }
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(self.authority.as_str())
            .await
            .map_err(|error| Failure::of(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::of(&error))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::of(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
            }
        });
        Ok(sender)
    }
}
