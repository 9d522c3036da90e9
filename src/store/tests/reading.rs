//! Readers and the writer do not wait for each other.

use std::time::Duration;

use tokio::{runtime, task, time};

use super::workload::{new_device, open};
use super::{Disk, Entry, Snapshot, Store, Write, everything, put, puts, with_store};

#[test]
fn reads_go_on_while_the_journal_waits_for_the_disk() {
    reads_go_on(5);
}

#[test]
fn reads_go_on_while_a_checkpoint_waits_for_the_disk() {
    reads_go_on(5_000);
}

/// Reads while a commit of values of so many bytes waits for its sync.
fn reads_go_on(length: usize) {
    let device = new_device();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (store, writer) = Store::new(open(&device));
        let writer = tokio::spawn(writer.run());
        let rows = |value: &str, version| {
            puts(
                (0..100)
                    .map(|row| put(&row.to_string(), &value.repeat(length), version))
                    .collect::<Vec<_>>(),
            )
        };
        store.write(rows("a", 0)).await.unwrap();
        let before = everything(&store.snapshot());

        device.block();
        let waiting = tokio::spawn({
            let store = store.clone();
            let write = rows("b", 1);
            async move { store.write(write).await }
        });
        let syncing = device.clone();
        task::spawn_blocking(move || syncing.wait_for_sync())
            .await
            .unwrap();

        let read = task::spawn_blocking({
            let store = store.clone();
            move || read_all(&store)
        });
        let read = time::timeout(Duration::from_secs(10), read).await;
        let answered = waiting.is_finished();
        device.unblock();
        let (rows, stamp) = read.expect("reads wait for the writer").unwrap();
        assert_eq!(rows, before);
        assert_eq!(stamp, 1);
        assert!(!answered, "a write was acknowledged before its sync");

        waiting.await.unwrap().unwrap();
        let (rows, stamp) = read_all(&store);
        assert!(
            rows.iter()
                .all(|row| row.version == 2 && row.value.starts_with('b'))
        );
        assert_eq!(stamp, 2);
        drop(store);
        writer.await.unwrap().unwrap();
    });
}

#[test]
fn a_snapshot_shows_the_same_however_long_it_is_kept() {
    let device = new_device();
    with_store(open(&device), async |store: Store<Disk>| {
        store.write(puts([put("anna", "1", 0)])).await.unwrap();
        let kept = store.snapshot();
        let before = everything(&kept);
        for version in 1..200 {
            let value = version.to_string().repeat(1_000);
            store
                .write(puts([put("anna", &value, version)]))
                .await
                .unwrap();
        }
        assert_eq!(everything(&kept), before);
        store.write(Write::Reset { epoch: None }).await.unwrap();
        assert_eq!(everything(&kept), before);
    })
    .1
    .unwrap();
}

/// Every row, by `get` and by `list`, and the revision that was read.
fn read_all(store: &Store<Disk>) -> (Vec<Entry>, u64) {
    let rows = everything(&store.snapshot());
    for row in &rows {
        let (read, _) = store.get(&row.key).unwrap();
        assert_eq!((&read.value, read.version), (&row.value, row.version));
    }
    (rows, store.snapshot().stamp().revision)
}
