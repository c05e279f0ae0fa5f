//! h3's client on h3-quinn and on the backend, and a server that says what a case tells it to.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use countersign_h3::Connection;
use countersign_proto::Role;
use countersign_testkit::PATIENCE;

use crate::client_cases::{BETTER, DEVIATIONS};
use crate::mock::MockLink;
use crate::quic::{Options, connect};
use crate::server::code_of;

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    /// The server's control stream, with its type.
    pub(crate) control: Vec<u8>,
    /// A further unidirectional stream.
    pub(crate) uni: Option<Vec<u8>>,
    /// What follows the request, on its stream.
    pub(crate) response: Vec<u8>,
    /// Whether that stream ends behind it.
    pub(crate) fin: bool,
    /// What the RFC allows.
    pub(crate) demand: &'static [Got],
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A whole response, with a body of so many bytes.
    Response(u16, usize),
    /// It failed, and nothing else.
    Failed,
    /// The client closed the connection with this code.
    Closed(u64),
}

#[derive(Clone, Copy, Debug)]
enum Stack {
    Plain,
    Silent,
    Announcing,
}

type Answer = Result<(u16, usize), String>;

async fn ask<C>(connection: C) -> Answer
where
    C: h3::quic::Connection<Bytes> + Send + 'static,
    C::OpenStreams: Send + Clone,
{
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let (mut driver, mut requests) =
        h3::client::new(connection).await.map_err(|error| said(&error))?;
    let asking = async move {
        let request = http::Request::get("https://localhost/").body(()).unwrap();
        let mut stream = requests.send_request(request).await.map_err(|error| said(&error))?;
        stream.finish().await.map_err(|error| said(&error))?;
        let response = stream.recv_response().await.map_err(|error| said(&error))?;
        let mut length = 0;
        while let Some(data) = stream.recv_data().await.map_err(|error| said(&error))? {
            length += data.remaining();
        }
        stream.recv_trailers().await.map_err(|error| said(&error))?;
        // With the last handle the connection ends.
        drop(requests);
        Ok((response.status().as_u16(), length))
    };
    tokio::join!(asking, poll_fn(|cx| driver.poll_close(cx))).0
}

async fn get(quic: quinn::Connection, stack: Stack) -> Answer {
    match stack {
        Stack::Plain => Box::pin(ask(h3_quinn::Connection::new(quic))).await,
        Stack::Silent => {
            let link = Arc::new(MockLink::silent(Role::Client));
            Box::pin(ask(Connection::new(quic, link))).await
        }
        Stack::Announcing => {
            let link = Arc::new(MockLink::new(Role::Client));
            Box::pin(ask(Connection::new(quic, link))).await
        }
    }
}

async fn run(case: &Case, stack: Stack, allowed: &[Got]) -> Got {
    let responds = allowed.iter().any(|got| matches!(got, Got::Response(..)));
    let running = Box::pin(observe(case, stack, case.fin || responds));
    let ran = tokio::time::timeout(PATIENCE, running).await;
    ran.unwrap_or_else(|_| panic!("{} on {stack:?}: nothing came of it", case.id))
}

async fn observe(case: &Case, stack: Stack, fin: bool) -> Got {
    let (_net, client, server) = connect(&Options::default()).await;
    let asking = get(client, stack);
    let serving = async {
        let mut streams = Vec::new();
        for bytes in [Some(&case.control), case.uni.as_ref()].into_iter().flatten() {
            // Closed for what came before, perhaps.
            let Ok(mut stream) = server.open_uni().await else { break };
            let _ = stream.write_all(bytes).await;
            streams.push(stream);
        }
        if let Ok((mut send, mut receive)) = server.accept_bi().await {
            let _ = receive.read_to_end(1 << 16).await;
            let _ = send.write_all(&case.response).await;
            if fin {
                let _ = send.finish();
            }
            streams.push(send);
        }
        code_of(&server.closed().await)
    };
    let (answer, code) = tokio::join!(asking, serving);
    match (answer, code) {
        // The last handle of a client closes without an error.
        (Ok((status, length)), 0x100) => Got::Response(status, length),
        (Err(_), 0x100) => Got::Failed,
        (_, code) => Got::Closed(code),
    }
}

/// What is wrong with a case.
pub(crate) async fn judge(case: Case) -> Option<String> {
    let of = |list: &'static [(&str, Got)]| list.iter().find(|(id, _)| *id == case.id);
    let (deviation, better) = (of(DEVIATIONS), of(BETTER));
    let allowed = deviation.map_or(case.demand, |(_, got)| std::slice::from_ref(got));
    let plain = run(&case, Stack::Plain, allowed).await;
    let mut wrong = String::new();
    if !allowed.contains(&plain) {
        wrong = format!("{plain:?} instead of {allowed:?}; ");
    }
    if deviation.is_some_and(|(_, got)| case.demand.contains(got)) {
        wrong.push_str("no deviation any more; ");
    }
    let wanted = better.map_or(&plain, |(_, got)| got);
    for stack in [Stack::Silent, Stack::Announcing] {
        let ours = run(&case, stack, std::slice::from_ref(wanted)).await;
        if ours != *wanted || better.is_some() && !case.demand.contains(&ours) {
            wrong.push_str(&format!("{stack:?}: {ours:?}, but plain: {plain:?}; "));
        }
    }
    (!wrong.is_empty()).then(|| format!("{} ({}): {wrong}", case.id, case.says))
}
