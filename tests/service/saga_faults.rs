//! Two puts instead of a transaction, over a network that doubles puts or answers a third of them
//! with an error: every transfer is made once, or not at all.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::exact::{Journal, Outcome, Transfer};
use crate::common::http::{Connection, get, post};
use crate::common::kvstore::Kvstore;
use crate::common::load::{self, Load};
use crate::common::proxy::{Fate, Proxy, Seen};
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use tokio::time::Instant;

/// So few people that clients of both replicas work on the same one all the time.
const FEW: usize = 40;

/// So many that they hardly ever do.
const MANY: usize = 10_000;

const MODE: &str = "resilientkvstore";

/// In this time nothing is open any more when nobody sends anything.
const REST_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_put_arrives_twice_and_the_second_answer_is_given() {
    doubled(400, |_| Fate::Twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn ten_thousand_transfers_whose_puts_arrive_twice_and_the_second_answer_is_given() {
    doubled(10_000, |_| Fate::Twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_put_arrives_twice_the_second_time_later() {
    doubled(400, again_later(31)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn ten_thousand_transfers_whose_puts_arrive_twice_the_second_time_later() {
    doubled(10_000, again_later(32)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_of_the_puts_fails_before_they_arrive() {
    a_third_fails(608, 985, FEW, 41, |_| Fate::Refuse(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_of_the_puts_is_answered_with_an_error_after_they_were_made() {
    a_third_fails(608, 985, FEW, 42, |_| Fate::RefuseAfter(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn five_thousand_transfers_while_a_third_of_the_puts_fails_before_they_arrive() {
    // Few people are in each other's way: more puts a try, and each may fail.
    a_third_fails(5_024, 995, FEW, 43, |_| Fate::Refuse(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn five_thousand_transfers_of_many_people_while_a_third_of_the_puts_fails() {
    a_third_fails(5_024, 998, MANY, 45, |_| Fate::Refuse(500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn five_thousand_transfers_while_a_third_of_the_puts_fails_sometimes_after_they_were_made() {
    a_third_fails(5_024, 998, FEW, 44, |random| match random.below(2) {
        0 => Fate::Refuse(500),
        _ => Fate::RefuseAfter(500),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_transfers_succeed_while_the_store_itself_fails_a_third_of_the_puts() {
    let store = Kvstore::on_disk(&["--fault-injection"]);
    let replica = Splitdim::replica(MODE, store.address, &[]);
    let mut operator = store.connect().await;
    let fault = post("/api/fault", r#"{"path":"/api/put","abortPercent":33}"#);
    assert_eq!(operator.call(&fault).await.unwrap().status(), 200);

    let mut client = replica.connect().await;
    let mut journal = Journal::default();
    for number in 1..=20 {
        let transfer = Transfer {
            sender: "a".into(),
            receiver: ["b", "c"][number % 2].into(),
            amount: number as i64,
        };
        let (outcome, answer) = load::send(&mut client, &transfer).await.unwrap();
        assert_eq!(outcome, Outcome::Done, "transfer {number}: {answer:?}");
        journal.note(transfer, outcome);
        match store.at_rest().await {
            Ok(balances) => assert_eq!(journal.check(&balances), Ok(()), "transfer {number}"),
            Err(open) => panic!("open after transfer {number}: {open:?}"),
        }
    }

    let report = operator.call(&get("/api/fault")).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(report.body()).unwrap();
    let count = |what: &str| report[what]["/api/put"].as_u64().unwrap();
    assert!(count("failures") >= 20, "hardly anything failed: {report}");
    assert!(count("failures") * 100 / count("requests") >= 32);
}

#[tokio::test]
async fn a_put_that_is_answered_with_an_error_afterwards_was_made() {
    let store = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(store.address).await;
    proxy.rule(|seen| match (seen.path, seen.query) {
        ("/api/put", "") => Fate::RefuseAfter(500),
        ("/api/get", "id=a") => Fate::Refuse(502),
        _ => Fate::Pass,
    });
    let mut client = Connection::open(proxy.address).await.unwrap();
    let put = post("/api/put", r#"{"key":"a","value":"7","version":0}"#);
    assert_eq!(client.call(&put).await.unwrap().status(), 500);
    assert_eq!(
        client.call(&get("/api/get?id=a")).await.unwrap().status(),
        502
    );
    assert_eq!(
        client.call(&get("/api/get?id=b")).await.unwrap().status(),
        200
    );
    assert_eq!(store.at_rest().await.unwrap().0["a"], 7);
    assert_eq!(proxy.disturbed(), 2);
}

/// Each put happens once, and once more up to 40 ms later.
fn again_later(seed: u64) -> impl FnMut(&Seen<'_>) -> Fate + Send + 'static {
    let mut random = Random(seed);
    move |_| Fate::Again(Duration::from_millis(random.below(40) as u64))
}

/// Makes `count` transfers, whose puts meet the `fate`, by two replicas.
async fn doubled(count: usize, mut fate: impl FnMut(&Seen<'_>) -> Fate + Send + 'static) {
    let rule = move |seen: &Seen<'_>| match seen.path {
        "/api/put" => fate(seen),
        _ => Fate::Pass,
    };
    let done = is_exact(count, 16, FEW, rule).await;
    // Nothing was lost, and nobody was in anybody's way for long.
    assert!(done * 1000 >= count * 998, "{done} of {count}");
}

/// Makes `count` transfers, while a third of the puts meet a `fate` at random.
async fn a_third_fails(
    count: usize,
    per_mille: usize,
    people: usize,
    seed: u64,
    mut fate: impl FnMut(&mut Random) -> Fate + Send + 'static,
) {
    let mut random = Random(seed);
    let rule = move |seen: &Seen<'_>| match seen.path {
        "/api/put" if random.below(100) < 33 => fate(&mut random),
        _ => Fate::Pass,
    };
    let done = is_exact(count, 32, people, rule).await;
    assert!(
        done * 1000 >= count * per_mille,
        "{done} of {count}, seed {seed}"
    );
}

/// Makes `count` transfers from so many clients, of so many people, by two replicas behind a network with `rule`: how
/// many were answered 200.
async fn is_exact(
    count: usize,
    clients: usize,
    people: usize,
    rule: impl FnMut(&Seen<'_>) -> Fate + Send + 'static,
) -> usize {
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let replica = |address: SocketAddr| Splitdim::replica(MODE, address, &[]);
    let (mut one, mut other) = (replica(proxy.address), replica(proxy.address));
    proxy.rule(rule);
    let load = |round| Load {
        clients: clients / 2,
        each: count / clients,
        people,
        round,
    };
    let begun = Instant::now();
    let running = [load(0).start(one.address), load(1).start(other.address)];
    let mut journal = Journal::default();
    for load in running {
        journal.append(load.ended().await);
    }
    let took = begun.elapsed();
    let (balances, rested) = store.comes_to_rest(REST_WITHIN).await;

    report(&journal, &proxy, took, rested);
    one.process.report("not made");
    other.process.report("not made");
    assert!(
        proxy.disturbed() > count,
        "hardly anything was disturbed: {}",
        proxy.disturbed()
    );
    if let Err(inexact) = journal.check(&balances) {
        panic!("{inexact}\nin doubt: {:?}", journal.doubts);
    }
    assert_eq!(one.balances().await, balances);
    assert_eq!(other.balances().await, balances);
    journal.count(Outcome::Done)
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(journal: &Journal, proxy: &Proxy, took: Duration, rested: Duration) {
    let count = |outcome| journal.count(outcome);
    println!(
        "{} done, {} not applied, {} unknown in {took:?}; at rest {rested:?} later; {} of {} puts disturbed, {} requests",
        count(Outcome::Done),
        count(Outcome::NotApplied),
        count(Outcome::Unknown),
        proxy.disturbed(),
        proxy.requests("/api/put"),
        proxy.all_requests(),
    );
    for doubt in &journal.doubts {
        println!("in doubt: {doubt}");
    }
}
