//! Rows in blocks are rows like others.

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::database;
use crate::store::disk::row;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::Device;
use crate::store::tests::workload::{new_device, open};
use crate::store::tests::written::{Written, change, commit, compare, entries, new_row};
use crate::store::{Backend, Disk, Entry, Key, Range, Snapshot, Versioned};

const BLOCKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("blocks");

/// Bytes of a block, if it has more than one row.
const LENGTH: usize = 3_600;

#[test]
fn rows_are_shown_as_they_were_written() {
    let mut count = 0;
    for seed in 0..60 {
        let mut chance = Chance::seeded(seed);
        let device = new_device();
        let mut disk = open(&device);
        let mut written = Written::new();
        for _ in 0..60 {
            change(&mut disk, &mut written, &mut chance);
            if chance.percent(20) {
                disk = open_again(disk, &device);
            }
            compare(&disk.newest().snapshot(), &written, &mut chance);
        }
        let disk = open_again(disk, &device);
        compare(&disk.newest().snapshot(), &written, &mut chance);
        drop(disk);
        count += lengths(&device, &written).len();
    }
    assert!(count > 1_000, "{count} blocks");
}

#[test]
fn records_fill_their_blocks_however_few_come_at_a_time() {
    for together in [1, 3, 40] {
        let device = new_device();
        let mut disk = open(&device);
        let mut written = Written::new();
        let people = (0..200).map(|person| row(&format!("person {person:03}"), 10));
        commit(&mut disk, people.collect(), &mut written);
        let records: Vec<_> = (0..1_200)
            .map(|record| row(&format!("!t/{record:05}"), 100))
            .collect();
        for records in records.chunks(together) {
            commit(&mut disk, records.iter().cloned().collect(), &mut written);
        }
        drop(open_again(disk, &device));
        let lengths = lengths(&device, &written);
        let full = lengths.iter().sum::<usize>().div_ceil(LENGTH);
        assert!(lengths.len() <= full * 6 / 5, "{together}: {lengths:?}");
    }
}

#[test]
fn people_in_any_order_fill_a_good_half_of_their_blocks() {
    for (count, together) in [(3_000, 1), (6_000, 30), (30_000, 5_000)] {
        let mut chance = Chance::seeded(3);
        let device = new_device();
        let mut disk = open(&device);
        let mut written = Written::new();
        for _ in 0..count / together {
            let person = || row(&format!("person {:06}", chance.below(1_000_000)), 10);
            let mut people: Written = std::iter::repeat_with(person).take(together).collect();
            people.retain(|person, _| !written.contains_key(person));
            commit(&mut disk, people, &mut written);
        }
        drop(open_again(disk, &device));
        let lengths = lengths(&device, &written);
        let full = lengths.iter().sum::<usize>().div_ceil(LENGTH);
        assert!(lengths.len() * 100 <= full * 175, "{together}: {lengths:?}");
        let slivers = lengths.iter().filter(|length| **length < LENGTH / 10);
        assert!(
            slivers.count() * 20 <= lengths.len(),
            "{together}: {lengths:?}"
        );
    }
}

#[test]
fn a_block_that_is_not_whole_is_a_fault_to_readers() {
    let device = new_device();
    let mut written = Written::new();
    let people = ["Ann", "Bob", "Zoe"].map(new_row);
    commit(&mut open(&device), people.into(), &mut written);
    drop(open(&device));
    let whole = database(&device);
    let transaction = whole.begin_write().unwrap();
    {
        let mut blocks = transaction.open_table(BLOCKS).unwrap();
        let block = blocks.get("").unwrap().unwrap().value().to_vec();
        blocks.insert("", &block[..block.len() - 1]).unwrap();
    }
    transaction.commit().unwrap();
    drop(whole);
    let disk = open(&device);
    let shown = disk.newest().snapshot();
    assert_eq!(shown.version("Ann").unwrap(), 1);
    assert!(shown.get("Zoe").is_err());
    assert!(shown.list(&Range::default()).is_err());
}

#[test]
fn a_long_row_keeps_none_beside_it_from_being_read_or_written() {
    let device = new_device();
    let mut written = Written::new();
    for (key, length) in [
        ("b", 100_000),
        ("d", 10),
        ("a", 10),
        ("c", 3_700),
        ("b", 200_000),
        ("b", 10),
        ("c", 5),
        ("e", 70_000),
        ("bb", 3_000),
    ] {
        let (key, mut row) = row(key, length);
        row.version += written.get(&key).map_or(0, |row| row.version);
        let mut disk = open(&device);
        commit(&mut disk, Written::from([(key, row)]), &mut written);
        let disk = open_again(disk, &device);
        compare(&disk.newest().snapshot(), &written, &mut Chance::seeded(1));
        drop(disk);
        lengths(&device, &written);
    }
}

fn row(key: &str, length: usize) -> (Key, Versioned) {
    let (key, row) = new_row(key);
    let value = "v".repeat(length).into();
    (key, Versioned { value, ..row })
}

/// What is in the journal is in blocks then.
fn open_again(disk: Disk, device: &Device) -> Disk {
    drop(disk);
    open(device)
}

/// The bytes of each block in `device`, which is closed. They must hold what was written, and be as they should.
fn lengths(device: &Device, written: &Written) -> Vec<usize> {
    let database = database(device);
    let read = database.begin_read().unwrap();
    let blocks = read.open_table(BLOCKS).unwrap();
    let mut lengths = Vec::new();
    let mut all = Vec::new();
    for (at, block) in blocks.iter().unwrap().enumerate() {
        let (begins, block) = block.unwrap();
        let (begins, block) = (begins.value(), block.value());
        let rows: Vec<_> = row::decode(block).map(Result::unwrap).collect();
        assert!(rows.len() == 1 || block.len() <= LENGTH, "{}", block.len());
        let first = rows[0].key;
        match at {
            0 => assert_eq!(begins, ""),
            _ => assert!(first >= begins.as_bytes()),
        }
        let last: Option<&Entry> = all.last();
        assert!(last.is_none_or(|last| *last.key < *begins), "{last:?}");
        all.extend(rows.iter().map(|row| row.entry().unwrap()));
        lengths.push(block.len());
    }
    assert_eq!(all, entries(written));
    lengths
}
