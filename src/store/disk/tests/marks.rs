//! The marks: what they tell apart, and that nothing is refused for one that was torn.

use super::head;
use crate::store::disk::frame;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::{Device, SECTOR, Step};
use crate::store::tests::everything;
use crate::store::tests::workload::{DATABASE, MARKS, new_device, open};
use crate::store::tests::written::{Written, commit, entries, new_row};
use crate::store::{Backend, Disk, OpenError};

/// A page: where each mark is alone.
const PAGE: usize = 4_096;

#[test]
fn they_are_written_in_turn() {
    let (device, _) = with_commits(9);
    let places: Vec<_> = marked(&device)
        .into_iter()
        .map(|(place, _)| place)
        .collect();
    // The first one when the store was made.
    assert_eq!(places, [MARKS[1], MARKS[0]].repeat(5)[..9]);
}

/// Or a failure that comes soon might find no whole one.
#[test]
fn the_one_that_is_not_whole_is_written_first() {
    for place in MARKS {
        let (device, mut written) = with_commits(4);
        let device = damaged(&device, place);
        device.record();
        commit(&mut open(&device), [new_row("new")].into(), &mut written);
        // What was in the journal is marked when the store is opened.
        let marked = marked(&device);
        assert_eq!(marked.len(), 2);
        assert_eq!(marked[0].0, place);
    }
}

/// By its mark an older program knows all commits but the last.
#[test]
fn the_first_one_tells_of_the_last_commit_or_of_the_one_before() {
    let (device, _) = with_commits(9);
    let mut first = 0;
    for (revision, (place, mark)) in (1..).zip(marked(&device)) {
        if place == MARKS[0] {
            first = mark;
        }
        assert!([revision - 1, revision].contains(&first), "{revision}");
    }
}

#[test]
fn where_one_was_destroyed_while_it_was_written_everything_is_there() {
    let pages = MARKS.map(|mark| mark..mark + PAGE);
    for seed in 0..10 {
        let mut chance = Chance::seeded(seed);
        let (device, written) = with_commits(20);
        let steps = device.steps().into_iter().enumerate();
        let marked = steps.filter(|(_, step)| mark(step).is_some());
        for (commits, (step, _)) in (1..).zip(marked) {
            let mut image = device.after_power_loss(step + 1, &mut chance);
            let in_flight = (&pages[..], PAGE);
            assert!(device.destroy_in_flight(step + 1, in_flight, &mut image, &mut chance));
            let disk = open(&Device::holding(image));
            let shown = everything(&disk.newest().snapshot());
            assert_eq!(shown, entries(&written)[..commits]);
        }
    }
}

#[test]
fn where_both_are_lost_everything_is_there() {
    let (device, written) = with_commits(5);
    let device = MARKS
        .into_iter()
        .fold(device, |d, place| damaged(&d, place));
    let disk = open(&device);
    assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
}

#[test]
fn a_damaged_commit_is_known_by_any_whole_one_that_tells_of_it() {
    const COMMITS: usize = 5;
    // The fifth is marked in the second place.
    for (lost, told) in [(None, 5), (Some(MARKS[0]), 5), (Some(MARKS[1]), 4)] {
        let (device, _) = with_commits(COMMITS);
        let device = lost.map_or(device.clone(), |place| damaged(&device, place));
        for revision in 1..=COMMITS {
            let device = Device::holding(device.content());
            let damaged = damaged(&device, 8_192 + (revision - 1) * SECTOR);
            let opened = Disk::on(damaged.clone(), damaged.directory());
            match revision <= told {
                true => assert!(matches!(opened, Err(OpenError::Damaged { .. }))),
                // As a torn one would be: nobody was told of it, as far as is known.
                false => assert_eq!(everything(&opened.unwrap().newest().snapshot()).len(), told),
            }
        }
    }
}

/// There were commits in the place of the second mark.
#[test]
fn a_store_with_one_mark_and_a_longer_journal_shows_everything() {
    let (device, mut written) = of_an_older_program();
    for key in ["one", "other", "third"] {
        let mut disk = open(&device);
        assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
        commit(&mut disk, [new_row(key)].into(), &mut written);
        drop(disk);
    }
    let disk = open(&device);
    assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
}

#[test]
fn a_store_with_one_mark_whose_last_commit_is_damaged_is_refused() {
    let (device, written) = of_an_older_program();
    let device = damaged(&device, DATABASE - SECTOR);
    let error = Disk::on(device.clone(), device.directory()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    // Where its mark was torn, nobody knows of that one any more.
    let device = damaged(&device, MARKS[0]);
    let shown = everything(&open(&device).newest().snapshot());
    assert_eq!(shown.len(), written.len() - 1);
}

/// A store with so many commits in its journal, a sector each, that records since it was made; and what was
/// written.
fn with_commits(count: usize) -> (Device, Written) {
    let device = new_device();
    device.record();
    let mut disk = open(&device);
    let mut written = Written::new();
    for number in 0..count {
        let row = new_row(&format!("key {number:02}"));
        commit(&mut disk, [row].into(), &mut written);
    }
    drop(disk);
    (device, written)
}

/// A store as it was when the journal went on to the database, both halves of it full to the end.
fn of_an_older_program() -> (Device, Written) {
    let device = new_device();
    let mut content = device.content();
    let seal = head(&device).seal();
    let mut written = Written::new();
    let mut buffer = Vec::new();
    let mut mark = Vec::new();
    for (before, at) in (0..).zip((8_192..DATABASE).step_by(SECTOR)) {
        let row = Written::from([new_row(&format!("key {at}"))]);
        frame::encode(&mut buffer, seal, (before, before + 1), &row);
        content[at..at + buffer.len()].copy_from_slice(&buffer);
        written.extend(row);
        let revision = (before + 1_u64).to_le_bytes();
        mark = [seal.of(&revision), revision].concat();
    }
    content[MARKS[0]..][..mark.len()].copy_from_slice(&mark);
    (Device::holding(content), written)
}

/// The same with a bit flipped `at` some byte.
fn damaged(device: &Device, at: usize) -> Device {
    let mut content = device.content();
    content[at] ^= 1;
    Device::holding(content)
}

/// Where marks were written since `device` records, and their revisions.
fn marked(device: &Device) -> Vec<(usize, u64)> {
    device.steps().iter().filter_map(mark).collect()
}

/// The place and the revision, if it is a mark that is written.
fn mark(step: &Step) -> Option<(usize, u64)> {
    match step {
        Step::Write(place, mark) if MARKS.contains(place) => {
            Some((*place, u64::from_le_bytes(mark[8..].try_into().unwrap())))
        }
        _ => None,
    }
}
