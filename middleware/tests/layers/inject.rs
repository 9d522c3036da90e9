//! What a layer owes, of `Inject`; and that its faults are what was asked for.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::owed;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use resilient::inject::{Fault, Faults, Inject, InjectLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Calls are their own keys, but for "free", which has none.
type Calls = Faults<&'static str, &'static str>;
type KeyOf = fn(&&'static str) -> Option<&'static str>;
type Answer = fn(&&'static str) -> &'static str;
type Layered<S> = Inject<S, &'static str, &'static str, KeyOf, Answer>;

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    owed::calls_go_to_the_instance_that_was_ready(layer(&Calls::new())).await;
}

#[tokio::test]
async fn an_error_of_readiness_passes_through() {
    owed::errors_of_readiness_pass(layer(&Calls::new()));
}

#[tokio::test]
async fn errors_of_the_inner_service_pass_and_count_as_no_failure() {
    let faults = Calls::new();
    let service = layer(&faults).layer(service_fn(|_: &'static str| async { Err("broken") }));
    assert_eq!(service.oneshot("call").await, Err("broken"));
    assert_eq!(counts(&faults, "call"), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_releases_what_it_holds_and_was_counted() {
    let faults = Calls::new();
    faults.set("slow", delay(Duration::from_secs(9)));
    let held = Arc::new(());
    let inner = {
        let held = Arc::clone(&held);
        service_fn(move |_: &'static str| {
            let held = Arc::clone(&held);
            async move {
                let _held = held;
                pending::<Result<&'static str, Infallible>>().await
            }
        })
    };
    let mut service = layer(&faults).layer(inner);
    let alone = Arc::strong_count(&held);
    // Before the delay, in it, and in the call.
    for wait in [
        None,
        Some(Duration::from_secs(1)),
        Some(Duration::from_secs(10)),
    ] {
        let call = service.ready().await.unwrap().call("slow");
        assert!(Arc::strong_count(&held) > alone, "the call holds it");
        if let Some(wait) = wait {
            let mut call = std::pin::pin!(call);
            tokio::select! {
                _ = &mut call => panic!("it never ends"),
                () = sleep(wait) => {}
            }
        } else {
            drop(call);
        }
        assert_eq!(Arc::strong_count(&held), alone);
    }
    assert_eq!(counts(&faults, "slow"), (3, 0));
}

#[tokio::test]
async fn a_call_that_fails_does_not_reach_the_inner_service() {
    let faults = Calls::new();
    faults.set("call", fail_next(2));
    let inner = Arc::new(AtomicUsize::new(0));
    let service = layer(&faults).layer(counting(&inner));
    for expected in ["failed", "failed", "inner", "inner"] {
        assert_eq!(service.clone().oneshot("call").await, Ok(expected));
    }
    assert_eq!(inner.load(Ordering::SeqCst), 2);
    assert_eq!(counts(&faults, "call"), (4, 2));
}

#[tokio::test]
async fn services_of_a_layer_and_their_clones_share_its_faults() {
    let faults = Calls::new();
    faults.set("call", fail_next(2));
    let layer = layer(&faults);
    let (one, other) = (layer.layer(inner()), layer.clone().layer(inner()));
    assert_eq!(one.clone().oneshot("call").await, Ok("failed"));
    assert_eq!(other.clone().oneshot("call").await, Ok("failed"));
    assert_eq!(one.oneshot("call").await, Ok("inner"));
    assert_eq!(other.oneshot("call").await, Ok("inner"));
    assert_eq!(counts(&faults, "call"), (4, 2));
}

#[tokio::test]
async fn keys_have_faults_of_their_own_and_calls_without_key_none() {
    let faults = Calls::new();
    faults.set("a", fail_next(1));
    faults.set("free", fail_next(1));
    let service = layer(&faults).layer(inner());
    assert_eq!(service.clone().oneshot("b").await, Ok("inner"));
    assert_eq!(service.clone().oneshot("free").await, Ok("inner"));
    assert_eq!(service.clone().oneshot("a").await, Ok("failed"));
    assert_eq!(counts(&faults, "b"), (1, 0));
    assert_eq!(counts(&faults, "free"), (0, 0));
}

#[tokio::test]
async fn exactly_so_many_in_a_hundred_fail_evenly_spread() {
    for percent in 0..=100 {
        let faults = Calls::new();
        faults.set("call", abort(percent));
        let failed = failures(&faults, 300).await;
        let percent = usize::from(percent);
        assert_eq!(failed.len(), 3 * percent);
        let Some(apart) = 100usize.checked_div(percent) else {
            continue;
        };
        for two in failed.windows(2) {
            let distance = two[1] - two[0];
            assert!(
                (apart..=apart + 1).contains(&distance),
                "{percent} %: {distance} apart"
            );
        }
    }
}

#[tokio::test]
async fn the_next_ones_fail_before_the_spread_begins() {
    let faults = Calls::new();
    let fault = Fault {
        fail_next: 3,
        ..abort(50)
    };
    faults.set("call", fault);
    assert_eq!(failures(&faults, 9).await, [0, 1, 2, 4, 6, 8]);
}

#[tokio::test]
async fn the_newest_fault_counts_and_counters_go_on() {
    let faults = Calls::new();
    faults.set("call", fail_next(100));
    assert_eq!(failures(&faults, 2).await, [0, 1]);
    faults.set("call", abort(50));
    assert_eq!(failures(&faults, 4).await, [1, 3]);
    assert_eq!(counts(&faults, "call"), (6, 4));
    faults.clear();
    assert_eq!(faults.report(), []);
    assert!(failures(&faults, 4).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_call_waits_first_whether_it_fails_or_not() {
    const DELAY: Duration = Duration::from_secs(5);
    let faults = Calls::new();
    let fault = Fault {
        fail_next: 1,
        ..delay(DELAY)
    };
    faults.set("call", fault);
    let service = layer(&faults).layer(inner());
    for expected in ["failed", "inner"] {
        let begun = Instant::now();
        assert_eq!(service.clone().oneshot("call").await, Ok(expected));
        assert_eq!(begun.elapsed(), DELAY);
    }
    faults.clear();
    let begun = Instant::now();
    assert_eq!(service.oneshot("call").await, Ok("inner"));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_router_with_two_routes_and_two_connections_counts_as_one() {
    let faults = Faults::<String, StatusCode>::new();
    let fault = Fault {
        fail_next: 2,
        ..Fault::new(StatusCode::IM_A_TEAPOT)
    };
    faults.set("/one".to_owned(), fault);
    let injected = InjectLayer::new(
        faults.clone(),
        |request: &Request<Body>| Some(request.uri().path().to_owned()),
        |status: &StatusCode| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *status;
            response
        },
    );
    let routes = Router::new()
        .route("/one", get(async || "one"))
        .route("/two", get(async || "two"))
        .layer(injected);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });

    assert_eq!(fetch(address, "/two").await, 200);
    assert_eq!(fetch(address, "/one").await, 418);
    assert_eq!(fetch(address, "/one").await, 418);
    assert_eq!(fetch(address, "/one").await, 200);
    let report = faults.report();
    let seen = |path: &str| {
        report
            .iter()
            .find(|(key, _)| key == path)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!((seen("/one").requests, seen("/one").failures), (3, 2));
    assert_eq!((seen("/two").requests, seen("/two").failures), (1, 0));
}

#[test]
fn the_inner_service_can_be_reached() {
    let mut service: Layered<u8> = layer(&Calls::new()).layer(7);
    *service.get_mut() += 1;
    assert_eq!(*service.get_ref(), 8);
    assert_eq!(service.into_inner(), 8);
}

fn layer(faults: &Calls) -> InjectLayer<&'static str, &'static str, KeyOf, Answer> {
    let key_of: KeyOf = |call| (*call != "free").then_some(*call);
    let answer: Answer = |failure| failure;
    InjectLayer::new(faults.clone(), key_of, answer)
}

fn inner()
-> impl Service<&'static str, Response = &'static str, Error = Infallible, Future: Send> + Clone {
    counting(&Arc::default())
}

fn counting(
    calls: &Arc<AtomicUsize>,
) -> impl Service<&'static str, Response = &'static str, Error = Infallible, Future: Send> + Clone + use<>
{
    let calls = Arc::clone(calls);
    service_fn(move |_: &'static str| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Ok("inner") }
    })
}

fn fail_next(fail_next: u64) -> Fault<&'static str> {
    Fault {
        fail_next,
        ..Fault::new("failed")
    }
}

fn abort(abort_percent: u8) -> Fault<&'static str> {
    Fault {
        abort_percent,
        ..Fault::new("failed")
    }
}

fn delay(delay: Duration) -> Fault<&'static str> {
    Fault {
        delay,
        ..Fault::new("failed")
    }
}

/// Which of the next calls fail.
async fn failures(faults: &Calls, calls: usize) -> Vec<usize> {
    let service = layer(faults).layer(inner());
    let mut failed = Vec::new();
    for number in 0..calls {
        if service.clone().oneshot("call").await == Ok("failed") {
            failed.push(number);
        }
    }
    failed
}

/// How many calls with `key` there were, and how many failed.
fn counts(faults: &Calls, key: &str) -> (u64, u64) {
    let report = faults.report();
    let seen = report.iter().find(|(seen, _)| *seen == key);
    seen.map_or((0, 0), |(_, seen)| (seen.requests, seen.failures))
}

/// The status of `path`, asked on a connection of its own.
async fn fetch(address: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("it accepts connections");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it reads requests");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.expect("an answer has a status")
}
