//! Many tasks write at once.

use std::collections::HashSet;

use tokio::{runtime, task};

use super::workload::{new_device, open};
use super::{Backend, Refusal, Snapshot, Stamp, Store, Write, WriteError, put, puts};
use crate::store::Memory;

const TASKS: u64 = 16;
/// How many times each task writes with success.
const ROUNDS: u64 = 50;

#[test]
fn in_memory_each_version_is_handed_out_once_and_readers_see_whole_commits() {
    compete(Memory::new());
}

#[test]
fn on_disk_each_version_is_handed_out_once_and_readers_see_whole_commits() {
    compete(open(&new_device()));
}

/// Tasks raise two counters, always together, while others read them.
fn compete<B: Backend>(backend: B) {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (store, writer) = Store::new(backend);
        let writer = tokio::spawn(writer.run());
        let reader = tokio::spawn(watch(store.clone()));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| tokio::spawn(raise(store.clone())))
            .collect();
        let mut handed_out = HashSet::new();
        let mut stamps = HashSet::new();
        for task in tasks {
            for (version, stamp) in task.await.unwrap() {
                assert!(handed_out.insert(version), "version {version} twice");
                assert!(stamps.insert(stamp), "{stamp:?} twice");
            }
        }
        let writes = TASKS * ROUNDS;
        assert_eq!(handed_out, (1..=writes).collect());
        assert_eq!(counters(&store.snapshot()), (writes, writes));
        assert_eq!(store.snapshot().stamp().revision, writes);
        store.write(puts([put("end", "", 0)])).await.unwrap();
        reader.await.unwrap();
        drop(store);
        writer.await.unwrap().unwrap();
    });
}

/// Raises the counters [`ROUNDS`] times; returns the versions that came of it, and when.
async fn raise<B: Backend>(store: Store<B>) -> Vec<(u64, Stamp)> {
    let mut made = Vec::new();
    while made.len() < usize::try_from(ROUNDS).unwrap() {
        let (left, _) = counters(&store.snapshot());
        let value = (left + 1).to_string();
        let write = puts([put("left", &value, left), put("right", &value, left)]);
        match store.write(write).await {
            Ok(stamp) => made.push((left + 1, stamp)),
            Err(WriteError::Refused(Refusal::Version(_))) => task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    }
    made
}

/// Reads until the end is written.
async fn watch<B: Backend>(store: Store<B>) {
    let mut last = Stamp::default();
    loop {
        let snapshot = store.snapshot();
        assert!(snapshot.stamp().revision >= last.revision, "back in time");
        last = snapshot.stamp();
        let (left, right) = counters(&snapshot);
        assert_eq!(left, right, "half of a transaction");
        if snapshot.get("end").unwrap().version > 0 {
            return;
        }
        task::yield_now().await;
    }
}

/// The counters; their versions must be the same numbers.
fn counters(snapshot: &impl Snapshot) -> (u64, u64) {
    let number = |key: &str| {
        let read = snapshot.get(key).unwrap();
        assert_eq!(read.value.parse().unwrap_or(0), read.version);
        read.version
    };
    (number("left"), number("right"))
}

#[test]
fn a_batch_of_many_more_writes_than_one_commit_takes_is_answered_in_full() {
    const WRITES: u64 = 5_000;
    let runtime = runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let (store, writer) = Store::new(open(&new_device()));
        let tasks: Vec<_> = (0..WRITES)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let write: Write = puts([put(&number.to_string(), "1", 0)]);
                    store.write(write).await.unwrap().revision
                })
            })
            .collect();
        let writer = tokio::spawn(writer.run());
        let mut revisions = HashSet::new();
        for task in tasks {
            assert!(revisions.insert(task.await.unwrap()));
        }
        assert_eq!(revisions, (1..=WRITES).collect());
        drop(store);
        writer.await.unwrap().unwrap();
    });
}
