//! Not a cent is lost or invented, however many clients there are, and whatever they do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::exact::{Balances, Journal, Outcome, Transfer};
use crate::common::http::{Connection, bytes, get, post};
use crate::common::load::{self, Load};
use crate::common::random::Random;
use crate::common::splitdim::Splitdim;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_transfers_of_64_clients_are_exact_in_memory() {
    ten_thousand_transfers(&Splitdim::in_memory(&[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_transfers_of_64_clients_are_exact_on_disk() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let journal = ten_thousand_transfers(&splitdim).await;
    splitdim.stop().await;
    splitdim.restart();
    assert_exact(&journal, &splitdim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_in_the_middle_leaves_no_half_transfer() {
    const CLIENTS: usize = 1000;
    let mut splitdim = Splitdim::on_disk(&[]);
    let mut random = Random(12);
    let mut journal = Journal::default();
    let (mut whole, mut partial) = (Vec::new(), 0);
    for batch in 0..CLIENTS / 20 {
        let mut clients = JoinSet::new();
        for client in 0..20 {
            let transfer = Transfer {
                sender: format!("person {}", random.below(20)),
                receiver: format!("fresh {batch} {client}"),
                amount: 1 + random.below(1000) as i64,
            };
            let request = bytes(&post("/api/transfer", load::body(&transfer)));
            // Half of them send all of it.
            let sent = random.below(2 * request.len()).min(request.len());
            let crash = random.below(2) == 0;
            let soon = Duration::from_micros(random.below(4000) as u64);
            if sent == request.len() {
                whole.push(transfer.clone());
                journal.note(transfer, Outcome::Unknown);
            } else {
                partial += 1;
                journal.note(transfer, Outcome::NotApplied);
            }
            let address = splitdim.address;
            clients.spawn(async move { hang_up(address, &request[..sent], crash, soon).await });
        }
        clients.join_all().await;
    }
    // Stopping waits for every transfer that began.
    splitdim.stop().await;
    splitdim.restart();
    assert_exact(&journal, &splitdim).await;

    let balances = splitdim.balances().await;
    let done = whole
        .iter()
        .filter(|transfer| balances.0.contains_key(&transfer.receiver))
        .count();
    assert!(partial > CLIENTS / 4, "{partial} of {CLIENTS} were partial");
    assert!(
        done > whole.len() / 10,
        "{done} of {} whole requests were done",
        whole.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_comes_wholly_before_or_after_each_transfer_in_memory() {
    resets_race_transfers(&Splitdim::in_memory(&[]), 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_comes_wholly_before_or_after_each_transfer_on_disk() {
    resets_race_transfers(&Splitdim::on_disk(&[]), 100).await;
}

async fn ten_thousand_transfers(splitdim: &Splitdim) -> Journal {
    let load = Load {
        clients: 64,
        each: 157,
        people: 20,
        round: 0,
    };
    let journal = load.start(splitdim.address).ended().await;
    assert_eq!(
        journal.count(Outcome::Done),
        64 * 157,
        "{:?}",
        journal.doubts
    );
    assert_exact(&journal, splitdim).await;
    journal
}

/// Sends the bytes of a request, and soon ends the connection without waiting for the answer.
async fn hang_up(address: SocketAddr, sent: &[u8], crash: bool, soon: Duration) {
    let mut connection = connect(address).await;
    connection.write(sent).await.expect("nobody else hangs up");
    // The moments from before it is read to after it is answered are a few milliseconds.
    sleep(soon).await;
    if crash {
        connection.reset().expect("the connection takes options");
    }
}

/// Eight clients send pairs of people who are in one transfer only, and transfers among shared
/// people; one resets; two look at the accounts all the time.
async fn resets_race_transfers(splitdim: &Splitdim, each: usize) {
    let address = splitdim.address;
    let race = Arc::new(Race::default());
    let mut clients = JoinSet::new();
    for client in 0..8 {
        clients.spawn(send_pairs(address, client, each, Arc::clone(&race)));
    }
    let mut observers = JoinSet::new();
    for _ in 0..2 {
        observers.spawn(look(address, Arc::clone(&race)));
    }
    let resets = tokio::spawn(reset(address, Arc::clone(&race)));

    let pairs = clients.join_all().await.concat();
    race.over.store(true, Ordering::SeqCst);
    race.progress.notify_one();
    resets.await.expect("the resets went well");
    let looks: usize = observers.join_all().await.iter().sum();
    let resets = race.begun.load(Ordering::SeqCst);
    assert!(resets > 5 && looks > 5, "{resets} resets, {looks} looks");

    let balances = splitdim.balances().await;
    assert_whole(&balances);
    for pair in pairs {
        let is_there = balances.0.contains_key(&pair.transfer.sender);
        if pair.resets_answered_before == resets {
            assert!(
                is_there,
                "{pair:?} was made after the last reset, and is gone"
            );
        }
        if pair.resets_begun_after < resets {
            assert!(
                !is_there,
                "{pair:?} was made before the last reset, and is there"
            );
        }
    }
}

/// What those who race know of each other.
#[derive(Debug, Default)]
struct Race {
    /// Some more transfers were answered.
    progress: Notify,
    over: AtomicBool,
    /// Resets that were sent.
    begun: AtomicUsize,
    /// Resets that were answered.
    answered: AtomicUsize,
}

/// A transfer, between people who are in no other one, and the resets around it.
#[derive(Clone, Debug)]
struct Pair {
    transfer: Transfer,
    resets_answered_before: usize,
    resets_begun_after: usize,
}

async fn send_pairs(address: SocketAddr, client: usize, each: usize, race: Arc<Race>) -> Vec<Pair> {
    let mut connection = connect(address).await;
    let mut pairs = Vec::new();
    for number in 0..each {
        let transfer = Transfer {
            sender: format!("giver {client} {number}"),
            receiver: format!("taker {client} {number}"),
            amount: 1 + number as i64,
        };
        let resets_answered_before = race.answered.load(Ordering::SeqCst);
        done(&mut connection, &transfer).await;
        pairs.push(Pair {
            transfer,
            resets_answered_before,
            resets_begun_after: race.begun.load(Ordering::SeqCst),
        });
        let shared = Transfer {
            sender: format!("person {}", number % 3),
            receiver: format!("person {}", 3 + client % 3),
            amount: 1,
        };
        done(&mut connection, &shared).await;
        if number % 8 == client {
            race.progress.notify_one();
        }
    }
    pairs
}

async fn look(address: SocketAddr, race: Arc<Race>) -> usize {
    let mut connection = connect(address).await;
    let mut looks = 0;
    while !race.over.load(Ordering::SeqCst) {
        let answer = connection
            .call(&get("/api/accounts"))
            .await
            .expect("it answers");
        assert_eq!(answer.status(), 200);
        assert_whole(&Balances::from_json(answer.body()));
        // Which is an error if the balances do not sum to zero.
        let answer = connection
            .call(&get("/api/clear"))
            .await
            .expect("it answers");
        assert_eq!(answer.status(), 200);
        looks += 1;
    }
    looks
}

async fn reset(address: SocketAddr, race: Arc<Race>) {
    let mut connection = connect(address).await;
    loop {
        race.progress.notified().await;
        if race.over.load(Ordering::SeqCst) {
            return;
        }
        race.begun.fetch_add(1, Ordering::SeqCst);
        let answer = connection
            .call(&get("/api/reset"))
            .await
            .expect("it answers");
        assert_eq!(answer.status(), 200);
        race.answered.fetch_add(1, Ordering::SeqCst);
    }
}

async fn connect(address: SocketAddr) -> Connection {
    Connection::open(address)
        .await
        .expect("it accepts connections")
}

async fn done(connection: &mut Connection, transfer: &Transfer) {
    let sent = load::send(connection, transfer).await;
    let (outcome, answer) = sent.expect("it answers");
    assert_eq!(outcome, Outcome::Done, "{answer:?}");
}

/// Asserts that no transfer is there by half: neither its two people, nor the sum of all.
fn assert_whole(balances: &Balances) {
    assert_eq!(balances.sum(), 0, "{balances:?}");
    for (person, balance) in &balances.0 {
        let other = match person.split_once(' ') {
            Some(("giver", rest)) => format!("taker {rest}"),
            Some(("taker", rest)) => format!("giver {rest}"),
            _ => continue,
        };
        assert_eq!(balances.0.get(&other), Some(&-balance), "{person}");
    }
}

async fn assert_exact(journal: &Journal, splitdim: &Splitdim) {
    let balances = splitdim.balances().await;
    if let Err(inexact) = journal.check(&balances) {
        panic!("{inexact}\nin doubt: {:?}", journal.doubts);
    }
}
