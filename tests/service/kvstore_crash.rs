//! What the store has acknowledged is on disk, whenever it is killed; and each version is handed out
//! once, whoever writes.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::kvstore::{Kvstore, client};
use crate::common::process::Process;
use crate::common::random::Random;
use splitdim::kv::{Kv, KvError, Listed, Put, Range, Versioned};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Names the store to which a second process of these tests writes.
const WRITE_TO: &str = "KVSTORE_TEST_WRITE_TO";

/// How many versions each of the two processes gets at least.
const VERSIONS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_50_kills() {
    survives_kills(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn what_was_acknowledged_survives_500_kills() {
    survives_kills(500).await;
}

#[tokio::test]
async fn each_version_is_handed_out_once_to_two_processes() {
    let store = Kvstore::on_disk(&[]);
    let address = store.address.to_string();
    let program = env::current_exe().expect("a process knows its program");
    let mut other = Process::start(
        program.to_str().expect("the path is text"),
        &[
            "kvstore_crash::a_process_that_writes",
            "--exact",
            "--nocapture",
        ],
        &[(WRITE_TO, &address)],
    );
    let ours = take_versions(&store.client(), "ours").await;
    assert!(other.ended().await.success(), "{}", other.log());
    let output = other.output();
    let theirs = output.lines().find_map(|line| line.split_once("versions:"));
    let theirs: Vec<u64> = serde_json::from_str(theirs.expect("it has said").1).unwrap();

    let count = ours.len() + theirs.len();
    let all: BTreeSet<_> = ours.into_iter().chain(theirs).collect();
    assert_eq!(all, (1..=count as u64).collect());
}

/// Not a test by itself: what the second process does.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "that is how it tells")]
async fn a_process_that_writes() {
    if let Ok(address) = env::var(WRITE_TO) {
        let address: SocketAddr = address.parse().expect("it is an address");
        println!(
            "versions:{:?}",
            take_versions(&client(address), "theirs").await
        );
    }
}

/// Writes one key until it has met the other process there, and tells the versions that this made.
async fn take_versions(kv: &Kv, name: &str) -> Vec<u64> {
    let (mut versions, mut met) = (Vec::new(), false);
    while versions.len() < VERSIONS || !met {
        let (Versioned { value, version }, _) = kv.get("k".into()).await.expect("it reads");
        met |= version > 0 && &*value != name;
        match kv.put(put("k", name, version), None).await {
            Ok(_) => versions.push(version + 1),
            Err(KvError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    versions
}

/// What clients know of a store that only they write.
#[derive(Debug, Default)]
struct Journal {
    /// What was acknowledged last, by key.
    acknowledged: BTreeMap<String, Versioned>,
    /// What may have been written after that, all of it or nothing.
    open: Vec<Vec<Put>>,
    count: usize,
}

async fn survives_kills(kills: usize) {
    let mut store = Kvstore::on_disk(&[]);
    let mut random = Random(5);
    let mut journal = Journal::default();
    let mut slowest = Duration::ZERO;
    for round in 0..kills {
        let (progress, mut answered) = watch::channel(0);
        let progress = Arc::new(progress);
        let mut writers = JoinSet::new();
        for number in 0..6 {
            let writer = Writer {
                kv: store.client(),
                round,
                number,
                progress: Arc::clone(&progress),
            };
            writers.spawn(writer.run());
        }
        drop(progress);
        let enough = 20 + random.below(150);
        let reached = answered.wait_for(|answered| *answered >= enough).await;
        drop(reached.expect("the writers go on until then"));
        store.process.kill();
        for part in writers.join_all().await {
            journal.append(part);
        }
        let begun = Instant::now();
        store.restart();
        slowest = slowest.max(begun.elapsed());
        journal.check(&entries(&store.client()).await, round);
    }
    report(kills, journal.count, slowest);
    assert!(journal.count >= 20 * kills);
    assert!(slowest < Duration::from_secs(5), "a start took {slowest:?}");
}

/// Writes until the store is gone.
struct Writer {
    kv: Kv,
    round: usize,
    number: usize,
    progress: Arc<watch::Sender<usize>>,
}

impl Writer {
    /// A counter of its own by compare-and-put; two counters that are raised together; or, for half
    /// of the writers, with a fresh key besides.
    async fn run(self) -> Journal {
        let mut journal = Journal::default();
        let number = self.number;
        let keys: &[String] = match number % 2 {
            0 => &[format!("counter {number}")],
            _ => &[format!("left {number}"), format!("right {number}")],
        };
        let mut rows = BTreeMap::new();
        for key in keys {
            let Ok((row, _)) = self.kv.get(key.as_str().into()).await else {
                return journal;
            };
            rows.insert(key.clone(), row.version);
        }
        for write in 0.. {
            let value = format!("{} {write}", self.round);
            let mut puts: Vec<_> = rows
                .iter()
                .map(|(key, version)| put(key, &value, *version))
                .collect();
            if number >= 3 {
                let fresh = format!("fresh {} {number} {write}", self.round);
                puts.push(put(&fresh, &value, 0));
            }
            let written = match &puts[..] {
                [put] => self.kv.put(put.clone(), None).await,
                _ => self.kv.transaction(puts.clone(), None).await,
            };
            match written {
                Ok(_) => {
                    rows.values_mut().for_each(|version| *version += 1);
                    journal.acknowledge(&puts);
                    self.progress.send_modify(|answered| *answered += 1);
                }
                Err(KvError::Unavailable(_)) => break,
                Err(KvError::Unknown(_)) => {
                    journal.open.push(puts);
                    break;
                }
                Err(error) => panic!("nobody else writes this: {error}"),
            }
        }
        journal
    }
}

impl Journal {
    fn acknowledge(&mut self, puts: &[Put]) {
        self.count += 1;
        for put in puts {
            self.acknowledged.insert(put.key.to_string(), made(put));
        }
    }

    fn append(&mut self, mut part: Self) {
        self.acknowledged.append(&mut part.acknowledged);
        self.open.append(&mut part.open);
        self.count += part.count;
    }

    /// Asserts that the store holds what was acknowledged, and nothing that was not asked for. What
    /// was open is settled by it.
    fn check(&mut self, stored: &BTreeMap<String, Versioned>, round: usize) {
        for puts in std::mem::take(&mut self.open) {
            let there = |put: &Put| stored.get(&*put.key) == Some(&made(put));
            if puts.iter().any(there) {
                assert!(
                    puts.iter().all(there),
                    "round {round}: half of {puts:?} is there"
                );
                for put in &puts {
                    self.acknowledged.insert(put.key.to_string(), made(put));
                }
            }
        }
        for (key, row) in &self.acknowledged {
            assert_eq!(stored.get(key), Some(row), "round {round}: {key}");
        }
        assert_eq!(stored.len(), self.acknowledged.len(), "round {round}");
    }
}

/// What a put makes of its key.
fn made(put: &Put) -> Versioned {
    Versioned {
        value: Arc::clone(&put.value),
        version: put.version + 1,
    }
}

async fn entries(kv: &Kv) -> BTreeMap<String, Versioned> {
    let listed = kv.list(Range::default(), None).await.expect("it lists");
    let Listed::Entries(entries, _) = listed else {
        panic!("nothing has changed since nothing");
    };
    let row = |entry: splitdim::kv::Entry| {
        let row = Versioned {
            value: entry.value,
            version: entry.version,
        };
        (entry.key.to_string(), row)
    };
    let entries = entries.all().await.expect("it lists to its end");
    entries.into_iter().map(row).collect()
}

fn put(key: &str, value: &str, version: u64) -> Put {
    Put::new(key, value, version)
}

#[expect(clippy::print_stdout, reason = "the figure is worth knowing")]
fn report(kills: usize, count: usize, slowest: Duration) {
    println!("{kills} kills, {count} acknowledged writes; the slowest start took {slowest:?}");
}
