//! `kill -9` and SIGTERM of replicas that make transfers in single puts: what was begun is finished
//! by whoever is left, or before the process ends.

use std::time::Duration;

use crate::common::exact::{Balances, Journal, Outcome, Transfer};
use crate::common::http::{bytes, post};
use crate::common::kvstore::Kvstore;
use crate::common::load::{Load, body, send};
use crate::common::proxy::{Fate, Proxy, Seen};
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

const MODE: &str = "resilientkvstore";

/// What a crash has left open is finished in this time, by another replica or the next start.
const FINISHED_WITHIN: Duration = Duration::from_secs(10);

/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_open_is_finished_by_the_other_replica_or_the_next_start() {
    crashes(3, 61).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn what_fifty_crashes_leave_open_is_finished_by_the_other_replica_or_the_next_start() {
    crashes(50, 62).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_put_a_replica_is_killed_at_the_other_one_finishes_what_is_open() {
    // Credit, debit, record, retire and prune, each before it is made and after.
    let crashes = LocalSet::new();
    let mut all = JoinSet::new();
    for put in 0..5 {
        all.spawn_local_on(crash_at(put, Fate::Swallow), &crashes);
        let after = Fate::SlowAnswer(Duration::from_secs(5));
        all.spawn_local_on(crash_at(put, after), &crashes);
    }
    crashes.run_until(all.join_all()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_of_a_replica_that_was_killed_is_removed_by_the_other_one() {
    let mut pair = Pair::start().await;
    let (kill, mut killed) = watch::channel(false);
    pair.proxy.rule(move |seen| {
        let put = String::from_utf8_lossy(seen.body);
        match seen.puts("sender") {
            // The credit: it never arrives, so the transfer is given up.
            true if put.contains("out") => Fate::Refuse(500),
            true if put.contains("seal") => Fate::Pass,
            // The seal is to be taken off again.
            true => {
                kill.send_replace(true);
                Fate::Swallow
            }
            false => Fate::Pass,
        }
    });
    pair.crash_when(&mut killed).await;
    let open = pair.store.at_rest().await.expect_err("it is sealed");
    assert!(open[0].contains("seal"), "{open:?}");
    let (balances, _) = pair.store.comes_to_rest(FINISHED_WITHIN + SLACK).await;
    assert_eq!(balances, pair.balances(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_leaves_nothing_open() {
    let (unanswered, finished) = terminations(4, 63, |_| Fate::Pass).await;
    assert_eq!(unanswered, Vec::<String>::new());
    assert!(finished > 400, "{finished}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_leaves_nothing_open_while_a_fifth_of_the_puts_fails() {
    let mut random = Random(64);
    let rule = move |seen: &Seen<'_>| match (seen.path, random.below(10)) {
        ("/api/put", 0) => Fate::Refuse(500),
        ("/api/put", 1) => Fate::RefuseAfter(500),
        _ => Fate::Pass,
    };
    terminations(3, 65, rule).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_the_transfers_of_clients_who_have_left() {
    const CLIENTS: usize = 100;
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let mut replica = Splitdim::replica(MODE, proxy.address, &[]);
    // Every transfer is still under way when its client leaves.
    let (begun, mut credits) = watch::channel(0);
    proxy.rule(move |seen| match seen.path {
        "/api/put" => {
            let credits = *begun.borrow();
            if seen.puts(&format!("sender {credits}")) {
                begun.send_replace(credits + 1);
            }
            Fate::SlowAnswer(Duration::from_millis(150))
        }
        _ => Fate::Pass,
    });
    let mut journal = Journal::default();
    for number in 0..CLIENTS {
        let transfer = Transfer {
            sender: format!("sender {number}"),
            receiver: format!("receiver {number}"),
            amount: 5,
        };
        let mut client = replica.connect().await;
        let request = post("/api/transfer", body(&transfer));
        client.write(&bytes(&request)).await.unwrap();
        journal.note(transfer, Outcome::Unknown);
        credits.wait_for(|credits| *credits > number).await.unwrap();
        client.reset().unwrap();
    }
    let open = store.at_rest().await.expect_err("some are under way");
    assert!(open.len() > 1, "hardly anything is under way: {open:?}");
    replica.stop().await;

    let balances = store.at_rest().await.expect("nothing is left open");
    assert_eq!(journal.check(&balances), Ok(()));
    let made = journal.settled(&balances).count(Outcome::Done);
    assert_eq!(made, CLIENTS, "the others were begun, and forgotten");
}

/// Kills a replica when it sends its put number `put` of a transfer, which meets `fate`.
async fn crash_at(put: usize, fate: Fate) {
    let mut pair = Pair::start().await;
    let (kill, mut killed) = watch::channel(false);
    let mut puts = 0;
    pair.proxy.rule(move |seen| {
        if seen.path != "/api/put" {
            return Fate::Pass;
        }
        puts += 1;
        if puts <= put {
            return Fate::Pass;
        }
        kill.send_replace(true);
        fate
    });
    pair.crash_when(&mut killed).await;
    // What was on its way has arrived.
    sleep(Duration::from_millis(300)).await;
    let is_credited = put > 0 || fate != Fate::Swallow;
    let is_at_rest = !is_credited || (put == 4 && fate != Fate::Swallow);
    let left = pair.store.at_rest().await;
    assert_eq!(left.is_ok(), is_at_rest, "put {put}, {fate:?}: {left:?}");

    let expected = pair.balances(is_credited);
    // At every moment.
    assert_eq!(pair.other.balances().await, expected);
    let begun = Instant::now();
    while let Err(open) = pair.store.at_rest().await {
        assert!(
            begun.elapsed() < FINISHED_WITHIN + SLACK,
            "put {put}, {fate:?}: still open: {open:?}"
        );
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(pair.store.at_rest().await, Ok(expected.clone()));
    assert_eq!(pair.other.balances().await, expected);
}

/// Two replicas, one of them behind a proxy of its own, who have both worked on the same two cells.
struct Pair {
    store: Kvstore,
    proxy: Proxy,
    one: Splitdim,
    other: Splitdim,
}

impl Pair {
    async fn start() -> Self {
        let store = Kvstore::on_disk(&[]);
        let proxy = Proxy::start(store.address).await;
        let one = Splitdim::replica(MODE, proxy.address, &[]);
        let other = Splitdim::replica(MODE, store.address, &[]);
        // The other one first: what it has seen is not what is there.
        for replica in [&other, &one] {
            let mut client = replica.connect().await;
            let (outcome, answer) = send(&mut client, &Self::transfer(1))
                .await
                .expect("it answers");
            assert_eq!(outcome, Outcome::Done, "{answer:?}");
        }
        Self {
            store,
            proxy,
            one,
            other,
        }
    }

    fn transfer(amount: i64) -> Transfer {
        Transfer {
            sender: "sender".into(),
            receiver: "receiver".into(),
            amount,
        }
    }

    /// Sends a transfer of 40 to one of them, and kills it when it is told to.
    async fn crash_when(&mut self, killed: &mut watch::Receiver<bool>) {
        let mut client = self.one.connect().await;
        let request = post("/api/transfer", body(&Self::transfer(40)));
        client.write(&bytes(&request)).await.expect("it reads");
        let told = timeout(FINISHED_WITHIN, killed.wait_for(|killed| *killed)).await;
        told.expect("it sends that put").expect("the rule is there");
        self.one.process.kill();
    }

    /// Everybody's balance, with the transfer of 40 or without.
    fn balances(&self, with: bool) -> Balances {
        let balance = 2 + if with { 40 } else { 0 };
        let balances = [("sender", balance), ("receiver", -balance)];
        Balances(balances.map(|(who, balance)| (who.into(), balance)).into())
    }
}

/// Kills a replica so often, and sees that nothing is left open.
async fn crashes(kills: usize, seed: u64) {
    let store = Kvstore::on_disk(&[]);
    let mut random = Random(seed);
    let mut replicas = [0, 1].map(|_| Splitdim::replica(MODE, store.address, &[]));
    let mut journal = Journal::default();
    let (mut left_open, mut slowest) = (0, Duration::ZERO);
    for round in 0..kills {
        let [mut running, other] =
            [0, 1].map(|which| load(8, 2 * round + which).start(replicas[which].address));
        running.answered(50 + random.below(200)).await;
        replicas[0].process.kill();
        let begun = Instant::now();
        other.stop();
        // In every other round nobody is left, and it is the next start that finishes.
        let all_crash = round % 2 == 1;
        if all_crash {
            replicas[1].process.kill();
        }
        let mut sent = running.ended().await;
        sent.append(other.ended().await);
        left_open += usize::from(store.at_rest().await.is_err());
        if all_crash {
            replicas[0].restart();
        }

        let (balances, _) = store.comes_to_rest(FINISHED_WITHIN + SLACK).await;
        slowest = slowest.max(begun.elapsed());
        journal.append(sent);
        if let Err(inexact) = journal.check(&balances) {
            panic!("round {round}, seed {seed}: {inexact}");
        }
        for replica in &mut replicas {
            if !replica.process.is_running() {
                replica.restart();
            }
            assert_eq!(replica.balances().await, balances, "round {round}");
        }
        // From now on it must stay what it is, and what comes next is judged by itself.
        journal = brought_forward(&balances);
        replicas.swap(0, 1);
    }
    report(kills, left_open, slowest);
    // A few kills may come at a quiet moment.
    assert!(left_open * 2 >= kills, "hardly anything was left open");
    assert!(
        slowest < FINISHED_WITHIN + SLACK,
        "it took {slowest:?} to finish what was open"
    );
}

/// Stops a replica behind a network with `rule` so often under load: why transfers had no certain
/// answer, and how many were made.
async fn terminations(
    rounds: usize,
    seed: u64,
    rule: impl FnMut(&Seen<'_>) -> Fate + Send + 'static,
) -> (Vec<String>, usize) {
    let store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    proxy.rule(rule);
    let mut replica = Splitdim::replica(MODE, proxy.address, &[]);
    let mut random = Random(seed);
    let mut journal = Journal::default();
    for round in 0..rounds {
        let mut running = load(32, round).start(replica.address);
        running.answered(100 + random.below(100)).await;
        // It ends with status 0.
        replica.stop().await;
        let balances = store.at_rest().await;
        journal.append(running.ended().await);
        let balances = match balances {
            Ok(balances) => balances,
            Err(open) => panic!(
                "round {round}, seed {seed}: left open: {open:#?}\nin doubt: {:#?}\n{}",
                journal.doubts,
                replica.process.log()
            ),
        };
        if let Err(inexact) = journal.check(&balances) {
            panic!("round {round}, seed {seed}: {inexact}");
        }
        replica.restart();
        assert_eq!(replica.balances().await, balances);
    }
    (journal.doubts.clone(), journal.count(Outcome::Done))
}

fn load(clients: usize, round: usize) -> Load {
    Load {
        clients,
        each: 1_000_000,
        people: 20,
        round,
    }
}

/// A journal of certain transfers that come to `balances`, which sum to zero.
fn brought_forward(balances: &Balances) -> Journal {
    let mut journal = Journal::default();
    for (person, balance) in &balances.0 {
        let transfer = Transfer {
            sender: person.clone(),
            receiver: "brought forward".into(),
            amount: *balance,
        };
        journal.note(transfer, Outcome::Done);
    }
    journal
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(kills: usize, left_open: usize, slowest: Duration) {
    println!(
        "{kills} kills, {left_open} left something open; it was finished within {slowest:?} at most"
    );
}
