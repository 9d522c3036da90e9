//! Rows in runs are rows like others, on disk too.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

use crate::store::disk::head::{Begins, Head};
use crate::store::disk::part::Part;
use crate::store::state;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::Device;
use crate::store::tests::everything;
use crate::store::tests::workload::{new_device, open};
use crate::store::tests::written::{Written, change, commit, compare, entries};
use crate::store::{Backend, Disk, Key, OpenError, Snapshot, Versioned};

/// Names of the tables: stores that exist have them.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");
const RUNS: TableDefinition<'_, &str, Vec<(&str, &str)>> = TableDefinition::new("runs");

#[test]
fn rows_are_shown_as_they_were_written_whether_in_runs_or_not() {
    let (mut in_runs, mut alone) = (0, 0);
    for seed in 0..60 {
        let mut chance = Chance::seeded(seed);
        let device = new_device();
        let mut disk = open(&device);
        let mut written = Written::new();
        for _ in 0..60 {
            change(&mut disk, &mut written, &mut chance);
            if chance.percent(20) {
                drop(disk);
                disk = open(&device);
            }
            compare(&disk.newest().snapshot(), &written, &mut chance);
        }
        drop(disk);
        let (rows, runs) = tables(&device);
        in_runs += runs;
        alone += rows;
        // Whatever is in a run, and was written again or not, is one row to whoever reads.
        compare_reopened(&device, &written);
    }
    assert!(in_runs > 100, "{in_runs} runs");
    assert!(alone > 1_000, "{alone} rows");
}

#[test]
fn a_run_that_would_overlap_another_is_written_row_by_row() {
    let device = new_device();
    let mut written = Written::new();
    for keys in [&["b", "d", "f"][..], &["a", "c"], &["g", "h"], &["e", "ee"]] {
        let mut disk = open(&device);
        let made = keys.iter().map(|key| new_row(key)).collect();
        commit(&mut disk, made, &mut written);
        drop(disk);
        compare_reopened(&device, &written);
    }
    assert_eq!(tables(&device), (4, 2));
}

#[test]
fn who_was_made_beside_records_stops_no_further_runs() {
    let device = new_device();
    let mut written = Written::new();
    for keys in [["a", "b"], ["c", "d"]] {
        let mut disk = open(&device);
        let mut made = Written::from(keys.map(new_row));
        let (_, row) = new_row("");
        made.insert(format!("Person {}", keys[0]).into(), row);
        commit(&mut disk, made, &mut written);
        drop(disk);
        compare_reopened(&device, &written);
    }
    assert_eq!(tables(&device), (2, 2));
}

#[test]
fn a_run_over_keys_of_two_kinds_shows_its_rows() {
    let (device, mut written) = without_runs();
    drop(open(&device));
    let database = database(&device);
    let transaction = database.begin_write().unwrap();
    let run = vec![("!t/x", "{}"), ("Ann", "{}"), ("Zoe", "{}")];
    transaction
        .open_table(RUNS)
        .unwrap()
        .insert("!t/x", &run)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let (_, row) = new_row("");
    written.extend(run.iter().map(|(key, _)| ((*key).into(), row.clone())));
    let mut disk = open(&device);
    commit(&mut disk, ["y", "z"].map(new_row).into(), &mut written);
    let again = Versioned { version: 2, ..row };
    let changed = Written::from([("Ann".into(), again)]);
    commit(&mut disk, changed, &mut written);
    drop(disk);
    compare_reopened(&device, &written);
}

#[test]
fn a_store_without_runs_shows_the_same_and_has_them_from_then_on() {
    let (device, mut written) = without_runs();
    let disk = open(&device);
    assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
    drop(disk);
    // By this number a program that knows of no runs refuses it.
    assert_eq!(head(&device).format, 3);

    let mut disk = open(&device);
    commit(&mut disk, ["c", "d"].map(new_row).into(), &mut written);
    drop(disk);
    let disk = open(&device);
    assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
    drop(disk);
    assert_eq!(tables(&device), (2, 1));
}

#[test]
fn a_store_without_runs_whose_first_commit_is_a_reset_is_empty() {
    let (device, _) = without_runs();
    let mut disk = open(&device);
    let stamp = disk.newest().snapshot().stamp();
    disk.commit(state::reset(stamp)).unwrap();
    assert_eq!(everything(&disk.newest().snapshot()), []);
    drop(disk);
    assert_eq!(everything(&open(&device).newest().snapshot()), []);
}

#[test]
fn a_store_whose_runs_are_gone_is_refused_and_stays_as_it_is() {
    let (device, _) = without_runs();
    head_of(3, &device);
    let before = device.content();
    let error = Disk::on(device.clone(), device.directory()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(device.content() == before, "it was changed");
}

#[test]
fn a_store_that_is_cut_off_while_it_is_given_runs_shows_the_same() {
    let (device, written) = without_runs();
    device.record();
    drop(open(&device));
    for count in 0..=device.count() {
        let device = Device::holding(device.content_after(count));
        let disk = open(&device);
        let shown = everything(&disk.newest().snapshot());
        assert_eq!(shown, entries(&written), "after {count} steps");
    }
}

fn compare_reopened(device: &Device, written: &Written) {
    let disk = open(device);
    compare(&disk.newest().snapshot(), written, &mut Chance::seeded(1));
}

fn new_row(key: &str) -> (Key, Versioned) {
    let value = "{}".into();
    (format!("!t/{key}").into(), Versioned { value, version: 1 })
}

/// How many rows and how many runs the database in `device` has.
fn tables(device: &Device) -> (u64, u64) {
    let database = database(device);
    let read = database.begin_read().unwrap();
    let rows = read.open_table(ROWS).unwrap().len().unwrap();
    let runs = read.open_table(RUNS).unwrap().len().unwrap();
    (rows, runs)
}

/// A store of two rows, as it was kept before there were runs.
fn without_runs() -> (Device, Written) {
    let device = new_device();
    let mut rows = Written::new();
    let mut disk = open(&device);
    commit(&mut disk, ["a", "b"].map(new_row).into(), &mut rows);
    drop(disk);
    let database = database(&device);
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(RUNS).unwrap();
    {
        let mut table = transaction.open_table(ROWS).unwrap();
        for (key, row) in &rows {
            table.insert(&**key, (row.version, &*row.value)).unwrap();
        }
        // What is in the journal is in the table.
        let mut meta = transaction
            .open_table(TableDefinition::<&str, u64>::new("meta"))
            .unwrap();
        meta.insert("revision", 1).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    head_of(2, &device);
    (device, rows)
}

fn head_of(format: u64, device: &Device) {
    let head = Head {
        format,
        ..head(device)
    };
    head.write(device).unwrap();
}

fn head(device: &Device) -> Head {
    match Head::read(device).unwrap() {
        Begins::Store(head) => head,
        other => panic!("no store: {other:?}"),
    }
}

fn database(device: &Device) -> Database {
    let part = Part::new(Arc::new(device.clone()), head(device).database_at());
    Database::builder().create_with_backend(part).unwrap()
}
