//! SIGTERM: whoever was served is served to the end, and nobody is waited for who has nothing to say.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::common::exact::{Journal, Outcome};
use crate::common::http::{Connection, bytes, get, header, post};
use crate::common::kvstore::{self, text};
use crate::common::load::Load;
use crate::common::process::{Process, Signal};
use crate::common::random::Random;
use crate::common::splitdim::{self, Splitdim};
use ::splitdim::store::FILE_NAME;
use axum::http::Method;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_on_an_open_connection_is_answered() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let mut journal = Journal::default();
    let mut random = Random(11);
    for round in 0..ROUNDS {
        let load = Load {
            clients: 32,
            each: 1_000_000,
            people: 20,
            round,
        };
        let mut running = load.start(splitdim.address);
        running.answered(100 + random.below(300)).await;
        splitdim.stop().await;
        journal.append(running.ended().await);
        assert!(
            journal.doubts.is_empty(),
            "round {round}: {:?}",
            journal.doubts
        );

        splitdim.restart();
        let balances = splitdim.balances().await;
        if let Err(inexact) = journal.check(&balances) {
            panic!("round {round}: {inexact}");
        }
    }
    assert!(journal.count(Outcome::Done) >= ROUNDS * 100);
}

#[tokio::test]
async fn a_client_that_comes_while_it_stops_is_still_served() {
    let mut splitdim = Splitdim::in_memory(&[]);
    // An idle client has a moment to notice; until then the door is open.
    let _idle = idle(&splitdim).await;
    splitdim.process.signal(Signal::TERM);
    splitdim.process.wait_for("stopping");
    let answer = splitdim
        .connect()
        .await
        .call(&get("/healthz"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert!(splitdim.process.ended().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_again_and_again_are_served_or_refused() {
    const CLIENTS: usize = 32;
    const ROUNDS: usize = 5;
    let mut lost = 0;
    for round in 0..ROUNDS {
        let mut splitdim = Splitdim::in_memory(&[]);
        let served = Arc::new(Semaphore::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(come_again_and_again(splitdim.address, Arc::clone(&served)));
        }
        // Not at the same moment in each round.
        let enough = served.acquire_many(500 + 100 * round as u32).await;
        enough.expect("the clients go on until then").forget();
        splitdim.stop().await;
        lost += clients
            .join_all()
            .await
            .into_iter()
            .filter(|lost| *lost)
            .count();
    }
    // Between the last look at the queue of the operating system and its end, somebody may connect.
    assert!(
        lost <= CLIENTS * ROUNDS / 32,
        "{lost} of {}",
        CLIENTS * ROUNDS
    );
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let mut splitdim = Splitdim::in_memory(&[]);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(idle(&splitdim).await);
        clients.push(splitdim.connect().await);
    }
    let begun = Instant::now();
    splitdim.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    for client in &mut clients {
        assert!(client.is_ended().await);
    }
}

#[tokio::test]
async fn sigint_stops_it_too() {
    let mut splitdim = Splitdim::in_memory(&[]);
    splitdim.process.signal(Signal::INT);
    assert!(splitdim.process.ended().await.success());
}

#[tokio::test]
async fn a_signal_that_comes_while_the_store_is_opened_is_heeded() {
    let directory = tempfile::tempdir().unwrap();
    let data = large_store(directory.path());
    for program in [splitdim::PROGRAM, kvstore::PROGRAM] {
        let arguments = ["--listen", "127.0.0.1:0", "--data", text(&data)];
        let mut process = Process::start(program, &arguments, &[]);
        process.opens(&data.join(FILE_NAME)).await;
        process.signal(Signal::TERM);
        let status = process.ended().await;
        assert!(status.success(), "{program}: {status}: {}", process.log());
    }
}

#[tokio::test]
async fn a_request_that_is_still_being_sent_is_finished() {
    let mut splitdim = Splitdim::in_memory(&[]);
    let (mut client, rest) = half_sent(&splitdim).await;
    splitdim.process.signal(Signal::TERM);
    splitdim.process.wait_for("stopping");
    client.write(&rest).await.unwrap();
    let answer = client.answer(&Method::POST).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(client.is_ended().await);
    assert!(splitdim.process.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut splitdim = Splitdim::in_memory(&[]);
    let _client = half_sent(&splitdim).await;
    splitdim.process.signal(Signal::TERM);
    splitdim.process.wait_for("stopping");
    splitdim.process.signal(Signal::TERM);
    let status = splitdim.process.ended().await;
    assert_eq!(status.code(), Some(130));
}

#[tokio::test]
async fn what_is_not_finished_within_the_grace_period_is_told() {
    let mut splitdim = Splitdim::in_memory(&["--grace-period", "100ms"]);
    let _client = half_sent(&splitdim).await;
    splitdim.process.signal(Signal::TERM);
    let status = splitdim.process.ended().await;
    let log = splitdim.process.log();
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("splitdim: ") && last.contains("not finished within the grace period"),
        "{last}"
    );
}

/// Sends requests, on a new connection whenever the last one was closed in good order, until it is
/// refused one. Tells whether the first request on a connection got no answer.
async fn come_again_and_again(address: SocketAddr, served: Arc<Semaphore>) -> bool {
    while let Ok(mut client) = Connection::open(address).await {
        let mut first = true;
        loop {
            match client.call(&get("/api/accounts")).await {
                Ok(answer) => {
                    served.add_permits(1);
                    if header(&answer, "connection") == Some("close") {
                        break;
                    }
                }
                Err(_) if first => return true,
                Err(error) => panic!("a connection broke that nobody had taken leave of: {error}"),
            }
            first = false;
        }
    }
    false
}

/// A store that takes a while to open, in `directory`.
fn large_store(directory: &Path) -> PathBuf {
    let (log, data) = (directory.join("log"), directory.join("data"));
    let put = |n| format!("{n}\tput\t{{\"key\":\"key {n}\",\"value\":\"{n:060}\"}}\n");
    fs::write(&log, (0..300_000).map(put).collect::<String>()).expect("there is room");
    let import = ["import-translog", text(&log), "--data", text(&data)];
    assert!(kvstore::command(&import).status.success());
    data
}

/// A client that was served, and has nothing more to say.
async fn idle(splitdim: &Splitdim) -> Connection {
    let mut client = splitdim.connect().await;
    let answer = client.call(&get("/healthz")).await.expect("it answers");
    assert_eq!(answer.status(), 200);
    client
}

/// A client whose request has arrived by half, and the other half.
async fn half_sent(splitdim: &Splitdim) -> (Connection, Vec<u8>) {
    let mut client = idle(splitdim).await;
    let body = r#"{"sender":"a","receiver":"b","amount":1}"#;
    let mut request = bytes(&post("/api/transfer", body));
    let rest = request.split_off(request.len() - body.len() / 2);
    client.write(&request).await.expect("it reads");
    // What was sent before this was answered, on this machine, has arrived.
    idle(splitdim).await;
    (client, rest)
}
