//! What was answered 200 is on disk: it survives `kill -9`.

use std::time::Duration;

use crate::common::exact::{Journal, Outcome, Transfer};
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
