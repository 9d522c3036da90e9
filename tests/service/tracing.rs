//! One request, in the lines of the log and from service to service.

use std::net::SocketAddr;
use std::sync::mpsc;

use crate::common::http::{Connection, get, header, post, with};
use crate::common::kvstore::Kvstore;
use crate::common::process::Process;
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim::{PROGRAM, Splitdim};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BODY: &str = r#"{"sender":"a","receiver":"b","amount":1}"#;

#[tokio::test]
async fn the_store_is_told_the_trace_of_each_request() {
    for mode in ["resilientkvstore", "transactionalkvstore"] {
        let kvstore = Kvstore::in_memory(&[]);
        let proxy = Proxy::start(kvstore.address).await;
        let splitdim = Splitdim::replica(mode, proxy.address, &[]);
        let (seen, told) = mpsc::channel();
        proxy.rule(move |request| {
            let header = |name| request.header(name).map(str::to_owned);
            let parent = header("traceparent");
            let _ = seen.send((request.path.to_owned(), parent, header("tracestate")));
            Fate::Pass
        });
        let mut client = splitdim.connect().await;
        let transfer = with(post("/api/transfer", BODY), "traceparent", PARENT);
        let transfer = with(transfer, "tracestate", "vendor=1");
        assert_eq!(client.call(&transfer).await.unwrap().status(), 200);
        let own: Vec<_> = told
            .try_iter()
            .filter(|(_, parent, _)| parent.as_ref().is_some_and(|p| p.contains(TRACE)))
            .collect();
        // A read and a write at the least.
        for paths in [&["/api/get"][..], &["/api/put", "/api/transaction"]] {
            let is_among = own.iter().any(|(path, ..)| paths.contains(&&**path));
            assert!(is_among, "{mode}: {own:?}");
        }
        for (_, parent, state) in &own {
            let parent = parent.as_deref().unwrap();
            assert!(parent.starts_with(&PARENT[..36]) && parent.ends_with("-01"));
            assert_ne!(parent, PARENT, "the parent is another one now");
            assert_eq!(state.as_deref(), Some("vendor=1"));
        }

        // One that is none is not passed on, and each request has one of its own.
        let transfer = with(
            post("/api/transfer", BODY),
            "traceparent",
            &PARENT.to_uppercase().replace("-01", "-zz"),
        );
        for _ in 0..2 {
            assert_eq!(client.call(&transfer).await.unwrap().status(), 200);
        }
        let writes = ["/api/put", "/api/transaction"];
        let parents: Vec<_> = told
            .try_iter()
            .filter(|(path, ..)| writes.contains(&&**path))
            .map(|(_, parent, _)| parent.expect("every request has one"))
            .collect();
        assert!(parents.len() >= 2);
        assert!(parents.iter().all(|parent| is_trace(parent)), "{parents:?}");
        assert_ne!(parents[0][3..35], parents[parents.len() - 1][3..35]);
    }
}

#[tokio::test]
async fn each_line_of_a_request_has_its_id_and_its_trace() {
    for format in ["text", "json"] {
        let kvstore = Kvstore::in_memory(&[]);
        let proxy = Proxy::start(kvstore.address).await;
        let arguments = ["--log-format", format, "--retries", "0"];
        let mut splitdim = replica(&proxy, &arguments);
        let mut client = Connection::open(splitdim.1).await.unwrap();
        proxy.rule(|_| Fate::Refuse(404));
        let mut ids = Vec::new();
        for (request, id) in [
            (post("/api/transfer", BODY), Some("id-of-a-transfer")),
            (get("/api/accounts"), Some("id-of-a-list")),
            (get("/api/reset"), Some("id-of-a-reset")),
            (post("/api/transfer", BODY), None),
        ] {
            let request = with(request, "traceparent", PARENT);
            let request = match id {
                Some(id) => with(request, "x-request-id", id),
                None => request,
            };
            let answer = client.call(&request).await.unwrap();
            assert_eq!(answer.status(), 503);
            let id = header(&answer, "x-request-id").expect("every answer has an id");
            ids.push(id.to_owned());
        }
        for id in ids {
            let line = splitdim.0.wait_for(&id);
            match format {
                "json" => {
                    let line: Value = serde_json::from_str(&line).expect("a line is JSON");
                    assert_eq!(line["request_id"], *id);
                    assert_eq!(line["trace_id"], TRACE);
                    assert!(line["fields"]["message"].is_string());
                }
                _ => {
                    let end = format!(" request_id={id} trace_id={TRACE}");
                    assert!(line.ends_with(&end), "{line}");
                }
            }
        }
        // What belongs to no request has none of the two.
        let log = splitdim.0.log();
        let first = log.lines().find(|line| line.contains("listening"));
        assert!(!first.unwrap().contains("trace_id"), "{log}");
    }
}

#[tokio::test]
async fn a_store_writes_the_trace_that_it_was_told() {
    // A copy that cannot be kept lets a reset fail.
    let mut kvstore = Kvstore::on_disk(&[]);
    let mut client = kvstore.connect().await;
    let put = post("/api/put", r#"{"key":"k","value":"1","version":0}"#);
    assert_eq!(client.call(&put).await.unwrap().status(), 200);
    let reset = with(get("/api/reset"), "traceparent", PARENT);
    let reset = with(reset, "x-request-id", "id-of-a-reset");
    if std::fs::remove_dir_all(kvstore.data()).is_err() {
        return;
    }
    assert_eq!(client.call(&reset).await.unwrap().status(), 503);
    let line = kvstore.process.wait_for("id-of-a-reset");
    assert!(line.contains(&format!("trace_id={TRACE}")), "{line}");
}

#[tokio::test]
async fn a_transfer_that_is_made_writes_no_line() {
    let mut splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let before = splitdim.process.log().lines().count();
    for _ in 0..10 {
        let answer = client.call(&post("/api/transfer", BODY)).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(splitdim.process.log().lines().count(), before);
}

#[tokio::test]
async fn a_transfer_has_the_id_of_its_request_unless_its_client_chose_that() {
    let splitdim = Splitdim::in_memory(&[]);
    let mut client = splitdim.connect().await;
    let own = post("/api/transfer", BODY);
    let chosen = "018f4e5c-0000-7000-8000-000000000000";
    let named = with(post("/api/transfer", BODY), "x-request-id", chosen);
    let mut places = Vec::new();
    for transfer in [&own, &own, &named, &named] {
        let answer = client.call(transfer).await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name| header(&answer, name).expect("it is told").to_owned();
        let (place, id) = (header("location"), header("x-request-id"));
        let is_its_own = place == format!("/api/v1/transfers/{id}");
        assert_eq!(is_its_own, id != chosen, "{place}, {id}");
        places.push(place);
    }
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 4);
    let accounts = client.call(&get("/api/accounts")).await.unwrap();
    assert!(
        accounts
            .body()
            .starts_with(br#"[{"holder":"a","balance":4}"#)
    );
}

/// A replica, whose log may be JSON.
fn replica(proxy: &Proxy, arguments: &[&str]) -> (Process, SocketAddr) {
    let store = proxy.address.to_string();
    let own = ["--listen", "127.0.0.1:0", "--mode", "resilientkvstore"];
    let arguments = [&own[..], &["--addr", &store], arguments].concat();
    let mut process = Process::start(PROGRAM, &arguments, &[]);
    let line = process.wait_for("listening");
    let address = match serde_json::from_str::<Value>(&line) {
        Ok(line) => line["fields"]["address"].as_str().map(str::to_owned),
        Err(_) => line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("address=").map(str::to_owned)),
    };
    let address = address.and_then(|address| address.parse().ok());
    (process, address.expect("its address is told"))
}

fn is_trace(parent: &str) -> bool {
    let parts: Vec<_> = parent.split('-').collect();
    let hex = |part: &str| part.bytes().all(|b| b"0123456789abcdef".contains(&b));
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    lengths == [2, 32, 16, 2] && parts.iter().all(|part| hex(part))
}
