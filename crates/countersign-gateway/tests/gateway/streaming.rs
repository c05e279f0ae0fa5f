//! Bodies flow through as the receiving side takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use countersign::client::{CredentialResolver, Origin, Resolution, StaticCredentials};
use countersign::{AuthenticatorRequest, BoxFuture};
use countersign_testkit::tls::test_pki;
use countersign_testkit::within;
use futures_util::StreamExt;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{Notify, mpsc};

use crate::support::{
    Body, Client, HEAD, Running, Version, empty, for_both_versions, full, serve, shown_to,
};

for_both_versions! {
    an_upload_is_held_back_by_a_slow_backend_and_then_comes_whole,
    a_download_is_held_back_by_a_slow_client_and_then_comes_whole,
    the_body_of_a_held_request_stays_with_the_client,
    both_directions_flow_at_the_same_time,
    trailers_of_a_response_come_through,
}

pub(crate) const CHUNK: usize = 16 * 1024;
/// Far more than all windows and buffers on the way hold together.
pub(crate) const CHUNKS: usize = 4096;

/// A body of many chunks that counts those that were taken.
pub(crate) fn long_body(taken: Arc<AtomicUsize>) -> Body {
    let chunk = Bytes::from(vec![7; CHUNK]);
    let frames = futures_util::stream::iter(0..CHUNKS).map(move |_| {
        taken.fetch_add(1, Ordering::SeqCst);
        Ok(Frame::data(chunk.clone()))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Waits until a counter stands still.
pub(crate) async fn settled(counter: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    let mut same = 0;
    while same < 20 {
        let now = counter.load(Ordering::SeqCst);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        let pause = std::future::pending::<()>();
        let _ = tokio::time::timeout(std::time::Duration::from_millis(10), pause).await;
    }
    last
}

async fn an_upload_is_held_back_by_a_slow_backend_and_then_comes_whole(version: Version) {
    for scheme in ["http", "h2c"] {
        let go = Arc::new(Notify::new());
        let waiting = Arc::clone(&go);
        let backend = serve(move |request| {
            let go = Arc::clone(&waiting);
            async move {
                go.notified().await;
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Response::new(full(body.len().to_string()))
            }
        })
        .await;
        let gateway = Running::open(&format!("{scheme}://{backend}")).await;
        let client = Client::plain(version, &gateway, None).await;
        let taken = Arc::new(AtomicUsize::new(0));
        let request =
            client.request("/").method("POST").body(long_body(Arc::clone(&taken))).unwrap();
        let sending = async { client.send(request).await };
        let watching = async {
            while taken.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let held = settled(&taken).await;
            assert!(held < CHUNKS / 2, "{held} chunks were taken while nobody read");
            go.notify_one();
        };
        let (answer, ()) = within(async { tokio::join!(sending, watching) }).await;
        assert_eq!(answer.body, (CHUNK * CHUNKS).to_string());
    }
}

async fn a_download_is_held_back_by_a_slow_client_and_then_comes_whole(version: Version) {
    for scheme in ["http", "h2c"] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let backend = serve(move |_| {
            let body = long_body(Arc::clone(&counter));
            async { Response::new(body) }
        })
        .await;
        let gateway = Running::open(&format!("{scheme}://{backend}")).await;
        let client = Client::plain(version, &gateway, None).await;
        let response = client.start(client.request("/").body(empty()).unwrap()).await.unwrap();
        let held = settled(&taken).await;
        assert!(held < CHUNKS / 2, "{held} chunks were taken while nobody read");
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(body.len(), CHUNK * CHUNKS);
        assert!(body.iter().all(|byte| *byte == 7));
    }
}

/// Shows what it has once it is let.
struct Hesitant {
    shown: StaticCredentials,
    asked: Arc<Notify>,
    go: Arc<Notify>,
}

impl CredentialResolver for Hesitant {
    fn resolve<'a>(
        &'a self,
        origin: &'a Origin,
        request: &'a AuthenticatorRequest,
    ) -> BoxFuture<'a, Resolution> {
        Box::pin(async move {
            self.asked.notify_one();
            self.go.notified().await;
            self.shown.resolve(origin, request).await
        })
    }
}

async fn the_body_of_a_held_request_stays_with_the_client(version: Version) {
    let backend = serve(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body.len().to_string()))
    })
    .await;
    let text = format!(
        "{HEAD}[[routes]]\npath = \"/\"\nupstream = \"http://{backend}\"\n\
         [[routes]]\npath = \"/user/\"\nrequire = [\"user\"]\nupstream = \"http://{backend}\"\n"
    )
    .replace("ask = \"on-connect\"\n", "");
    let gateway = Running::start(&text).await;
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let hesitant = Hesitant {
        shown: shown_to(&gateway, &[&test_pki().alice]),
        asked: Arc::clone(&asked),
        go: Arc::clone(&go),
    };
    let client = Client::resolving(version, &gateway, hesitant).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let request =
        client.request("/user/").method("POST").body(long_body(Arc::clone(&taken))).unwrap();
    let sending = async { client.send(request).await };
    let watching = async {
        asked.notified().await;
        // The connection's window is 1 MiB; a little more waits in the client's own buffers.
        let held = settled(&taken).await;
        assert!(
            held * CHUNK <= 2 * 1024 * 1024,
            "{held} chunks were taken while the request was held"
        );
        go.notify_one();
    };
    let (answer, ()) = within(async { tokio::join!(sending, watching) }).await;
    assert_eq!(answer.body, (CHUNK * CHUNKS).to_string());
}

async fn both_directions_flow_at_the_same_time(version: Version) {
    for scheme in ["http", "h2c"] {
        let backend = serve(|request| async move {
            let echo = request.into_body().map_err(|error| panic!("{error}"));
            Response::new(echo.boxed_unsync())
        })
        .await;
        let gateway = Running::open(&format!("{scheme}://{backend}")).await;
        let client = Client::plain(version, &gateway, None).await;
        let (feed, mut fed) = mpsc::channel(1);
        let frames = futures_util::stream::poll_fn(move |cx| fed.poll_recv(cx));
        let body = StreamBody::new(frames).boxed_unsync();
        let request = client.request("/").method("POST").body(body).unwrap();
        let mut response = client.start(request).await.unwrap().into_body();
        for turn in 0..20_u8 {
            feed.send(Ok(Frame::data(Bytes::from(vec![turn; 1000])))).await.unwrap();
            let mut got = 0;
            while got < 1000 {
                let frame = within(response.frame()).await.unwrap().unwrap();
                let data = frame.into_data().unwrap();
                assert!(data.iter().all(|byte| *byte == turn));
                got += data.len();
            }
        }
        drop(feed);
        assert!(within(response.collect()).await.unwrap().to_bytes().is_empty());
    }
}

async fn trailers_of_a_response_come_through(version: Version) {
    let backend = serve(|_| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frames = [Ok(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    })
    .await;
    let gateway = Running::open(&format!("h2c://{backend}")).await;
    let client = Client::plain(version, &gateway, None).await;
    let response = client.start(client.request("/").body(empty()).unwrap()).await.unwrap();
    let collected = within(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
}
