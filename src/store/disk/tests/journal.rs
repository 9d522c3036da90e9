//! Frames, and what of the journal counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::disk::frame::{self, decode};
use crate::store::disk::head::Head;
use crate::store::disk::journal::Appended::{Full, TooLong, Whole};
use crate::store::disk::journal::{Journal, Replayed};
use crate::store::disk::seal::Seal;
use crate::store::disk::syncs::Syncs;
use crate::store::state::Changes;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::{Device, Step};
use crate::store::tests::everything;
use crate::store::tests::workload::{new_device, open};
use crate::store::{Backend, Key, Snapshot, Stamp, Versioned};

const LENGTH: u64 = 12_288;

#[test]
fn a_frame_is_read_as_it_was_written() {
    for seed in 0..500 {
        let rows = any_rows(&mut Chance::seeded(seed));
        let mut written = encoded(&rows, seal(1));
        let length = written.len();
        written.extend([7; 100]);
        let read = decode(&written, seal(1)).unwrap();
        assert_eq!((read.before, read.revision, read.length), (3, 9, length));
        assert_eq!(read.rows, rows);
    }
}

#[test]
fn what_is_damaged_or_cut_off_or_of_another_store_is_no_frame() {
    let written = encoded(&any_rows(&mut Chance::seeded(5)), seal(1));
    assert!(decode(&written, seal(2)).is_none());
    for at in 0..written.len() {
        let mut damaged = written.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(decode(&damaged, seal(1)).is_none(), "byte {at}");
        assert!(decode(&written[..at], seal(1)).is_none(), "cut at {at}");
    }
}

#[test]
fn a_commit_is_one_write_and_one_sync_and_then_its_mark() {
    let (file, head) = created();
    let mut journal = Journal::new(Arc::new(file.clone()), &head, Syncs::default()).unwrap();
    file.record();
    assert_eq!(journal.append((0, 1), &row("a", "1")).unwrap(), Whole);
    assert!(matches!(
        file.steps()[..],
        [Step::Write(8_192, _), Step::Sync, Step::Write(16_384, _)]
    ));
    assert_eq!(revisions(&file, &head, 0), Some(vec![1]));
}

#[test]
fn what_finds_no_room_is_not_begun() {
    let (file, head) = created();
    let mut journal = Journal::new(Arc::new(file.clone()), &head, Syncs::default()).unwrap();
    let [long, too_long] = [1_200, 2_100].map(|length| "x".repeat(length));
    assert_eq!(journal.append((0, 1), &row("a", &long)).unwrap(), Whole);
    file.record();
    assert_eq!(journal.append((1, 2), &row("b", &long)).unwrap(), Full);
    assert_eq!(
        journal.append((1, 2), &row("b", &too_long)).unwrap(),
        TooLong
    );
    assert_eq!(file.count(), 0);
    assert_eq!(journal.append((1, 2), &row("b", "short")).unwrap(), Whole);
    assert_eq!(revisions(&file, &head, 0), Some(vec![1, 2]));
}

#[test]
fn what_a_checkpoint_has_does_not_count_again_in_whichever_half_it_is() {
    let (file, head) = created();
    let mut journal = Journal::new(Arc::new(file.clone()), &head, Syncs::default()).unwrap();
    let append = |journal: &mut Journal, revision: u64| {
        let rows = row(&revision.to_string(), "1");
        let appended = journal.append((revision - 1, revision), &rows);
        assert_eq!(appended.unwrap(), Whole);
    };
    for revision in 1..=3 {
        append(&mut journal, revision);
    }
    assert_eq!(revisions(&file, &head, 0), Some(vec![1, 2, 3]));
    assert_eq!(revisions(&file, &head, 3), Some(vec![]));
    journal.turn();
    append(&mut journal, 4);
    assert_eq!(revisions(&file, &head, 0), Some(vec![1, 2, 3, 4]));
    assert_eq!(revisions(&file, &head, 3), Some(vec![4]));
    journal.turn();
    // As long as the first one was: the old second frame comes right after it.
    append(&mut journal, 5);
    assert_eq!(revisions(&file, &head, 3), Some(vec![4, 5]));
    assert_eq!(revisions(&file, &head, 4), Some(vec![5]));
}

#[test]
fn a_last_frame_that_is_not_whole_counts_as_damaged_only_if_somebody_was_told_of_it() {
    let (file, head) = created();
    let mut journal = Journal::new(Arc::new(file.clone()), &head, Syncs::default()).unwrap();
    assert_eq!(journal.append((0, 1), &row("a", "1")).unwrap(), Whole);
    let one = file.content();
    assert_eq!(journal.append((1, 2), &row("b", "2")).unwrap(), Whole);
    let mut torn = file.content();
    // The second one begins at the second sector.
    torn[8_192 + 512 + 20] ^= 1;
    let damaged = Device::holding(torn.clone());
    assert_eq!(revisions(&damaged, &head, 0), None);
    // The same before its mark was written.
    torn[4_096..4_096 + 16].copy_from_slice(&one[4_096..4_096 + 16]);
    let torn = Device::holding(torn);
    assert_eq!(revisions(&torn, &head, 0), Some(vec![1]));
}

#[test]
fn commits_take_one_sync_each_and_a_checkpoint_is_written_between_them() {
    const COMMITS: usize = 300;
    let device = new_device();
    let value = "x".repeat(1_000);
    let mut disk = open(&device);
    device.record();
    let mut most = 0;
    for revision in 1..=COMMITS as u64 {
        let before = device.count();
        let stamp = Stamp { epoch: 0, revision };
        let rows = row(&revision.to_string(), &value);
        let reset = false;
        disk.commit(Changes { stamp, reset, rows }).unwrap();
        assert_eq!(device.count(), before + 3, "revision {revision}");
        disk.tidy().unwrap();
        most = most.max(device.count() - before);
        assert_eq!(everything(&disk.newest().snapshot()).len() as u64, revision);
    }
    let syncs = device
        .steps()
        .into_iter()
        .filter(|step| *step == Step::Sync);
    // A half holds 21 of them; a checkpoint takes two syncs.
    let checkpoints = (syncs.count() - COMMITS) / 2;
    assert!((13..=14).contains(&checkpoints), "{checkpoints}");
    assert!(
        most > 3 + 2,
        "nothing of a checkpoint was written after an answer"
    );
}

#[test]
fn what_begins_another_epoch_is_there_when_the_store_is_opened_again() {
    for reset in [false, true] {
        let device = new_device();
        let mut disk = open(&device);
        let stamps = [(0, 1), (5, 2), (5, 3)].map(|(epoch, revision)| Stamp { epoch, revision });
        for (stamp, key) in stamps.into_iter().zip(["a", "b", "c"]) {
            let rows = row(key, "1");
            let reset = reset && stamp.revision == 2;
            disk.commit(Changes { stamp, reset, rows }).unwrap();
        }
        let shown = everything(&disk.newest().snapshot());
        assert_eq!(shown.len(), if reset { 2 } else { 3 });
        let killed = device.content();
        drop(disk);
        for (end, left) in [("a kill", killed), ("a clean end", device.content())] {
            let disk = open(&Device::holding(left));
            let opened = disk.newest().snapshot();
            assert_eq!(opened.stamp(), stamps[2], "after {end}");
            assert_eq!(everything(&opened), shown, "after {end}");
        }
    }
}

/// The revisions of the commits since `checkpoint`; `None` if the journal is damaged.
fn revisions(file: &Device, head: &Head, checkpoint: u64) -> Option<Vec<u64>> {
    match Journal::replay(file, head, checkpoint).unwrap() {
        Replayed::Frames(frames) => Some(frames.iter().map(|frame| frame.revision).collect()),
        Replayed::Damaged => None,
    }
}

/// A file with an empty journal.
fn created() -> (Device, Head) {
    let head = Head::new(LENGTH);
    let file = Device::holding(vec![0; usize::try_from(head.database_at()).unwrap()]);
    Journal::create(&file, &head, 0).unwrap();
    (file, head)
}

fn encoded(rows: &BTreeMap<Key, Versioned>, seal: Seal) -> Vec<u8> {
    let mut written = vec![1, 2, 3];
    frame::encode(&mut written, seal, (3, 9), rows);
    assert_eq!(written.len(), frame::length(rows));
    written
}

fn seal(key: u8) -> Seal {
    Seal::new(&[key; 16])
}

fn row(key: &str, value: &str) -> BTreeMap<Key, Versioned> {
    let value = value.into();
    [(key.into(), Versioned { value, version: 1 })].into()
}

fn any_rows(chance: &mut Chance) -> BTreeMap<Key, Versioned> {
    (0..chance.below(10))
        .map(|_| {
            let key = chance
                .one_of(["a", "é", "!t/0", "\0"])
                .repeat(1 + chance.below(5));
            let value = chance
                .one_of(["", "1", "ä\n"])
                .repeat(chance.below(50))
                .into();
            let version = chance.one_of([1, 2, 255, u64::MAX]);
            (key.into(), Versioned { value, version })
        })
        .collect()
}
