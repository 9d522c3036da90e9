//! Stores of formats 2 and 3, which had no blocks.

use redb::{ReadableDatabase, TableDefinition, TableHandle};

use super::{database, head};
use crate::store::disk::head::Head;
use crate::store::state;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::Device;
use crate::store::tests::everything;
use crate::store::tests::workload::{new_device, open};
use crate::store::tests::written::{Written, commit, entries, new_row};
use crate::store::{Backend, Disk, OpenError, Snapshot, Versioned};

#[test]
fn they_show_the_same_and_have_blocks_from_then_on() {
    for format in [2, 3] {
        let (device, mut written) = former(format);
        for key in ["!t/c", "Ann", "Zoe"] {
            let disk = open(&device);
            assert_eq!(everything(&disk.newest().snapshot()), entries(&written));
            drop(disk);
            assert_eq!(tables(&device), ["blocks", "meta"]);
            // By this number a program that knows of no blocks refuses it.
            assert_eq!(head(&device).format, 4);
            let mut disk = open(&device);
            let (key, mut row) = new_row(key);
            row.version += written.get(&key).map_or(0, |row| row.version);
            commit(&mut disk, [(key, row)].into(), &mut written);
        }
    }
}

#[test]
fn when_their_first_commit_is_a_reset_they_are_empty() {
    for format in [2, 3] {
        let (device, _) = former(format);
        let mut disk = open(&device);
        let stamp = disk.newest().snapshot().stamp();
        disk.commit(state::reset(stamp)).unwrap();
        assert_eq!(everything(&disk.newest().snapshot()), []);
        drop(disk);
        assert_eq!(everything(&open(&device).newest().snapshot()), []);
    }
}

#[test]
fn a_store_whose_rows_are_gone_is_refused_and_stays_as_it_is() {
    for format in [2, 3, 4] {
        let (device, _) = former(format);
        let database = database(&device);
        let transaction = database.begin_write().unwrap();
        match format {
            3 => transaction.delete_table(RUNS).unwrap(),
            _ => transaction.delete_table(ROWS).unwrap(),
        };
        transaction.commit().unwrap();
        drop(database);
        let before = device.content();
        let error = Disk::on(device.clone(), device.directory()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(device.content() == before, "it was changed");
    }
}

#[test]
fn when_they_are_cut_off_while_they_are_given_blocks_they_show_the_same() {
    for format in [2, 3] {
        let (device, written) = former(format);
        device.record();
        drop(open(&device));
        for count in 0..=device.count() {
            let device = Device::holding(device.content_after(count));
            let disk = open(&device);
            let shown = everything(&disk.newest().snapshot());
            assert_eq!(shown, entries(&written), "after {count} steps");
        }
        let mut chance = Chance::seeded(format);
        for count in 0..=device.count() {
            let device = Device::holding(device.after_power_loss(count, &mut chance));
            let disk = open(&device);
            let shown = everything(&disk.newest().snapshot());
            assert_eq!(shown, entries(&written), "after {count} steps");
        }
    }
}

/// The names of the tables in `device`, whose store is closed.
fn tables(device: &Device) -> Vec<String> {
    let database = database(device);
    let read = database.begin_read().unwrap();
    let tables = read.list_tables().unwrap();
    tables.map(|table| table.name().to_owned()).collect()
}

const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");
const RUNS: TableDefinition<'_, &str, Vec<(&str, &str)>> = TableDefinition::new("runs");

/// A store as it was kept in `format`, with some commits in its journal besides, and what was written.
fn former(format: u64) -> (Device, Written) {
    let device = new_device();
    let mut disk = open(&device);
    let mut written = Written::new();
    commit(&mut disk, ["!t/a", "Ann"].map(new_row).into(), &mut written);
    drop(disk);
    let database = database(&device);
    let transaction = database.begin_write().unwrap();
    transaction
        .delete_table(TableDefinition::<&str, &[u8]>::new("blocks"))
        .unwrap();
    {
        let mut rows = transaction.open_table(ROWS).unwrap();
        for number in 0..2_500 {
            let (key, row) = new_row(&format!("person {number}"));
            rows.insert(&*key, (number + 1, &*row.value)).unwrap();
            let version = number + 1;
            written.insert(key, Versioned { version, ..row });
        }
        if format > 2 {
            let mut runs = transaction.open_table(RUNS).unwrap();
            // One over keys of two kinds, as they once were made.
            for run in [["!t/1", "!t/2", "!t/3"], ["!t/x", "Bob", "Cyd"]] {
                let values = run.map(|key| (key, "{}")).to_vec();
                runs.insert(run[0], &values).unwrap();
                written.extend(run.map(new_row));
            }
            // Written again: it hides what is in the run.
            rows.insert("!t/2", (2, "again")).unwrap();
            let value = "again".into();
            written.insert("!t/2".into(), Versioned { value, version: 2 });
        }
    }
    transaction.commit().unwrap();
    drop(database);
    let head = Head {
        format,
        ..head(&device)
    };
    head.write(&device).unwrap();
    (device, written)
}
