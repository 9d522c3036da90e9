//! A rolling update: one replica after the other is stopped and started again, while clients go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::balancer::Balancer;
use crate::common::exact::{Journal, Outcome};
use crate::common::http::{Connection, header};
use crate::common::kvstore::Kvstore;
use crate::common::load::{self, Load};
use crate::common::splitdim::Splitdim;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CLIENTS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_replicas_are_replaced() {
    roll(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn no_request_fails_while_replicas_are_replaced_for_long() {
    roll(20).await;
}

/// Replaces each of three replicas so many times.
async fn roll(rounds: usize) {
    let kvstore = Kvstore::on_disk(&[]);
    let balancer = Balancer::start().await;
    // As in an update from one mode to the other.
    let modes = [
        "resilientkvstore",
        "transactionalkvstore",
        "resilientkvstore",
    ];
    let mut replicas = modes.map(|mode| Splitdim::replica(mode, kvstore.address, &[]));
    for replica in &replicas {
        balancer.add(replica.address);
    }
    balancer.has_ready(replicas.len()).await;

    let stopping = Arc::<AtomicBool>::default();
    let answered = Arc::<AtomicUsize>::default();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (stopping, answered) = (Arc::clone(&stopping), Arc::clone(&answered));
        clients.spawn(go_on(client, balancer.address, stopping, answered));
    }
    for _ in 0..rounds {
        for replica in &mut replicas {
            some_more(&answered).await;
            replica.stop().await;
            balancer.has_ready(modes.len() - 1).await;
            some_more(&answered).await;
            replica.restart();
            balancer.add(replica.address);
            balancer.has_ready(modes.len()).await;
        }
    }
    stopping.store(true, Ordering::SeqCst);
    let mut journal = Journal::default();
    for part in clients.join_all().await {
        journal.append(part);
    }

    assert!(journal.doubts.is_empty(), "{:#?}", journal.doubts);
    assert_eq!(
        journal.count(Outcome::Done),
        answered.load(Ordering::SeqCst)
    );
    let (balances, _) = kvstore.comes_to_rest(Duration::from_secs(10)).await;
    if let Err(inexact) = journal.check(&balances) {
        panic!("{inexact}");
    }
}

/// Waits until clients have got some more answers.
async fn some_more(answered: &AtomicUsize) {
    let enough = answered.load(Ordering::SeqCst) + 5 * CLIENTS;
    let begun = Instant::now();
    while answered.load(Ordering::SeqCst) < enough {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nobody is answered"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

/// Makes transfers one after the other, on a new connection whenever the last one was closed in good
/// order. Whatever is not answered 200 is a doubt.
async fn go_on(
    client: usize,
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Journal {
    let load = Load {
        clients: CLIENTS,
        each: 1_000_000,
        people: 20,
        round: 0,
    };
    let mut journal = Journal::default();
    let mut connection = None;
    for number in 0..load.each {
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(address).await {
                Ok(open) => open,
                Err(error) => {
                    journal.doubts.push(format!("no connection: {error}"));
                    break;
                }
            },
        };
        let transfer = load.transfer(client, number);
        match load::send(&mut open, &transfer).await {
            Ok((Outcome::Done, answer)) => {
                journal.note(transfer, Outcome::Done);
                answered.fetch_add(1, Ordering::SeqCst);
                if header(&answer, "connection") != Some("close") {
                    connection = Some(open);
                }
            }
            Ok((outcome, answer)) => {
                journal.note(transfer, outcome);
                journal.doubts.push(format!("{answer:?}"));
                break;
            }
            Err(error) => {
                journal.note(transfer, Outcome::Unknown);
                journal
                    .doubts
                    .push(format!("transfer {number} of client {client}: {error}"));
                break;
            }
        }
    }
    journal
}
