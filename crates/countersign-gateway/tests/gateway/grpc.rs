//! What gRPC asks of a proxy, over h2c to the backend: both directions open at once, trailers in both, `te`.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use countersign_testkit::within;
use futures_util::stream::poll_fn;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::support::{Body, Client, Running, Version, for_both_versions, serve};

for_both_versions! {
    a_call_with_streams_in_both_directions,
    a_call_that_fails_at_once_has_only_a_header_section,
}

/// A message with gRPC's prefix: not compressed, and its length.
fn message(text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(text.len()).unwrap());
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

type Pieces = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

fn body() -> (Pieces, Body) {
    let (pieces, mut taken) = mpsc::channel(1);
    (pieces, StreamBody::new(poll_fn(move |cx| taken.poll_recv(cx))).boxed_unsync())
}

fn trailers(fields: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let field = |(name, value): &(&'static str, &'static str)| {
        (name.parse().unwrap(), HeaderValue::from_static(value))
    };
    Frame::trailers(fields.iter().map(field).collect())
}

/// Answers each message with one of its own, and the client's trailers with its own.
async fn call(request: Request<Incoming>) -> Response<Body> {
    let headers = request.headers();
    let wanted = [("te", "trailers"), ("content-type", "application/grpc")];
    let kept = wanted.iter().all(|(name, value)| headers[*name] == *value);
    let deadline = headers["grpc-timeout"].clone();
    assert_eq!(headers.get("content-length"), None);
    let (pieces, answer) = body();
    tokio::spawn(async move {
        let mut asked = request.into_body();
        let mut end = "none";
        while let Some(frame) = asked.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) if !data.is_empty() => {
                    let echo = [&message("echo")[..], &data].concat();
                    pieces.send(Ok(Frame::data(echo.into()))).await.unwrap();
                }
                Ok(_) => {}
                Err(frame) => {
                    let fields = frame.into_trailers().unwrap();
                    end = if fields["x-checksum"] == "7" { "7" } else { "wrong" };
                    assert_eq!(fields.get("client-cert"), None);
                }
            }
        }
        let fields = [("grpc-status", "0"), ("grpc-message", "done"), ("x-checksum", end)];
        pieces.send(Ok(trailers(&fields))).await.unwrap();
    });
    Response::builder()
        .header("content-type", "application/grpc")
        .header("x-kept", kept.to_string())
        .header("x-deadline", deadline)
        .body(answer)
        .unwrap()
}

fn request(client: &Client, body: Body) -> Request<Body> {
    let request = client.request("/routeguide.RouteGuide/RouteChat").method("POST");
    let fields = [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "1M")];
    fields
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(body)
        .unwrap()
}

async fn a_call_with_streams_in_both_directions(version: Version) {
    let backend = serve(call).await;
    let gateway = Running::open(&format!("h2c://{backend}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let (pieces, sent) = body();
    // The header section of the response comes while nothing of the request's body is there.
    let response = client.start(request(&client, sent)).await.unwrap();
    assert_eq!(response.headers()["x-kept"], "true");
    assert_eq!(response.headers()["x-deadline"], "1M");
    let mut answer = response.into_body();
    let echo = message("echo");
    for turn in 0..10 {
        // Each message is sent once the answer to the one before is there.
        let asked = message(&format!("message {turn}"));
        pieces.send(Ok(Frame::data(asked.clone()))).await.unwrap();
        let wanted = [&echo[..], &asked].concat();
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            let frame = within(answer.frame()).await.unwrap().unwrap();
            got.extend(frame.into_data().unwrap());
        }
        assert_eq!(got, wanted);
    }
    let end = trailers(&[("x-checksum", "7"), ("client-cert", ":c3Bvb2Y=:")]);
    pieces.send(Ok(end)).await.unwrap();
    drop(pieces);
    let rest = within(answer.collect()).await.unwrap();
    let fields: HeaderMap = rest.trailers().unwrap().clone();
    assert!(rest.to_bytes().is_empty());
    assert_eq!(
        (&fields["grpc-status"], &fields["grpc-message"]),
        (&"0".parse().unwrap(), &"done".parse().unwrap())
    );
    assert_eq!(fields["x-checksum"], "7");
}

async fn a_call_that_fails_at_once_has_only_a_header_section(version: Version) {
    // "Trailers-Only": the status is in the header section, and the request's body may never end.
    let backend = serve(|_| async {
        let (_, nothing) = body();
        Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "12")
            .body(nothing)
            .unwrap()
    })
    .await;
    let gateway = Running::open(&format!("h2c://{backend}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let (_pieces, sent) = body();
    let response = client.start(request(&client, sent)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    let collected = within(response.into_body().collect()).await.unwrap();
    assert!(collected.to_bytes().is_empty());
}
