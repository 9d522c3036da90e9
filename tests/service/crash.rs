//! What was answered 200 is on disk: it survives `kill -9`.

use std::fs::DirEntry;
use std::path::Path;
use std::time::Duration;

use crate::common::exact::{Journal, Outcome, Transfer};
use crate::common::http::{get, header, post, with};
use crate::common::load::{self, Load};
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use tokio::time::Instant;

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let mut journal = Journal::default();
    let mut random = Random(9);
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let load = Load {
            clients: 16,
            each: 1_000_000,
            people: 20,
            round,
        };
        let mut running = load.start(splitdim.address);
        running.answered(50 + random.below(400)).await;
        splitdim.process.kill();
        journal.append(running.ended().await);

        let begun = Instant::now();
        splitdim.restart();
        slowest = slowest.max(begun.elapsed());
        let balances = splitdim.balances().await;
        if let Err(inexact) = journal.check(&balances) {
            panic!("round {round}: {inexact}");
        }
        // From now on it must stay what it is.
        journal = journal.settled(&balances);
    }
    assert!(journal.count(Outcome::Done) >= ROUNDS * 50);
    report(slowest, journal.count(Outcome::Done));
    assert!(slowest < Duration::from_secs(5), "a start took {slowest:?}");
}

#[tokio::test]
async fn what_was_seen_of_a_ledger_that_was_put_back_is_not_taken_for_current() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let transfer = async |splitdim: &Splitdim, amount: u64| {
        let body = format!(r#"{{"sender":"a","receiver":"b","amount":{amount}}}"#);
        let answer = splitdim
            .connect()
            .await
            .call(&post("/api/transfer", body))
            .await;
        assert_eq!(answer.unwrap().status(), 200);
    };
    transfer(&splitdim, 1).await;
    splitdim.stop().await;
    let snapshot = tempfile::tempdir().unwrap();
    copy(splitdim.data(), snapshot.path());

    // A mistake, which is seen, and taken back by the snapshot.
    splitdim.restart();
    transfer(&splitdim, 5).await;
    let seen = splitdim
        .connect()
        .await
        .call(&get("/api/accounts"))
        .await
        .unwrap();
    let tag = header(&seen, "etag").expect("a tag").to_owned();
    splitdim.stop().await;
    copy(snapshot.path(), splitdim.data());

    splitdim.restart();
    transfer(&splitdim, 3).await;
    let request = with(get("/api/accounts"), "if-none-match", &tag);
    let answer = splitdim.connect().await.call(&request).await.unwrap();
    assert_eq!(answer.status(), 200, "{tag}");
    // The store counts as it did before.
    let stamp = |tag: &str| {
        tag.rsplit_once('-')
            .expect("a stamp and a hash")
            .0
            .to_owned()
    };
    let now = header(&answer, "etag").expect("a tag");
    assert_eq!(stamp(now), stamp(&tag));
    assert_ne!(now, tag);
    assert_eq!(splitdim.balances().await.0["a"], 4);
}

#[tokio::test]
async fn what_is_posted_again_under_its_key_after_a_crash_was_made_once() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let body = r#"{"sender":"a","receiver":"b","amount":5}"#;
    let transfer = with(post("/api/transfer", body), "idempotency-key", "k");
    let mut places = Vec::new();
    for _ in 0..3 {
        let answer = splitdim.connect().await.call(&transfer).await.unwrap();
        assert_eq!(answer.status(), 200);
        places.push(header(&answer, "location").expect("a place").to_owned());
        splitdim.process.kill();
        splitdim.restart();
    }
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(splitdim.balances().await.0["a"], 5);
}

/// Makes the files of `to` those of `from`.
fn copy(from: &Path, to: &Path) {
    let files = |of| std::fs::read_dir(of).expect("a directory can be read");
    let path = |file: std::io::Result<DirEntry>| file.expect("a file can be seen").path();
    for old in files(to).map(path) {
        std::fs::remove_file(old).expect("a file can be removed");
    }
    for file in files(from).map(path) {
        let name = file.file_name().expect("a file has a name");
        std::fs::copy(&file, to.join(name)).expect("a file can be copied");
    }
}

#[tokio::test]
async fn names_with_white_space_and_of_full_length_survive() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let mut connection = splitdim.connect().await;
    let mut journal = Journal::default();
    let names = [
        "John Smith",
        "a  b",
        "a\u{3000}b",
        "=",
        "\\n",
        "{\"a\":1}",
        "é👋",
        &"ｗ".repeat(64),
    ];
    for name in names {
        let transfer = Transfer {
            sender: "bank".into(),
            receiver: name.into(),
            amount: 7,
        };
        let (outcome, answer) = load::send(&mut connection, &transfer).await.unwrap();
        assert_eq!(outcome, Outcome::Done, "{answer:?}");
        journal.note(transfer, outcome);
    }
    splitdim.process.kill();
    splitdim.restart();
    assert_eq!(journal.check(&splitdim.balances().await), Ok(()));
}

#[expect(clippy::print_stdout, reason = "the figure is worth knowing")]
fn report(slowest: Duration, done: usize) {
    println!("{ROUNDS} crashes, {done} transfers; the slowest start took {slowest:?}");
}
