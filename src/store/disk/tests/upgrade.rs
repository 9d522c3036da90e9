//! Stores of format 1 are given a journal.

use std::fs;
use std::path::Path;

use redb::{Database, TableDefinition};
use tempfile::TempDir;

use crate::store::tests::{entry, everything};
use crate::store::{Backend, Disk, Entry, FILE_NAME, OpenError, Snapshot, Stamp};

const STAMP: Stamp = Stamp {
    epoch: 7,
    revision: 12,
};

#[test]
fn a_store_without_a_journal_is_given_one_and_shows_the_same() {
    let directory = TempDir::new().unwrap();
    let rows = [
        entry("!t/1", "{}", 1),
        entry("anna", "-5", 3),
        entry("b", "", u64::MAX),
    ];
    make(directory.path(), &rows);
    for _ in 0..2 {
        let disk = Disk::open(directory.path()).unwrap();
        let snapshot = disk.newest().snapshot();
        assert_eq!(everything(&snapshot), rows);
        assert_eq!(snapshot.stamp(), STAMP);
        drop(disk);
        assert!(
            fs::read(file(&directory))
                .unwrap()
                .starts_with(b"splitdim store\n")
        );
    }
}

#[test]
fn half_an_upgrade_is_made_anew() {
    let directory = TempDir::new().unwrap();
    let rows = [entry("anna", "-5", 3)];
    make(directory.path(), &rows);
    fs::write(directory.path().join("store.unfinished"), [9; 20_000]).unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    assert_eq!(everything(&disk.newest().snapshot()), rows);
    drop(disk);
    assert!(!directory.path().join("store.unfinished").exists());
}

#[test]
fn a_damaged_store_without_a_journal_is_refused_and_stays_as_it_is() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), &[entry("anna", "-5", 3)]);
    let mut damaged = fs::read(file(&directory)).unwrap();
    for page in damaged.chunks_mut(4096).skip(1) {
        page[100] ^= 1;
    }
    fs::write(file(&directory), &damaged).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(fs::read(file(&directory)).unwrap() == damaged);
}

#[test]
fn what_names_another_format_is_refused_and_stays_as_it_is() {
    for format in [None, Some(7)] {
        let directory = TempDir::new().unwrap();
        make_of(format, directory.path(), &[entry("anna", "-5", 3)]);
        let before = fs::read(file(&directory)).unwrap();
        let error = Disk::open(directory.path()).unwrap_err();
        match format {
            None => assert!(matches!(error, OpenError::Foreign(_)), "{error:?}"),
            Some(_) => {
                let is_seven = matches!(
                    error,
                    OpenError::Format {
                        found: 7,
                        known: 4,
                        ..
                    }
                );
                assert!(is_seven, "{error:?}");
            }
        }
        assert!(fs::read(file(&directory)).unwrap() == before);
    }
}

fn file(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join(FILE_NAME)
}

/// A store as it was kept before there was a journal.
fn make(directory: &Path, rows: &[Entry]) {
    make_of(Some(1), directory, rows);
}

fn make_of(format: Option<u64>, directory: &Path, rows: &[Entry]) {
    let database = Database::create(directory.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction
            .open_table(TableDefinition::<&str, u64>::new("meta"))
            .unwrap();
        let stamp = [("epoch", STAMP.epoch), ("revision", STAMP.revision)];
        for (name, number) in format
            .map(|format| ("format", format))
            .into_iter()
            .chain(stamp)
        {
            meta.insert(name, number).unwrap();
        }
        let mut table = transaction
            .open_table(TableDefinition::<&str, (u64, &str)>::new("rows"))
            .unwrap();
        for row in rows {
            table.insert(&*row.key, (row.version, &*row.value)).unwrap();
        }
    }
    transaction.commit().unwrap();
}
