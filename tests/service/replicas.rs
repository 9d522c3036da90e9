//! Replicas of splitdim over one store, with a network between them that loses, doubles and delays.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::exact::{Balances, Journal, Outcome};
use crate::common::http::{Answer, Connection, get, header, post};
use crate::common::kvstore::Kvstore;
use crate::common::load::Load;
use crate::common::proxy::{Fate, Proxy, Seen};
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use crate::common::status;
use tokio::time::{Instant, sleep};

/// Everything is answered in this time, whatever the store does.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a busy machine may add to that before a test fails.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_exact_when_one_answer_in_ten_is_lost() {
    let lost = |seen: &Seen<'_>| match seen.is_among(10) {
        true => Fate::DropAnswer,
        false => Fate::Pass,
    };
    two_replicas_are_exact("transactionalkvstore", 20, lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_exact_when_every_write_is_sent_twice() {
    let twice = |seen: &Seen<'_>| match (seen.method, seen.before % 2) {
        ("GET", _) => Fate::Pass,
        (_, 0) => Fate::Twice,
        _ => Fate::Again(Duration::from_millis(20)),
    };
    two_replicas_are_exact("kvstore", 20, twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_exact_when_requests_and_answers_are_late() {
    let mut random = Random(32);
    let late = move |_: &Seen<'_>| {
        let delay = Duration::from_millis(random.below(60) as u64);
        match random.below(40) {
            // So late that nobody waits for it any more.
            0 => Fate::Late(Duration::from_millis(1500)),
            1..10 => Fate::Late(delay),
            10..20 => Fate::SlowAnswer(delay),
            _ => Fate::Pass,
        }
    };
    two_replicas_are_exact("resilientkvstore", 12, late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_exact_whatever_the_network_does() {
    two_replicas_are_exact("transactionalkvstore", 15, anything(33)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn two_replicas_stay_exact_whatever_the_network_does() {
    two_replicas_are_exact("transactionalkvstore", 400, anything(34)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_there_are_answers_and_afterwards_there_is_service() {
    let mut store = Kvstore::on_disk(&[]);
    let replica = replica("transactionalkvstore", store.address);
    assert_eq!(transfer(&replica).await.status(), 200);
    store.process.kill();

    let (transferred, read, reset) = tokio::join!(
        transfer(&replica),
        ask(&replica, "/api/accounts"),
        ask(&replica, "/api/reset")
    );
    assert_away(&transferred);
    // It was never sent, or nobody waited to see.
    let problem: serde_json::Value = serde_json::from_slice(transferred.body()).unwrap();
    assert!(["not_applied", "unknown"].contains(&problem["outcome"].as_str().unwrap()));
    assert!(problem["id"].is_string());
    assert_away(&read);
    assert_away(&reset);
    assert_eq!(ask(&replica, "/healthz").await.status(), 200);

    store.restart_in_place();
    let begun = Instant::now();
    while transfer(&replica).await.status() != 200 {
        assert!(
            begun.elapsed() < ANSWER_WITHIN,
            "the service did not come back"
        );
        sleep(Duration::from_millis(50)).await;
    }
    let balances = replica.balances().await;
    assert!(balances.0["a"] >= 2 && balances.sum() == 0, "{balances:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_answered_in_time_and_when_it_closes_there_is_service() {
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let replica = replica("transactionalkvstore", proxy.address);
    assert_eq!(transfer(&replica).await.status(), 200);
    proxy.rule(|_| Fate::Swallow);
    let (one, other, read, reset) = tokio::join!(
        transfer(&replica),
        transfer(&replica),
        ask(&replica, "/api/accounts"),
        ask(&replica, "/api/reset")
    );
    for answer in [one, other, read, reset] {
        assert_away(&answer);
    }
    assert_eq!(ask(&replica, "/healthz").await.status(), 200);
    proxy.heal();
    let begun = Instant::now();
    while transfer(&replica).await.status() != 200 {
        assert!(
            begun.elapsed() < ANSWER_WITHIN,
            "the service did not come back"
        );
    }
    assert_eq!(replica.balances().await.sum(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_has_answered_the_other_one_shows() {
    let store = Kvstore::on_disk(&[]);
    let (one, other) = (
        replica("transactionalkvstore", store.address),
        replica("transactionalkvstore", store.address),
    );
    // So that reads of the other one are under way all the time, and might be shared.
    let load = Load {
        clients: 4,
        each: 1_000_000,
        people: 5,
        round: 0,
    };
    let mut running = load.start(other.address);
    running.answered(1).await;
    let readers = tokio::spawn(keep_reading(other.address));
    let (mut writer, mut reader) = (one.connect().await, other.connect().await);
    for round in 1..=100 {
        let body = r#"{"sender":"seen","receiver":"unseen","amount":1}"#;
        let answer = writer.call(&post("/api/transfer", body)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer = reader.call(&get("/api/accounts")).await.unwrap();
        let balances = Balances::from_json(answer.body());
        assert_eq!(balances.0["seen"], round);
        assert_eq!(balances.sum(), 0);
    }
    assert!(!readers.is_finished(), "the reads end too early");
    readers.abort();
}

/// A mix of everything that loses no request for good.
fn anything(seed: u64) -> impl FnMut(&Seen<'_>) -> Fate + Send + 'static {
    let mut random = Random(seed);
    move |_| {
        let delay = Duration::from_millis(random.below(80) as u64);
        match random.below(50) {
            0..4 => Fate::DropAnswer,
            4..8 => Fate::Twice,
            8..11 => Fate::Again(delay),
            11..14 => Fate::Late(delay),
            14..17 => Fate::SlowAnswer(delay),
            17..20 => Fate::Refuse(500),
            20..22 => Fate::Cut,
            _ => Fate::Pass,
        }
    }
}

/// Sends `each` transfers from each of 32 clients to two replicas behind a network with `rule`.
async fn two_replicas_are_exact(
    mode: &str,
    each: usize,
    rule: impl FnMut(&Seen<'_>) -> Fate + Send + 'static,
) {
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let (one, other) = (replica(mode, proxy.address), replica(mode, proxy.address));
    proxy.rule(rule);
    let load = |round| Load {
        clients: 16,
        each,
        people: 20,
        round,
    };
    let running = [load(0).start(one.address), load(1).start(other.address)];
    let mut journal = Journal::default();
    for load in running {
        journal.append(load.ended().await);
    }
    proxy.heal();

    let sent = 32 * each;
    let done = journal.count(Outcome::Done);
    report(mode, sent, &journal, &proxy);
    assert!(
        proxy.disturbed() * 20 > proxy.all_requests(),
        "hardly anything was disturbed"
    );
    assert!(
        done > sent / 2,
        "only {done} of {sent}: {:?}",
        journal.doubts
    );
    status::resolve(&mut journal, other.address).await;
    // What was sent again much later has arrived by now, or finds its transfer settled.
    let balances = one.balances().await;
    if let Err(inexact) = journal.check(&balances) {
        panic!("{inexact}\nin doubt: {:?}", journal.doubts);
    }
    let settled = journal.settled(&balances);
    sleep(Duration::from_millis(1600)).await;
    assert_eq!(settled.check(&other.balances().await), Ok(()));
}

fn replica(mode: &str, store: SocketAddr) -> Splitdim {
    Splitdim::replica(mode, store, &[])
}

async fn keep_reading(address: SocketAddr) {
    let mut connection = Connection::open(address)
        .await
        .expect("it accepts connections");
    loop {
        let answer = connection.call(&get("/api/accounts")).await;
        let answer = answer.expect("it answers");
        assert_eq!(Balances::from_json(answer.body()).sum(), 0);
    }
}

async fn transfer(replica: &Splitdim) -> Answer {
    let request = post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    );
    in_time(replica, request).await
}

async fn ask(replica: &Splitdim, path: &str) -> Answer {
    in_time(replica, get(path)).await
}

async fn in_time(replica: &Splitdim, request: axum::http::Request<axum::body::Bytes>) -> Answer {
    let begun = Instant::now();
    let answer = replica.connect().await.call(&request).await;
    let answer = answer.expect("it answers");
    let took = begun.elapsed();
    assert!(
        took < ANSWER_WITHIN + SLACK,
        "{} took {took:?}",
        request.uri()
    );
    answer
}

#[track_caller]
fn assert_away(answer: &Answer) {
    let text = String::from_utf8_lossy(answer.body());
    assert_eq!(answer.status(), 503, "{text}");
    assert!(header(answer, "retry-after").is_some());
    assert_eq!(
        header(answer, "content-type"),
        Some("application/problem+json")
    );
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(mode: &str, sent: usize, journal: &Journal, proxy: &Proxy) {
    let count = |outcome| journal.count(outcome);
    println!(
        "{mode}: {sent} transfers, {} done, {} not applied, {} unknown; {} of {} requests disturbed",
        count(Outcome::Done),
        count(Outcome::NotApplied),
        count(Outcome::Unknown),
        proxy.disturbed(),
        proxy.all_requests(),
    );
}
