//! What is refused, and what is not: the faults of the store that this one took the place of.

use super::{
    Backend, Disk, Put, Refusal, Snapshot, Stamp, Store, Write, entry, everything, put, puts,
    refusal, with_store, write_at_once,
};
use crate::store::Memory;

#[test]
fn a_put_of_the_value_that_is_there_needs_the_version_that_is_there() {
    in_memory(async |store| {
        store.write(puts([put("anna", "5", 0)])).await.unwrap();
        // Two writers read version 1, and both come to the same new value: one of them must lose.
        let answers = write_at_once(
            &store,
            vec![puts([put("anna", "6", 1)]), puts([put("anna", "6", 1)])],
        )
        .await;
        let [first, second] = answers.try_into().unwrap();
        assert!(first.is_ok());
        assert_eq!(
            refusal(second),
            Refusal::Version(vec![entry("anna", "6", 2)])
        );
        let late = store.write(puts([put("anna", "6", 1)])).await;
        assert_eq!(refusal(late), Refusal::Version(vec![entry("anna", "6", 2)]));
        assert_eq!(everything(&store.snapshot()), [entry("anna", "6", 2)]);
    });
}

#[test]
fn a_put_of_the_value_that_is_there_raises_the_version() {
    in_memory(async |store| {
        for version in 0..3 {
            store
                .write(puts([put("anna", "5", version)]))
                .await
                .unwrap();
        }
        assert_eq!(everything(&store.snapshot()), [entry("anna", "5", 3)]);
    });
}

#[test]
fn new_keys_are_refused_exactly_where_there_is_one_already() {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for chosen in 1..1_usize << KEYS.len() {
        in_memory(async |store| {
            let there = [put("c", "1", 0), put("g", "1", 0)];
            store.write(puts(there)).await.unwrap();
            let new = KEYS.iter().enumerate();
            let new: Vec<_> = new
                .filter(|(at, _)| chosen & 1 << at != 0)
                .map(|(_, key)| put(key, "2", 0))
                .collect();
            let moved: Vec<_> = ["c", "g"]
                .into_iter()
                .filter(|there| new.iter().any(|put| *put.key == **there))
                .map(|there| entry(there, "1", 1))
                .collect();
            let answer = store.write(puts(new)).await;
            match moved.is_empty() {
                true => assert!(answer.is_ok(), "{answer:?}"),
                false => assert_eq!(refusal(answer), Refusal::Version(moved)),
            }
        });
    }
}

#[test]
fn a_missing_key_takes_no_version_but_0() {
    in_memory(async |store| {
        for version in [1, 2, 7, u64::MAX - 1] {
            let answer = store.write(puts([put("anna", "5", version)])).await;
            assert_eq!(
                refusal(answer),
                Refusal::Version(vec![entry("anna", "", 0)])
            );
        }
        let pair = puts([put("berta", "1", 0), put("anna", "5", 1)]);
        assert_eq!(
            refusal(store.write(pair).await),
            Refusal::Version(vec![entry("anna", "", 0)])
        );
        assert_eq!(everything(&store.snapshot()), []);
        store.write(puts([put("anna", "5", 0)])).await.unwrap();
    });
}

#[test]
fn a_refusal_tells_all_that_has_moved_and_nothing_else() {
    in_memory(async |store| {
        let all = ["anna", "berta", "carl"].map(|key| put(key, "1", 0));
        store.write(puts(all)).await.unwrap();
        store.write(puts([put("berta", "2", 1)])).await.unwrap();
        let late = puts([
            put("anna", "9", 0),
            put("berta", "9", 1),
            put("carl", "9", 1),
            put("dora", "9", 1),
            put("emil", "9", 0),
        ]);
        let moved = vec![
            entry("anna", "1", 1),
            entry("berta", "2", 2),
            entry("dora", "", 0),
        ];
        assert_eq!(refusal(store.write(late).await), Refusal::Version(moved));
    });
}

#[test]
fn a_put_from_before_a_reset_is_known_by_its_epoch() {
    in_memory(async |store| {
        store.write(puts([put("anna", "5", 0)])).await.unwrap();
        let (read, before) = store.get("anna").unwrap();
        store.write(Write::Reset { epoch: None }).await.unwrap();
        store.write(puts([put("anna", "1", 0)])).await.unwrap();

        // The version matches again; the epoch does not.
        assert_eq!(store.get("anna").unwrap().0.version, read.version);
        let late = store.write(in_epoch(before.epoch, put("anna", "6", 1)));
        assert_eq!(refusal(late.await), Refusal::Epoch { current: 1 });
        assert_eq!(everything(&store.snapshot()), [entry("anna", "1", 1)]);
        let now = store.write(in_epoch(1, put("anna", "6", 1)));
        now.await.unwrap();
    });
}

#[test]
fn writes_around_a_reset_in_one_batch_are_before_it_or_after_it() {
    in_memory(async |store| {
        let answers = write_at_once(
            &store,
            vec![
                in_epoch(0, put("anna", "1", 0)),
                Write::Reset { epoch: None },
                in_epoch(0, put("berta", "2", 0)),
                in_epoch(1, put("anna", "3", 0)),
            ],
        )
        .await;
        let [before, reset, late, after] = answers.try_into().unwrap();
        assert_eq!(before.unwrap(), stamp(0, 1));
        assert_eq!(reset.unwrap(), stamp(1, 2));
        assert_eq!(refusal(late), Refusal::Epoch { current: 1 });
        assert_eq!(after.unwrap(), stamp(1, 3));
        assert_eq!(everything(&store.snapshot()), [entry("anna", "3", 1)]);
    });
}

#[test]
fn of_a_refused_transaction_nothing_is_written() {
    in_memory(async |store| {
        store.write(puts([put("anna", "5", 0)])).await.unwrap();
        for (refused, why) in [
            (
                vec![put("a", "", 0), put("anna", "6", 0)],
                Refusal::Version(vec![entry("anna", "5", 1)]),
            ),
            (vec![put("a", "", 0), put("", "1", 0)], Refusal::EmptyKey),
            (
                vec![put("a", "", 0), put("a", "", 0)],
                Refusal::SameKey("a".into()),
            ),
            (
                vec![put("a", "", 0), put("a", "", 1)],
                Refusal::SameKey("a".into()),
            ),
            (
                vec![put("a", "", 0), put("b", "", u64::MAX)],
                Refusal::LastVersion("b".into()),
            ),
        ] {
            assert_eq!(refusal(store.write(puts(refused)).await), why);
            assert_eq!(everything(&store.snapshot()), [entry("anna", "5", 1)]);
            assert_eq!(store.snapshot().stamp(), stamp(0, 1));
        }
    });
}

#[test]
fn any_text_is_kept_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let long = "0123456789 ".repeat(100_000);
    let rows = [
        ("John Smith", "7"),
        ("a\tb\nc\r\n\"{}\\", " leading, trailing \n"),
        ("Ærøskøbing 😀", ""),
        ("a long value", &long),
        (&long[..70_000], "a long key"),
        ("\0", "\0"),
    ];
    let open = || Disk::open(directory.path()).unwrap();
    let (written, ended) = with_store(open(), async |store: Store<Disk>| {
        let rows = rows.map(|(key, value)| put(key, value, 0));
        store.write(puts(rows)).await.unwrap();
        everything(&store.snapshot())
    });
    ended.unwrap();
    let (read, ended) = with_store(open(), async |store: Store<Disk>| {
        for (key, value) in rows {
            assert_eq!(&*store.get(key).unwrap().0.value, value);
        }
        assert_eq!(store.snapshot().stamp(), stamp(0, 1));
        everything(&store.snapshot())
    });
    ended.unwrap();
    assert_eq!(read, written);
    assert_eq!(read.len(), rows.len());
}

#[test]
fn epoch_and_revision_go_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let disk = Disk::open(directory.path()).unwrap();
        assert_eq!(disk.newest().snapshot().stamp(), stamp(round, 2 * round));
        with_store(disk, async |store: Store<Disk>| {
            let write = in_epoch(round, put("anna", "1", 0));
            assert_eq!(
                store.write(write).await.unwrap(),
                stamp(round, 2 * round + 1)
            );
            store.write(Write::Reset { epoch: None }).await.unwrap();
        })
        .1
        .unwrap();
    }
}

fn in_memory<F: Future<Output = ()>>(work: impl FnOnce(Store<Memory>) -> F) {
    with_store(Memory::new(), work).1.unwrap();
}

fn in_epoch(epoch: u64, put: Put) -> Write {
    Write::Puts {
        puts: vec![put],
        epoch: Some(epoch),
    }
}

fn stamp(epoch: u64, revision: u64) -> Stamp {
    Stamp { epoch, revision }
}
