//! One account that everybody pays into or is paid from, through several replicas: nobody waits for
//! long, and nobody waits for ever.

use std::time::Duration;

use crate::common::exact::{Journal, Outcome, Transfer};
use crate::common::http::Connection;
use crate::common::kvstore::Kvstore;
use crate::common::load;
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use tokio::task::JoinSet;
use tokio::time::Instant;

const REPLICAS: usize = 3;
const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starves_at_one_account_of_three_replicas() {
    // On a machine that does much else.
    crowd(Duration::from_secs(3), Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn ninety_nine_of_a_hundred_wait_less_than_a_second_at_one_account_of_three_replicas() {
    crowd(Duration::from_secs(30), Duration::from_secs(1)).await;
}

/// Has all clients make transfers with the hot account for `time`, and asserts that 99 of 100 were
/// answered within `limit`.
async fn crowd(time: Duration, limit: Duration) {
    let kvstore = Kvstore::on_disk(&[]);
    let mut replicas =
        [(); REPLICAS].map(|()| Splitdim::replica("transactionalkvstore", kvstore.address, &[]));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let connection = replicas[client % REPLICAS].connect().await;
        clients.spawn(go_on(client, connection, begun + time));
    }
    let clients = clients.join_all().await;
    let took = begun.elapsed();

    let figures = Figures::of(&clients, took);
    report(&figures);
    for replica in &mut replicas {
        replica.process.report("a transfer was");
    }
    let mut journal = Journal::default();
    for client in clients {
        journal.append(client.journal);
    }
    for replica in &replicas {
        if let Err(inexact) = journal.check(&replica.balances().await) {
            panic!("{inexact}\nin doubt: {:#?}", journal.doubts);
        }
    }
    assert_eq!(figures.failed, 0, "{:#?}", journal.doubts);
    assert!(figures.fewest > 0, "somebody starves: {figures:?}");
    assert!(figures.p99 < limit, "{figures:?}");
}

/// What one client has seen.
#[derive(Debug, Default)]
struct Client {
    journal: Journal,
    /// How long it waited for each answer.
    waits: Vec<Duration>,
}

/// What all clients have seen.
#[derive(Debug)]
struct Figures {
    p50: Duration,
    p99: Duration,
    longest: Duration,
    failed: usize,
    per_second: f64,
    /// Transfers of the client that made the fewest.
    fewest: usize,
    most: usize,
}

impl Figures {
    fn of(clients: &[Client], took: Duration) -> Self {
        let each = || {
            clients
                .iter()
                .map(|client| client.journal.count(Outcome::Done))
        };
        let mut waits: Vec<_> = clients.iter().flat_map(|client| &client.waits).collect();
        waits.sort();
        let percentile = |percent: usize| *waits[(waits.len() - 1) * percent / 100];
        Self {
            p50: percentile(50),
            p99: percentile(99),
            longest: percentile(100),
            failed: waits.len() - each().sum::<usize>(),
            per_second: each().sum::<usize>() as f64 / took.as_secs_f64(),
            fewest: each().min().unwrap_or_default(),
            most: each().max().unwrap_or_default(),
        }
    }
}

/// Makes transfers one after the other until `end`. Whatever is not answered 200 is a doubt.
async fn go_on(client: usize, mut connection: Connection, end: Instant) -> Client {
    let mut random = Random(client as u64);
    let mut seen = Client::default();
    while Instant::now() < end {
        let transfer = transfer(client, &mut random);
        let begun = Instant::now();
        let sent = load::send(&mut connection, &transfer).await;
        seen.waits.push(begun.elapsed());
        let (outcome, answer) = sent.expect("it answers");
        if outcome != Outcome::Done {
            let text = String::from_utf8_lossy(answer.body());
            seen.journal
                .doubts
                .push(format!("{}: {text}", answer.status()));
        }
        seen.journal.note(transfer, outcome);
    }
    seen
}

/// One between the hot account and the client's own, or one that others use too.
fn transfer(client: usize, random: &mut Random) -> Transfer {
    let other = match random.below(2) {
        0 => format!("client {client}"),
        _ => format!("person {}", random.below(20)),
    };
    let mut two = ["hot".to_owned(), other];
    if random.below(2) == 0 {
        two.reverse();
    }
    let [sender, receiver] = two;
    Transfer {
        sender,
        receiver,
        amount: 1 + random.below(1000) as i64,
    }
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(figures: &Figures) {
    let Figures {
        p50,
        p99,
        longest,
        failed,
        per_second,
        fewest,
        most,
    } = figures;
    println!(
        "{CLIENTS} clients at one account of {REPLICAS} replicas: p50 {p50:?}, p99 {p99:?}, longest {longest:?}; \
         {per_second:.0} transfers/s, {fewest} to {most} of a client, {failed} failed"
    );
}
