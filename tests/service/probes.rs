//! What an orchestrator asks, and where operators are served.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::http::{Answer, Connection, bytes, get, header, post, request};
use crate::common::kvstore::{self, Kvstore};
use crate::common::process::{Process, Signal};
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim::{self, Splitdim};
use axum::http::Method;
use tokio::time::{Instant, sleep};

const OPS: [&str; 2] = ["--ops-listen", "127.0.0.1:0"];

#[tokio::test]
async fn a_store_in_the_process_is_ready_at_once() {
    let splitdim = Splitdim::in_memory(&OPS);
    let kvstore = Kvstore::in_memory(&OPS);
    for (address, operators) in [
        (splitdim.address, splitdim.process.operators()),
        (kvstore.address, kvstore.process.operators()),
    ] {
        let operators = operators.expect("it serves operators");
        for address in [address, operators] {
            for path in ["/livez", "/readyz"] {
                let answer = ask(address, path).await;
                assert_eq!(answer.status(), 200, "{path}");
                assert_eq!(answer.body(), "OK");
            }
        }
        assert_eq!(ask(address, "/healthz").await.body(), "OK");
    }
}

#[tokio::test]
async fn probes_take_no_other_method() {
    let splitdim = Splitdim::in_memory(&OPS);
    let operators = splitdim.process.operators().unwrap();
    for (address, path) in [
        (splitdim.address, "/livez"),
        (splitdim.address, "/readyz"),
        (operators, "/readyz"),
        (operators, "/metrics"),
    ] {
        let mut client = Connection::open(address).await.unwrap();
        let answer = client.call(&request(Method::POST, path, "")).await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        assert_eq!(header(&answer, "allow"), Some("GET,HEAD"), "{path}");
    }
}

#[tokio::test]
async fn a_replica_is_ready_when_it_has_reached_the_store_and_stays_so() {
    let store = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(store.address).await;
    proxy.rule(|_| Fate::Refuse(503));
    let splitdim = Splitdim::replica("resilientkvstore", proxy.address, &OPS);
    let operators = splitdim.process.operators().unwrap();
    for address in [splitdim.address, operators] {
        assert_eq!(ask(address, "/livez").await.status(), 200);
        let answer = ask(address, "/readyz").await;
        assert_eq!(answer.status(), 503);
        let kind = header(&answer, "content-type");
        assert_eq!(kind, Some("application/problem+json"));
    }
    assert_eq!(ask(splitdim.address, "/healthz").await.status(), 200);

    proxy.heal();
    becomes(splitdim.address, 200).await;
    assert_eq!(ask(operators, "/readyz").await.status(), 200);

    // All replicas have the same store: they must not all be taken out of service.
    proxy.rule(|_| Fate::Refuse(503));
    let before = proxy.disturbed();
    while proxy.disturbed() < before + 3 {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask(splitdim.address, "/readyz").await.status(), 200);
}

#[tokio::test]
async fn whoever_stops_is_not_ready_and_still_tells_its_operators() {
    let mut splitdim = Splitdim::in_memory(&OPS);
    let operators = splitdim.process.operators().unwrap();
    // Somebody who has sent half a request holds it up.
    let mut slow = splitdim.connect().await;
    let whole = bytes(&post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    ));
    let (half, rest) = whole.split_at(whole.len() - 5);
    slow.write(half).await.unwrap();
    assert_eq!(ask(splitdim.address, "/readyz").await.status(), 200);
    let mut waiting = splitdim.connect().await;

    splitdim.process.signal(Signal::TERM);
    splitdim.process.wait_for("stopping");
    let answer = waiting.call(&get("/readyz")).await.unwrap();
    assert_eq!(answer.status(), 503);
    // Longer than the public door stays open.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(ask(operators, "/readyz").await.status(), 503);
    assert_eq!(ask(operators, "/livez").await.status(), 200);
    assert_eq!(ask(operators, "/metrics").await.status(), 200);

    // Operators who keep their connections do not hold it up.
    let _open = Connection::open(operators).await.unwrap();
    slow.write(rest).await.unwrap();
    assert_eq!(slow.answer(&Method::POST).await.unwrap().status(), 200);
    let begun = Instant::now();
    assert!(splitdim.process.ended().await.success());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn without_an_address_operators_are_not_served() {
    let splitdim = Splitdim::in_memory(&[]);
    let kvstore = Kvstore::in_memory(&[]);
    assert_eq!(splitdim.process.operators(), None);
    assert_eq!(kvstore.process.operators(), None);
    assert_eq!(ask(splitdim.address, "/metrics").await.status(), 404);
    assert_eq!(ask(kvstore.address, "/metrics").await.status(), 404);
}

#[tokio::test]
async fn the_environment_tells_where_operators_are_served() {
    for (program, name) in [
        (splitdim::PROGRAM, "SPLITDIM_OPS_LISTEN"),
        (kvstore::PROGRAM, "KVSTORE_OPS_LISTEN"),
    ] {
        let arguments = ["--in-memory", "--listen", "127.0.0.1:0"];
        let mut process = Process::start(program, &arguments, &[(name, "127.0.0.1:0")]);
        process.address();
        assert!(process.operators().is_some(), "{name}");
        // As a ConfigMap may have it.
        let mut process = Process::start(program, &arguments, &[(name, "")]);
        process.address();
        assert_eq!(process.operators(), None, "{name}");
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_is_told() {
    for program in [splitdim::PROGRAM, kvstore::PROGRAM] {
        let arguments = ["--in-memory", "--listen=127.0.0.1:0", "--ops-listen=9090"];
        let mut process = Process::start(program, &arguments, &[]);
        assert_eq!(process.ended().await.code(), Some(64));
        let log = process.log();
        assert!(
            log.contains("--ops-listen: \"9090\" is no address"),
            "{log}"
        );
    }
}

async fn ask(address: SocketAddr, path: &str) -> Answer {
    let mut client = Connection::open(address).await.expect("it listens");
    client.call(&get(path)).await.expect("it answers")
}

/// Waits until `/readyz` answers with `status`.
async fn becomes(address: SocketAddr, status: u16) {
    let begun = Instant::now();
    while ask(address, "/readyz").await.status() != status {
        assert!(begun.elapsed() < Duration::from_secs(10));
        sleep(Duration::from_millis(50)).await;
    }
}
