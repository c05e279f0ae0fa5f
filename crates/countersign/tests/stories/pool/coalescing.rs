//! One connection for the origins that it is authoritative for.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use countersign::client::{CredentialSet, NoCredentials, NotAuthoritative};
use countersign_testkit::within;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use super::site::{Body, Caller, Site, Ways, closed, empty, full};
use crate::support::provider;

/// A body that doesn't tell its size.
fn unsized_body(text: &'static str) -> Body {
    let frame = Ok(Frame::data(Bytes::from_static(text.as_bytes())));
    StreamBody::new(futures_util::stream::iter([frame])).boxed_unsync()
}

#[tokio::test]
async fn two_origins_with_unrelated_certificates_share_a_connection() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        assert_eq!(caller.get(&site, "a.test").await.body, "a.test a.test 0 0");
        caller.certificates(1).await;
        let answer = caller.get(&site, "b.test").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a.test b.test 0 0"));
        assert_eq!(
            *answer.handle.origin(),
            site.origin("a.test"),
            "the handle is the connection's"
        );
        assert_eq!(site.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_has_its_own_connection() {
    within(async {
        let site = Site::serve(Ways::default()).await;
        let caller = Caller::with_dns(Ipv4Addr::new(127, 9, 9, 9).into());
        caller.get(&site, "a.test").await;
        caller.certificates(1).await;
        assert_eq!(caller.get(&site, "b.test").await.body, "b.test b.test 0 0");
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_unacceptable_chain_costs_a_connection_and_nothing_else() {
    within(async {
        let site = Site::serve(Ways { untrusted: true, ..Ways::default() }).await;
        let caller = Caller::new();
        caller.get(&site, "a.test").await;
        caller.certificates(1).await;
        assert_eq!(caller.get(&site, "b.test").await.body, "b.test b.test 0 0");
        assert_eq!(caller.get(&site, "a.test").await.body, "a.test a.test 0 0");
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_misdirected_request_is_repeated_on_a_connection_of_its_own() {
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) A request answered with status 421 on another origin's connection MUST be sent again
    //# on a fresh one, unless its body cannot be repeated.
    within(async {
        let ways = Ways::default();
        ways.misdirects.store(true, Ordering::SeqCst);
        let (site, caller) = (Site::serve(ways).await, Caller::new());
        let first = caller.get(&site, "a.test").await.handle;
        caller.certificates(1).await;
        let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "1".parse().unwrap())]);
        let body = Full::new(Bytes::from_static(b"twelve bytes"))
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed_unsync();
        let answer = caller.send(&caller.set, &site, "b.test", body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "b.test b.test 12 1"));
        let refused = first.is_authoritative_for(&site.origin("b.test")).await;
        assert_eq!(refused, Err(NotAuthoritative::Misdirected));
        let answer = caller.get(&site, "b.test").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "b.test b.test 0 0"));
        assert_eq!(site.accepted(), 2);
        assert_eq!(*answer.handle.origin(), site.origin("b.test"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_own_origin_is_misdirected_is_not_used_for_it_again() {
    //= specs/server-certs.md#origin-http2
    //= type=test
    //# The origin of a request that is answered with status 421 MUST be removed from the Origin
    //# Set.
    //= specs/server-certs.md#decisions
    //= type=test
    //# (ours) Status 421 MUST take the request's origin from the connection, with an Origin Set and
    //# without.
    within(async {
        let ways = Ways::default();
        ways.disowns.store(true, Ordering::SeqCst);
        let (site, caller) = (Site::serve(ways.clone()).await, Caller::new());
        let answer = caller.get(&site, "a.test").await;
        assert_eq!(answer.status, 421, "another connection of its own would not fare better");
        assert_eq!(site.accepted(), 1);
        let refused = answer.handle.is_authoritative_for(&site.origin("a.test")).await;
        assert_eq!(refused, Err(NotAuthoritative::Misdirected));
        ways.disowns.store(false, Ordering::SeqCst);
        assert_eq!(caller.get(&site, "a.test").await.body, "a.test a.test 0 0");
        assert_eq!(caller.get(&site, "a.test").await.body, "a.test a.test 0 0");
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_misdirected_request_that_cannot_be_repeated_is_the_callers_to_repeat() {
    within(async {
        let ways = Ways::default();
        let (site, caller) = (Site::serve(ways.clone()).await, Caller::new());
        caller.get(&site, "a.test").await;
        caller.certificates(1).await;
        assert_eq!(caller.get(&site, "b.test").await.status, 200);
        ways.misdirects.store(true, Ordering::SeqCst);
        let send = || caller.send(&caller.set, &site, "b.test", unsized_body("four"));
        assert_eq!(send().await.status, 421);
        assert_eq!(site.accepted(), 1);
        let answer = send().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "b.test b.test 4 0"));
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_repeated_is_only_sent_where_the_origin_was_answered_before() {
    within(async {
        for body in [|| unsized_body("four"), || full(64 * 1024 + 1)] {
            let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
            caller.get(&site, "a.test").await;
            caller.certificates(1).await;
            let answer = caller.send(&caller.set, &site, "b.test", body()).await;
            assert!(answer.body.starts_with("b.test b.test "), "{}", answer.body);
            assert_eq!(site.accepted(), 2);

            let caller = Caller::new();
            caller.get(&site, "a.test").await;
            caller.certificates(1).await;
            caller.get(&site, "b.test").await;
            let answer = caller.send(&caller.set, &site, "b.test", body()).await;
            assert!(answer.body.starts_with("a.test b.test "), "{}", answer.body);
            assert_eq!(site.accepted(), 3);
        }
    })
    .await;
}

#[tokio::test]
async fn credential_sets_share_no_connection_for_other_origins_either() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let other = Caller::set(Ipv4Addr::LOCALHOST.into(), &caller.log);
        caller.get(&site, "a.test").await;
        caller.certificates(1).await;
        let answer = caller.send(&other, &site, "b.test", empty()).await;
        assert_eq!(answer.body, "b.test b.test 0 0");
        let answer = caller.send(&other, &site, "b.test", empty()).await;
        assert_eq!(answer.body, "b.test b.test 0 0");
        assert_eq!(caller.get(&site, "b.test").await.body, "a.test b.test 0 0");
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn without_rules_for_it_nothing_is_coalesced() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let plain = CredentialSet::with_resolver(provider(), Arc::new(NoCredentials), 1).unwrap();
        for host in ["a.test", "b.test", "a.test"] {
            let answer = caller.send(&plain, &site, host, empty()).await;
            assert_eq!(answer.body, format!("{host} {host} 0 0"));
        }
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn http_1_1_goes_on_over_the_connection_that_was_opened() {
    within(async {
        let site = Site::serve(Ways { http1: true, ..Ways::default() }).await;
        let caller = Caller::new();
        for _ in 0..3 {
            assert_eq!(caller.get(&site, "a.test").await.body, "a.test a.test 0 0");
        }
        assert_eq!(site.accepted(), 1);
        assert_eq!(caller.get(&site, "b.test").await.body, "b.test b.test 0 0");
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_request_after_the_server_shut_down_goes_to_a_new_connection() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let first = caller.get(&site, "a.test").await;
        site.shut_down.notify_waiters();
        closed(&first.handle).await;
        assert_eq!(caller.get(&site, "a.test").await.status, 200);
        assert_eq!(site.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_not_begun_goes_to_a_new_connection() {
    within(async {
        let ways = Ways { streams: Some(1), ..Ways::default() };
        let (site, caller) = (Site::serve(ways.clone()).await, Caller::new());
        caller.get(&site, "a.test").await;
        let held = http::Request::get(format!("https://a.test:{}/held", site.address.port()));
        let mut held = Box::pin(caller.client.request(&caller.set, held.body(empty()).unwrap()));
        // One waits in the HTTP/2 stack, the other before it.
        let mut next = Box::pin(caller.get(&site, "a.test"));
        let mut last = Box::pin(caller.get(&site, "a.test"));
        for _ in 0..2 {
            assert!(futures_util::poll!(&mut held).is_pending());
            assert!(futures_util::poll!(&mut next).is_pending());
            assert!(futures_util::poll!(&mut last).is_pending());
            tokio::task::yield_now().await;
        }
        site.shut_down.notify_waiters();
        assert_eq!(last.await.status, 200);
        assert_eq!(site.accepted(), 2);
        ways.held.notify_one();
        assert_eq!(held.await.unwrap().status(), 200, "what was begun goes on");
    })
    .await;
}

#[tokio::test]
async fn requests_at_once_wait_for_one_connection() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let answers = join_all((0..50).map(|_| caller.get(&site, "a.test"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(site.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_waits_takes_over_from_who_gave_up() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let mut first = Box::pin(caller.get(&site, "a.test"));
        let mut second = Box::pin(caller.get(&site, "a.test"));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn nothing_listening_is_an_error_for_everybody_who_waits() {
    within(async {
        let caller = Caller::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("https://a.test:{}/", listener.local_addr().unwrap().port());
        drop(listener);
        let request = || http::Request::get(&uri).body(empty()).unwrap();
        let send = || caller.client.request(&caller.set, request());
        for outcome in join_all([send(), send()]).await {
            let error = outcome.unwrap_err();
            assert!(error.to_string().starts_with("no connection to https://a.test"), "{error}");
            assert!(std::error::Error::source(&error).is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
    let first = within(caller.get(&site, "a.test")).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(89)).await;
    tokio::time::resume();
    let second = within(caller.get(&site, "a.test")).await;
    assert!(first.handle.closed_reason().is_none());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(91)).await;
    tokio::time::resume();
    within(closed(&second.handle)).await;
    assert_eq!(within(caller.get(&site, "a.test")).await.status, 200);
    assert_eq!(site.accepted(), 2);
}

#[tokio::test]
async fn requests_can_be_sent_from_any_task() {
    within(async {
        let (site, caller) = (Site::serve(Ways::default()).await, Caller::new());
        let uri = format!("https://a.test:{}/", site.address.port());
        let task = tokio::spawn(async move {
            let request = http::Request::get(uri).body(empty()).unwrap();
            caller.client.request(&caller.set, request).await.unwrap().status()
        });
        assert_eq!(task.await.unwrap(), 200);
    })
    .await;
}
