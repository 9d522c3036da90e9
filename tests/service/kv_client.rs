//! The client of a store: what it answers is what the store in the same process would, and what
//! goes wrong on the way says for certain whether a write can have been made.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use crate::common::kvstore::client;
use crate::common::proxy::{Fate, Proxy};
use axum::Router;
use axum::routing::get;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use resilient::detach::Tracker;
use splitdim::kv::{
    Conflict, Entry, Kv, KvClient, KvError, KvRequest, KvResponse, KvService, Listed, Put, Range,
    Stamp, spawn_embedded,
};
use splitdim::serve::{self, EventLoops, Limits};
use splitdim::store::Memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

/// Keys that must be written with care where they are part of a path.
const ODD: &[&str] = &[
    "a",
    "a b",
    "a&b=c",
    "a%20b",
    "a+b",
    "#a",
    "a\nb\r\n",
    "\0",
    "é",
    "e\u{301}",
    "🦀",
    "!t/1",
    "\"",
    "\\",
    "\u{feff}a",
    "?id=a",
    "/",
];

/// A refusal of a write of which the end is missing.
const REFUSAL: &str = "HTTP/1.1 428 Precondition Required\r\ncontent-length: 99\r\n\r\n{\"mo";

/// A wish for a call, from which the requests are made as the stamps go on.
#[derive(Clone, Debug)]
enum Call {
    Get(String),
    List(Range, Epoch),
    Put(Put, Epoch),
    Transaction(Vec<Put>, Epoch),
    Reset,
}

/// Which stamp or epoch a call names.
#[derive(Clone, Copy, Debug)]
enum Epoch {
    None,
    Current,
    Other,
}

#[test]
fn any_calls_are_answered_over_http_as_in_this_process() {
    same_answers(96);
}

#[test]
#[ignore = "long"]
fn very_many_calls_are_answered_over_http_as_in_this_process() {
    same_answers(3000);
}

#[tokio::test]
async fn a_connection_that_is_refused_leaves_no_doubt() {
    let kv = client(nobody().await);
    assert_classes(&kv, "unavailable", "unavailable").await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_leaves_no_doubt() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Those that nobody accepts fill the queue; the operating system ignores who comes then.
    let in_the_queue: Vec<_> = (0..8).map(|_| TcpStream::connect(address)).collect();
    let waiting: Vec<_> = in_the_queue.into_iter().map(tokio::spawn).collect();
    sleep(Duration::from_millis(300)).await;
    assert!(waiting.iter().any(|one| !one.is_finished()));
    assert_classes(&client(address), "unavailable", "unavailable").await;
}

#[tokio::test]
async fn a_connection_that_is_cut_leaves_writes_in_doubt() {
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|_| Fate::Cut);
    assert_classes(&kv, "unavailable", "unknown").await;
    proxy.rule(|_| Fate::DropAnswer);
    assert_classes(&kv, "unavailable", "unknown").await;
}

#[tokio::test]
async fn an_error_of_the_server_leaves_writes_in_doubt() {
    let (kv, proxy) = through_proxy().await;
    for status in [500, 502, 503, 504] {
        proxy.rule(move |_| Fate::Refuse(status));
        assert_classes(&kv, "unavailable", "unknown").await;
    }
}

#[tokio::test]
async fn a_refusal_by_something_else_on_the_way_leaves_no_doubt() {
    let (kv, proxy) = through_proxy().await;
    for status in [401, 403, 404, 405] {
        proxy.rule(move |_| Fate::Refuse(status));
        assert_classes(&kv, "unavailable", "unavailable").await;
    }
    proxy.rule(|_| Fate::Refuse(413));
    assert_classes(&kv, "unavailable", "invalid").await;
    // These may be said after the write was passed on.
    for status in [408, 429, 499] {
        proxy.rule(move |_| Fate::Refuse(status));
        assert_classes(&kv, "unavailable", "unknown").await;
    }
    // A redirect is not followed, and no answer of ours.
    proxy.rule(|_| Fate::Refuse(307));
    assert_classes(&kv, "unavailable", "unknown").await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_taken_for_one() {
    // Which is the status of a success, with nothing that could be read.
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|_| Fate::Refuse(200));
    assert_eq!(class(&kv.get("k".into()).await), "unavailable");
    assert_eq!(class(&kv.list(Range::default(), None).await), "unavailable");
    proxy.rule(|_| Fate::Refuse(304));
    assert_eq!(class(&kv.list(Range::default(), None).await), "unavailable");
    proxy.rule(|_| Fate::Refuse(204));
    assert_eq!(class(&kv.reset(None).await), "unknown");
}

#[tokio::test]
async fn no_answer_in_time_leaves_writes_in_doubt() {
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|seen| match seen.path {
        "/api/list" => Fate::Pass,
        _ => Fate::SlowAnswer(2 * KvClient::TIMEOUT),
    });
    let begun = Instant::now();
    let (get, put, reset) = tokio::join!(
        kv.get("k".into()),
        kv.put(put("k", "1", 0), None),
        kv.reset(None)
    );
    assert!(begun.elapsed() >= KvClient::TIMEOUT);
    assert_eq!(class(&get), "unavailable");
    assert_eq!(class(&put), "unknown");
    assert_eq!(class(&reset), "unknown");
}

#[tokio::test]
async fn a_refusal_counts_even_if_what_it_says_is_cut_off() {
    let kv = client(refusing(true).await);
    assert_eq!(class(&kv.put(put("k", "1", 0), None).await), "conflict");
}

#[tokio::test]
async fn a_refusal_that_stalls_ends_in_time() {
    let kv = client(refusing(false).await);
    let begun = Instant::now();
    assert_eq!(class(&kv.put(put("k", "1", 0), None).await), "unknown");
    assert!(begun.elapsed() >= KvClient::TIMEOUT);
    assert!(begun.elapsed() < 5 * KvClient::TIMEOUT);
}

#[tokio::test]
async fn a_list_may_take_longer_than_other_requests() {
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|_| Fate::SlowAnswer(KvClient::TIMEOUT * 3 / 2));
    assert_eq!(class(&kv.list(Range::default(), None).await), "ok");
}

#[tokio::test]
async fn a_list_on_a_dead_connection_is_asked_for_again_while_there_is_time() {
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|seen| match seen.before {
        0 => Fate::Swallow,
        _ => Fate::Pass,
    });
    assert_eq!(class(&kv.list(Range::default(), None).await), "ok");
}

#[tokio::test]
async fn a_list_that_is_never_answered_ends_before_its_reader_gives_up() {
    let (kv, proxy) = through_proxy().await;
    proxy.rule(|_| Fate::Swallow);
    let begun = Instant::now();
    assert_eq!(class(&kv.list(Range::default(), None).await), "unavailable");
    assert!(begun.elapsed() < 5 * KvClient::TIMEOUT);
}

#[tokio::test]
async fn conflicts_are_told_apart() {
    let kv = client(server().await);
    kv.put(put("k", "1", 0), None).await.unwrap();
    let other = kv.put(put("k", "2", 0), None).await.unwrap_err();
    assert!(
        matches!(&other, KvError::Conflict(Conflict::Version { moved }) if moved == &[entry("k", "1", 1)]),
        "{other}"
    );
    let stamp = kv.reset(None).await.unwrap().unwrap();
    let late = kv
        .put(put("k", "2", 0), Some(stamp.epoch - 1))
        .await
        .unwrap_err();
    let KvError::Conflict(Conflict::Epoch { current }) = late else {
        panic!("{late}");
    };
    assert_eq!(current, stamp.epoch);
    let late = kv
        .transaction(vec![put("k", "2", 0)], Some(stamp.epoch - 1))
        .await;
    assert!(matches!(
        late,
        Err(KvError::Conflict(Conflict::Epoch { .. }))
    ));
}

#[tokio::test]
async fn what_can_never_succeed_is_invalid() {
    let kv = client(server().await);
    assert_eq!(class(&kv.put(put("", "1", 0), None).await), "invalid");
    assert_eq!(class(&kv.get("".into()).await), "invalid");
    let twice = vec![put("k", "1", 0), put("k", "2", 1)];
    assert_eq!(class(&kv.transaction(twice, None).await), "invalid");
}

#[tokio::test]
async fn a_list_is_tried_three_times_and_nothing_else_is_tried_again() {
    let (kv, proxy) = through_proxy().await;
    for fate in [Fate::Refuse(500), Fate::Refuse(503), Fate::Cut] {
        let before = |path| proxy.requests(path);
        let lists = before("/api/list");
        proxy.rule(move |_| fate);
        assert_eq!(class(&kv.list(Range::default(), None).await), "unavailable");
        assert_eq!(proxy.requests("/api/list") - lists, 3, "{fate:?}");
        for (path, class) in [
            ("/api/get", class(&kv.get("k".into()).await)),
            ("/api/put", class(&kv.put(put("k", "1", 0), None).await)),
            ("/api/reset", class(&kv.reset(None).await)),
        ] {
            assert_ne!(class, "ok", "{path}");
        }
        let both = vec![put("a", "1", 0), put("b", "1", 0)];
        assert_ne!(class(&kv.transaction(both, None).await), "ok");
    }
    for path in ["/api/get", "/api/put", "/api/transaction", "/api/reset"] {
        assert_eq!(
            proxy.requests(path),
            3,
            "{path}: once for each kind of failure"
        );
    }
}

#[tokio::test]
async fn a_list_that_fails_twice_in_passing_comes_to_the_third_answer() {
    let (kv, proxy) = through_proxy().await;
    kv.put(put("k", "1", 0), None).await.unwrap();
    proxy.rule(|seen| match seen.before {
        0 => Fate::Cut,
        1 => Fate::Refuse(503),
        _ => Fate::Pass,
    });
    let Listed::Entries(entries, _) = kv.list(Range::default(), None).await.unwrap() else {
        panic!("something has changed since nothing");
    };
    assert_eq!(entries.all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_without_headers_and_ranges_will_do() {
    // The original's: in no order, with everything.
    let all = r#"[{"key":"b","value":"2","version":2},{"key":"c","value":"3","version":1},{"key":"a","value":"1","version":7}]"#;
    let routes = Router::new()
        .route("/api/list", get(async move || all))
        .route("/api/get", get(async || r#"{"value":"1","version":7}"#))
        .route("/api/reset", get(async || ()));
    let kv = client(serve_routes(routes).await);

    let (versioned, stamp) = kv.get("a".into()).await.unwrap();
    assert_eq!(
        (&*versioned.value, versioned.version, stamp),
        ("1", 7, None)
    );
    assert_eq!(kv.reset(None).await.unwrap(), None);
    let unless = Some(Stamp::default());
    for (range, expected) in [
        (Range::default(), &["a", "b", "c"][..]),
        (Range::prefix("b"), &["b"]),
        (Range::from("b"), &["b", "c"]),
        (limited(Range::from("a"), 2), &["a", "b"]),
        (limited(Range::default(), 0), &[]),
    ] {
        let listed = kv.list(range.clone(), unless).await.unwrap();
        let Listed::Entries(entries, None) = listed else {
            panic!("{listed:?}");
        };
        let entries = entries.all().await.unwrap();
        let keys: Vec<_> = entries.iter().map(|entry| &*entry.key).collect();
        assert_eq!(keys, expected, "{range:?}");
    }
}

/// Makes `cases` sequences of calls of a server and of a store in this process.
fn same_answers(cases: u32) {
    let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
    let (remote, local) = runtime.block_on(async {
        let remote = KvClient::new(&server().await.to_string(), Duration::from_secs(10));
        (
            KvService::new(remote.expect("a client can be made")),
            store(),
        )
    });
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let calls = vec(call(), 1..40);
    let run = TestRunner::new(config).run(&calls, |calls| {
        runtime.block_on(async {
            // Versions begin at 1 again; epochs and revisions go on.
            let mut stamp = Stamp::default();
            for call in [Call::Reset].into_iter().chain(calls) {
                let request = request(call, stamp);
                let (remote, local) = (remote.clone(), local.clone());
                let remote = remote.oneshot(request.clone()).await;
                let local = local.oneshot(request).await;
                stamp = stamp_of(&local).unwrap_or(stamp);
                prop_assert_eq!(comparable(remote).await, comparable(local).await);
            }
            Ok(())
        })
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

fn call() -> impl Strategy<Value = Call> {
    let range = (text(), text(), proptest::option::of(0..5usize));
    let range = range.prop_map(|(prefix, start, limit)| Range {
        prefix: prefix.into(),
        start: start.into(),
        limit,
    });
    let all = Just(Range::default());
    prop_oneof![
        3 => key().prop_map(Call::Get),
        1 => (prop_oneof![range, all], epoch()).prop_map(|(range, unless)| Call::List(range, unless)),
        6 => (a_put(), epoch()).prop_map(|(put, epoch)| Call::Put(put, epoch)),
        3 => (vec(a_put(), 1..4), epoch()).prop_map(|(puts, epoch)| Call::Transaction(puts, epoch)),
        // It is the puts that name the epoch.
        1 => Just(Call::Transaction(Vec::new(), Epoch::None)),
        1 => Just(Call::Reset),
    ]
}

fn epoch() -> impl Strategy<Value = Epoch> {
    prop_oneof![6 => Just(Epoch::None), 6 => Just(Epoch::Current), 1 => Just(Epoch::Other)]
}

fn a_put() -> impl Strategy<Value = Put> {
    let key = prop_oneof![20 => key(), 1 => Just(String::new())];
    let version = prop_oneof![8 => Just(0), 4 => Just(1), 2 => 2..4u64, 1 => any::<u64>()];
    (key, text(), version).prop_map(|(key, value, version)| put(&key, &value, version))
}

/// Mostly one of a few, so that calls meet.
fn key() -> impl Strategy<Value = String> {
    let long = (1..20usize).prop_map(|length| "lång ".repeat(length * length));
    prop_oneof![20 => proptest::sample::select(ODD).prop_map(str::to_owned), 2 => long, 3 => "\\PC{1,9}"]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 3 => key(), 1 => any::<String>()]
}

fn request(call: Call, stamp: Stamp) -> KvRequest {
    let epoch = |which| match which {
        Epoch::None => None,
        Epoch::Current => Some(stamp.epoch),
        Epoch::Other => Some(stamp.epoch.wrapping_sub(1)),
    };
    match call {
        Call::Get(key) => KvRequest::Get { key: key.into() },
        Call::List(range, unless) => {
            let unless = match unless {
                Epoch::None => None,
                Epoch::Current => Some(stamp),
                Epoch::Other => Some(Stamp::default()),
            };
            KvRequest::List { range, unless }
        }
        Call::Put(put, which) => KvRequest::Put {
            put,
            epoch: epoch(which),
        },
        Call::Transaction(puts, which) => KvRequest::Transaction {
            puts,
            epoch: epoch(which),
        },
        Call::Reset => KvRequest::Reset { epoch: None },
    }
}

fn stamp_of(answer: &Result<KvResponse, KvError>) -> Option<Stamp> {
    match answer {
        Ok(
            KvResponse::Value { stamp, .. }
            | KvResponse::List { stamp, .. }
            | KvResponse::Done { stamp },
        ) => *stamp,
        _ => None,
    }
}

/// What of an answer can be compared: a list to its end, and an error without the words that only people read.
async fn comparable(answer: Result<KvResponse, KvError>) -> String {
    match answer {
        Ok(KvResponse::List { entries, stamp }) => format!("{:?} {stamp:?}", entries.all().await),
        Ok(other) => format!("{other:?}"),
        Err(KvError::Invalid(_)) => "invalid".to_owned(),
        Err(other) => other.to_string(),
    }
}

/// Asserts what becomes of each read and of each write.
async fn assert_classes(kv: &Kv, reads: &str, writes: &str) {
    assert_eq!(class(&kv.get("k".into()).await), reads);
    assert_eq!(class(&kv.list(Range::default(), None).await), reads);
    assert_eq!(class(&kv.put(put("k", "1", 0), None).await), writes);
    let both = vec![put("a", "1", 0), put("b", "1", 0)];
    assert_eq!(class(&kv.transaction(both, None).await), writes);
    assert_eq!(class(&kv.reset(None).await), writes);
}

fn class<T>(result: &Result<T, KvError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(KvError::Conflict(_)) => "conflict",
        Err(KvError::Unavailable(_)) => "unavailable",
        Err(KvError::Unknown(_)) => "unknown",
        Err(KvError::Invalid(_)) => "invalid",
    }
}

fn entry(key: &str, value: &str, version: u64) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
        version,
    }
}

fn put(key: &str, value: &str, version: u64) -> Put {
    Put::new(key, value, version)
}

fn limited(range: Range, limit: usize) -> Range {
    Range {
        limit: Some(limit),
        ..range
    }
}

fn store() -> KvService {
    spawn_embedded(Memory::beginning_at(7)).0
}

/// The routes of a server over a store in memory, on a port of their own.
async fn server() -> SocketAddr {
    serve_store(store()).await
}

/// The routes of a server over `store`, in the same way.
pub(crate) async fn serve_store(store: KvService) -> SocketAddr {
    let (listener, address) = listen().await;
    let limits = Limits {
        idle_timeout: Duration::from_secs(60),
        max_connections: 100,
        grace_period: Duration::ZERO,
    };
    let app = splitdim::kvstore::app(store, None, splitdim::web::Edge::default());
    tokio::spawn(async move {
        let here = EventLoops::current();
        serve::run(listener, app, &here, Tracker::new(), limits, pending()).await
    });
    address
}

pub(crate) async fn serve_routes(routes: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Answers the first request by [`REFUSAL`]; then the connection is closed, or kept and used no more.
async fn refusing(is_closed: bool) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody comes");
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(read > 0);
        stream
            .write_all(REFUSAL.as_bytes())
            .await
            .expect("a client");
        if !is_closed {
            pending::<()>().await;
        }
    });
    address
}

async fn through_proxy() -> (Kv, Proxy) {
    let proxy = Proxy::start(server().await).await;
    (client(proxy.address), proxy)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// An address on which nobody listens.
async fn nobody() -> SocketAddr {
    listen().await.1
}
