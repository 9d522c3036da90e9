//! A transfer that cannot be finished although the store answers: after a while every replica refuses
//! transfers, visibly, until it is finished; and then everything goes on as before.

use std::time::Duration;

use crate::common::exact::{Balances, Journal, Outcome, Transfer};
use crate::common::http::{Answer, get, header};
use crate::common::kvstore::Kvstore;
use crate::common::load;
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim::Splitdim;
use tokio::time::{Instant, sleep};

const MODE: &str = "resilientkvstore";

/// A transfer is answered in this time, whatever is refused.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What one replica has found, the others know in this time.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// What a busy machine may add to either before a test fails.
const SLACK: Duration = Duration::from_secs(1);

/// How long the rounds of the sweepers may take to notice something.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// In this time after the trouble all is as before: one undo may still be under way, and the next
/// round comes after it.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// The key that no put may change.
const REFUSED: &str = "receiver";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_who_cannot_be_written_quarantines_every_replica_until_it_can() {
    quarantine_comes_and_goes(500, Some(Duration::from_secs(4))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_whose_puts_are_forbidden_quarantines_every_replica_until_they_are_not() {
    // A put that is answered so was certainly not made.
    quarantine_comes_and_goes(403, Some(Duration::from_secs(4))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn by_default_the_quarantine_comes_after_a_minute() {
    quarantine_comes_and_goes(500, None).await;
}

/// Refuses every put of one key with `status`, between a credit and its debit, until every replica is
/// quarantined (`after` so long; as is the default if there is none), and then lets them through.
async fn quarantine_comes_and_goes(status: u16, after: Option<Duration>) {
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let setting = after.map(|after| format!("{}s", after.as_secs()));
    let arguments: Vec<_> = setting
        .iter()
        .flat_map(|after| ["--quarantine-after", after])
        .collect();
    let after = after.unwrap_or(Duration::from_secs(60));
    let replicas = [0, 1].map(|_| Splitdim::replica(MODE, proxy.address, &arguments));
    let mut journal = Journal::default();
    for replica in &replicas {
        assert_eq!(probe(replica, &mut journal).await.status(), 200);
    }

    proxy.rule(move |seen| match seen.puts(REFUSED) {
        true => Fate::Refuse(status),
        false => Fate::Pass,
    });
    let begun = Instant::now();
    let (id, transfer) = left_in_doubt(&replicas[0]).await;
    journal.note(transfer.clone(), Outcome::Unknown);
    for replica in &replicas {
        assert_eq!(status_of(replica, &id).await, "open");
    }
    assert!(store.at_rest().await.is_err());

    let blown = tokio::join!(
        blows(&replicas[0], begun + after + NOTICED_WITHIN),
        blows(&replicas[1], begun + after + NOTICED_WITHIN)
    );
    journal.append(blown.0.1);
    journal.append(blown.1.1);
    let blown = [blown.0.0, blown.1.0];
    for blown in blown {
        assert!(blown - begun >= after, "after {:?}", blown - begun);
    }
    let apart = blown[0].max(blown[1]) - blown[0].min(blown[1]);
    assert!(apart < KNOWN_WITHIN + SLACK, "{apart:?} apart");

    // Nothing lifts it while nothing has changed.
    for _ in 0..20 {
        for replica in &replicas {
            assert_refused(&probe(replica, &mut journal).await, &id);
            let balances = replica.balances().await;
            assert_eq!(balances.sum(), 0, "{balances:?}");
            assert_eq!(journal.check(&balances), Ok(()));
            let healthy = replica.connect().await.call(&get("/healthz")).await;
            assert_eq!(healthy.expect("it answers").status(), 200);
        }
        sleep(Duration::from_millis(150)).await;
    }

    proxy.heal();
    let healed = Instant::now();
    for replica in &replicas {
        lifts(replica, healed + BACK_WITHIN, &mut journal).await;
    }
    let lifted = healed.elapsed();
    let (balances, _) = store.comes_to_rest(NOTICED_WITHIN).await;
    report(status, blown.map(|blown| blown - begun), lifted, &balances);
    let outcome = match &*status_of(&replicas[0], &id).await {
        "done" => Outcome::Done,
        "undone" => Outcome::NotApplied,
        other => panic!("it is {other}"),
    };
    assert_eq!(status_of(&replicas[1], &id).await, status_name(outcome));
    let mut certain = Journal::default();
    certain.note(transfer, outcome);
    certain.append(journal.without(Outcome::Unknown));
    assert_eq!(certain.check(&balances), Ok(()));
    for replica in &replicas {
        assert_eq!(replica.balances().await, balances);
    }
}

/// Sends a transfer that is credited and cannot be debited: it, and its id.
async fn left_in_doubt(replica: &Splitdim) -> (String, Transfer) {
    let transfer = Transfer {
        sender: "sender".into(),
        receiver: REFUSED.into(),
        amount: 7,
    };
    let begun = Instant::now();
    let mut client = replica.connect().await;
    let (outcome, answer) = load::send(&mut client, &transfer)
        .await
        .expect("it answers");
    let took = begun.elapsed();
    assert!(took < ANSWER_WITHIN + SLACK, "{took:?}");
    assert_eq!(answer.status(), 503);
    assert_eq!(outcome, Outcome::Unknown, "{answer:?}");
    assert!(header(&answer, "retry-after").is_some());
    let problem = problem(&answer);
    assert_eq!(problem["outcome"], "unknown");
    let id = problem["id"].as_str().expect("its id is told").to_owned();
    assert_eq!(problem["transfer"], format!("/api/v1/transfers/{id}"));
    (id, transfer)
}

/// Sends transfers to `replica` until it refuses one as quarantined: when that was, and those that
/// were sent.
async fn blows(replica: &Splitdim, until: Instant) -> (Instant, Journal) {
    let mut journal = Journal::default();
    loop {
        let answer = probe(replica, &mut journal).await;
        if answer.status() != 200 {
            assert_eq!(problem(&answer)["outcome"], "quarantined", "{answer:?}");
            return (Instant::now(), journal);
        }
        assert!(Instant::now() < until, "it is not quarantined");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends transfers to `replica` until one is made.
async fn lifts(replica: &Splitdim, until: Instant, journal: &mut Journal) {
    while probe(replica, journal).await.status() != 200 {
        assert!(Instant::now() < until, "the quarantine is not lifted");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a transfer of people whom nothing stands against.
async fn probe(replica: &Splitdim, journal: &mut Journal) -> Answer {
    let transfer = Transfer {
        sender: "bystander".into(),
        receiver: "friend".into(),
        amount: 1,
    };
    let mut client = replica.connect().await;
    let (outcome, answer) = load::send(&mut client, &transfer)
        .await
        .expect("it answers");
    assert_ne!(outcome, Outcome::Unknown, "{answer:?}");
    journal.note(transfer, outcome);
    answer
}

/// Asserts that `answer` refuses a transfer because of the transfer `id`.
#[track_caller]
fn assert_refused(answer: &Answer, id: &str) {
    assert_eq!(answer.status(), 503);
    assert!(header(answer, "retry-after").is_some());
    let problem = problem(answer);
    assert_eq!(problem["outcome"], "quarantined");
    let reason = problem["reason"].as_str().expect("the reason is told");
    assert!(reason.contains(id), "{reason}");
    assert!(problem["id"].is_string());
}

fn problem(answer: &Answer) -> serde_json::Value {
    assert_eq!(
        header(answer, "content-type"),
        Some("application/problem+json")
    );
    serde_json::from_slice(answer.body()).expect("problems are JSON")
}

/// What `replica` says became of the transfer `id`.
async fn status_of(replica: &Splitdim, id: &str) -> String {
    let path = format!("/api/v1/transfers/{id}");
    let answer = replica
        .connect()
        .await
        .call(&get(&path))
        .await
        .expect("it answers");
    assert_eq!(answer.status(), 200, "{answer:?}");
    let status: serde_json::Value =
        serde_json::from_slice(answer.body()).expect("the answer is JSON");
    assert_eq!(status["id"], id);
    status["status"].as_str().expect("it is text").to_owned()
}

fn status_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        _ => "undone",
    }
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(status: u16, blown: [Duration; 2], lifted: Duration, balances: &Balances) {
    println!(
        "puts answered {status}: quarantined {blown:?} after the transfer was sent, lifted {lifted:?} after \
         they were let through; {balances:?}"
    );
}
