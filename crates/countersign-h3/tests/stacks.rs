//! Real h3 on both ends, over QUIC on loopback, with frames of the extension in both directions all
//! the while.

#![cfg(test)]

mod support;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use countersign_h3::Connection;
use countersign_proto::link::{Closed, Link, Transmit};
use countersign_proto::{Role, Setting, Violation};
use h3::error::Code;
use support::mock::{Event, MockLink, OURS};
use support::quic::{Options, closed_with, connect};
use support::stacks::{Pair, client, exchange, pair, pattern, request, serve, server};
use support::within;

fn frames(count: usize, len: usize, salt: u8) -> Vec<Bytes> {
    (0..count)
        .map(|number| {
            let byte = salt ^ number as u8;
            Bytes::from(vec![byte; len + number % 7])
        })
        .collect()
}

/// Frames cross in both directions while a body does; nothing is lost, displaced or reordered.
async fn bodies_and_frames(options: &Options, body: usize, frame_count: usize, frame_len: usize) {
    let Pair { net: _net, client_link, server_link, mut requests, .. } = pair(options).await;
    let from_server = frames(frame_count, frame_len, 0x55);
    let from_client = frames(frame_count, frame_len, 0xaa);
    let injecting = async {
        for (ours, theirs) in from_server.iter().zip(&from_client) {
            server_link.push_frame(ours.clone());
            client_link.push_frame(theirs.clone());
            tokio::task::yield_now().await;
        }
    };
    let body = pattern(body);
    let (echoed, ()) = tokio::join!(exchange(&mut requests, body.clone()), injecting);
    assert!(echoed == body, "the body came back changed");
    let arrived = |events: &[Event], count| {
        events.iter().filter(|event| matches!(event, Event::Frame(..))).count() == count
    };
    client_link.until(|events| arrived(events, frame_count)).await;
    server_link.until(|events| arrived(events, frame_count)).await;
    assert!(client_link.frames() == from_server);
    assert!(server_link.frames() == from_client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn big_bodies_and_hundreds_of_frames() {
    let options = Options::default();
    let run = bodies_and_frames(&options, 8 << 20, 300, 3000);
    tokio::time::timeout(Duration::from_secs(60), Box::pin(run)).await.unwrap();
}

#[tokio::test]
async fn tiny_windows() {
    let options = Options { window: Some(1200), ..Options::default() };
    within(bodies_and_frames(&options, 100_000, 40, 3000)).await;
}

#[tokio::test]
async fn many_requests_at_once() {
    within(async {
        let Pair { net: _net, client_link, requests, .. } = pair(&Options::default()).await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..150 {
            let mut requests = requests.clone();
            tasks.spawn(async move {
                let body = pattern(number * 100);
                exchange(&mut requests, body.clone()).await == body
            });
            client_link.push_frame(vec![number as u8]);
        }
        assert!(tasks.join_all().await.into_iter().all(|same| same));
    })
    .await;
}

#[tokio::test]
async fn settings_go_both_ways_inside_the_stacks_own() {
    //= specs/client-certs.md#section-3.1.2
    //= type=test
    //# In HTTP/3 the setting MUST travel as an ordinary parameter of the SETTINGS frame under its own
    //# identifier.
    within(async {
        let Pair { net: _net, client_link, server_link, requests: _requests, .. } =
            pair(&Options::default()).await;
        for link in [&client_link, &server_link] {
            link.until(|events| {
                events.contains(&Event::SettingsSent)
                    && events.iter().any(|event| event.settings().is_some())
            })
            .await;
            let settings = link.peer_settings();
            assert_eq!(settings.len(), 1);
            assert!(settings[0].contains(&OURS), "{settings:?}");
            assert!(settings[0].len() > 1, "the stack's entries are missing: {settings:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_added_where_nothing_is_announced() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::silent(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let (_connected, server) =
            tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
        let _serving = serve(server);
        server_link
            .until(|events| {
                let plain = |settings: &[Setting]| !settings.contains(&OURS);
                events.iter().any(|event| event.settings().is_some_and(plain))
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn frames_go_on_after_goaway() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let ((mut requests, _driver), mut server) =
            tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
        let mut stream = requests.send_request(request()).await.unwrap();
        let resolver = server.accept().await.unwrap().unwrap();
        server_link.push_frame("before");
        server.shutdown(0).await.unwrap();
        server_link.push_frame("after");
        client_link
            .until(|events| {
                events.iter().filter(|event| matches!(event, Event::Frame(..))).count() == 2
            })
            .await;
        assert_eq!(client_link.frames(), ["before", "after"]);
        // The frames came on either side of the GOAWAY, which the stack has understood.
        let (_, mut answer) = resolver.resolve_request().await.unwrap();
        answer.send_response(http::Response::new(())).await.unwrap();
        answer.finish().await.unwrap();
        stream.recv_response().await.unwrap();
        assert!(stream.recv_data().await.unwrap().is_none());
        let refused = loop {
            match requests.send_request(request()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.to_string(), "Remote is closing the connection");
    })
    .await;
}

#[tokio::test]
async fn frames_go_out_while_nobody_polls_the_stack() {
    //= specs/client-certs.md#section-4.1
    //= type=test
    //# In HTTP/3 the frame MUST be sent on the control stream.
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let (_connected, _idle) =
            tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
        server_link.push_frame("unprompted");
        client_link
            .until(|events| events.iter().any(|event| matches!(event, Event::Frame(..))))
            .await;
        assert_eq!(client_link.frames(), ["unprompted"]);
    })
    .await;
}

#[tokio::test]
async fn a_request_can_be_stopped_while_it_is_read() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let ((mut requests, _driver), mut server) =
            tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
        let mut stream = requests.send_request(request()).await.unwrap();
        stream.send_data(Bytes::from_static(b"some of it")).await.unwrap();
        let resolver = server.accept().await.unwrap().unwrap();
        let (_, mut incoming) = resolver.resolve_request().await.unwrap();
        while incoming.recv_data().await.unwrap().unwrap().has_remaining() {
            // The next read waits, and is given up while it does.
            let mut reading = pin!(incoming.recv_data());
            if poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await {
                break;
            }
        }
        incoming.stop_sending(Code::H3_NO_ERROR);
        incoming.stop_sending(Code::H3_NO_ERROR);
        incoming.send_response(http::Response::new(())).await.unwrap();
        incoming.finish().await.unwrap();
        let stopped = loop {
            match stream.send_data(Bytes::from_static(b"more")).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(stopped.to_string().contains("H3_NO_ERROR"), "{stopped}");
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_not_read_to_its_end_is_stopped_without_an_error() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let ((mut requests, _driver), mut server) =
            tokio::join!(client(client_quic, &client_link), server(server_quic, &server_link));
        let mut stream = requests.send_request(request()).await.unwrap();
        let resolver = server.accept().await.unwrap().unwrap();
        let (_, mut incoming) = resolver.resolve_request().await.unwrap();
        incoming.send_response(http::Response::new(())).await.unwrap();
        incoming.finish().await.unwrap();
        drop(incoming);
        let stopped = loop {
            match stream.send_data(Bytes::from_static(b"more")).await {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(stopped.to_string().contains("H3_NO_ERROR"), "{stopped}");
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn extended_connect_passes() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let server = async {
            let connection = Connection::new(server_quic, Arc::clone(&server_link));
            let mut builder = h3::server::builder();
            builder.enable_extended_connect(true);
            builder.build(connection).await.unwrap()
        };
        let ((mut requests, _driver), server) =
            tokio::join!(client(client_quic, &client_link), server);
        let _serving = serve(server);
        // The stack sends an extended CONNECT only to a server that announced it.
        client_link
            .until(|events| {
                let announced = |settings: &[Setting]| {
                    settings.contains(&Setting { id: 0x8, value: 1 }) && settings.contains(&OURS)
                };
                events.iter().any(|event| event.settings().is_some_and(announced))
            })
            .await;
        let mut request = http::Request::connect("https://localhost/tunnel").body(()).unwrap();
        request.extensions_mut().insert(h3::ext::Protocol::CONNECT_UDP);
        let mut tunnel = requests.send_request(request).await.unwrap();
        tunnel.recv_response().await.unwrap();
        for turn in 0..20_u8 {
            server_link.push_frame(vec![turn; 100]);
            tunnel.send_data(Bytes::from(vec![turn; 50])).await.unwrap();
            let mut echoed = Vec::new();
            while echoed.len() < 50 {
                let mut data = tunnel.recv_data().await.unwrap().unwrap();
                echoed.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            assert_eq!(echoed, [turn; 50]);
        }
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let client_link = Arc::new(MockLink::new(Role::Client));
        let server_link = Arc::new(MockLink::new(Role::Server));
        let connection = Connection::new(client_quic, Arc::clone(&client_link));
        let (client, server) =
            tokio::join!(h3::client::new(connection), server(server_quic.clone(), &server_link));
        let _serving = serve(server);
        // Neither of the two closes the connection by itself.
        let (driver, requests) = client.unwrap();
        drop(driver);
        drop(requests);
        assert_eq!(closed_with(&server_quic).await.0, Code::H3_NO_ERROR.value());
        for link in [client_link, server_link] {
            link.until(|events| events.contains(&Event::Closed(Closed::Transport))).await;
            assert_eq!(link.violation(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn the_task_lets_go_of_the_link() {
    within(async {
        let Pair { net, client_link, server_link, client_quic, requests, client, server, .. } =
            pair(&Options::default()).await;
        drop((requests, client_quic));
        let ended = client.await.unwrap();
        assert!(ended.is_h3_no_error(), "{ended}");
        drop(server.await);
        net.client.wait_idle().await;
        for link in [client_link, server_link] {
            while Arc::strong_count(&link) > 1 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_end_of_the_connection_is_heard_of_without_polling() {
    within(async {
        let (_net, client_quic, server_quic) = connect(&Options::default()).await;
        let link = Arc::new(MockLink::new(Role::Server));
        let _idle = server(server_quic, &link).await;
        client_quic.close(7_u32.into(), b"gone");
        link.until(|events| events.contains(&Event::Closed(Closed::Transport))).await;
    })
    .await;
}

#[tokio::test]
async fn the_links_own_violation_closes() {
    within(async {
        let Pair {
            net: _net,
            client_link,
            server_link,
            client_quic,
            requests: _requests,
            server,
            ..
        } = pair(&Options::default()).await;
        server_link.push(Transmit::Settings(vec![OURS]));
        server_link.push(Transmit::Close(Violation::BadSignature));
        server_link.push_frame("too late");
        let (code, text) = closed_with(&client_quic).await;
        assert_eq!(code, Violation::BadSignature.h3_code(&server_link.code_points()).0);
        assert_eq!(text, Violation::BadSignature.to_string());
        assert_eq!(server_link.violation(), Some(Violation::BadSignature));
        assert_eq!(client_link.frames(), Vec::<Bytes>::new());
        let error = server.await.unwrap().unwrap();
        assert!(error.to_string().ends_with(&text), "{error}");
    })
    .await;
}
