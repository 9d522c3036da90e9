//! A log that cannot be written, since its disk is full or whoever read it has gone.

use crate::common::http::{Connection, get, post};
use crate::common::kvstore::{self, Kvstore};
use crate::common::process::{Process, Signal};
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim;
use std::time::Duration;
use tokio::time::sleep;

const TRANSFER: &str = r#"{"sender":"a","receiver":"b","amount":1}"#;

/// Each request writes lines.
const VERBOSE: [(&str, &str); 1] = [("RUST_LOG", "debug")];

#[tokio::test]
async fn without_one_requests_are_answered_and_the_end_is_orderly() {
    let own = ["--listen", "127.0.0.1:0"];
    for (program, arguments, path) in [
        (splitdim::PROGRAM, &["--in-memory"][..], "/api/accounts"),
        (kvstore::PROGRAM, &["--in-memory"], "/api/list"),
    ] {
        let mut process = Process::start(program, &[&own, arguments].concat(), &VERBOSE);
        let address = process.address();
        process.close_log();
        for _ in 0..10 {
            let mut client = Connection::open(address).await.unwrap();
            let answer = client.call(&get(path)).await.expect("it is answered");
            assert_eq!(answer.status(), 200);
        }
        process.signal(Signal::TERM);
        assert!(process.ended().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_one_the_ledger_is_looked_after() {
    let kvstore = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(kvstore.address).await;
    proxy.rule(|_| Fate::Refuse(503));
    let arguments = [
        ["--listen", "127.0.0.1:0"],
        ["--mode", "resilientkvstore"],
        ["--addr", &proxy.address.to_string()],
        ["--sweep-every", "100ms"],
    ];
    let mut process = Process::start(splitdim::PROGRAM, arguments.as_flattened(), &VERBOSE);
    let address = process.address();
    process.close_log();
    // Long enough for lines of whoever looks after it.
    let mut client = Connection::open(address).await.unwrap();
    let answer = client.call(&get("/api/accounts")).await;
    assert_eq!(answer.expect("it is answered").status(), 503);
    proxy.heal();
    let transfer = client.call(&post("/api/transfer", TRANSFER)).await;
    assert_eq!(transfer.expect("it is answered").status(), 200);
    // Whoever looks after it has seen that.
    let looks = proxy.requests("/api/list");
    while proxy.requests("/api/list") < looks + 3 {
        sleep(Duration::from_millis(50)).await;
    }
    // Money from nowhere.
    let put = r#"{"key":"c","value":"7","version":0}"#;
    let put = kvstore.connect().await.call(&post("/api/put", put)).await;
    assert_eq!(put.unwrap().status(), 200);
    let mut tries = 0;
    let refusal = loop {
        let answer = client.call(&post("/api/transfer", TRANSFER)).await;
        let answer = answer.expect("it is answered");
        if answer.status() != 200 {
            break String::from_utf8_lossy(answer.body()).into_owned();
        }
        tries += 1;
        assert!(tries < 200, "it is never quarantined");
        sleep(Duration::from_millis(50)).await;
    };
    assert!(refusal.contains(r#""outcome":"quarantined""#), "{refusal}");
}
