//! Opening: fast after any end, and a clear refusal of what is no sound store of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, TableDefinition};
use tempfile::TempDir;
use tokio::time::Instant;

use super::chance::Chance;
use super::device::Device;
use super::workload::{Content, Workload, new_device, open};
use super::{Backend, Disk, Store, put, puts, with_store};
use crate::store::{FILE_NAME, OpenError};

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the time is worth knowing, and only bounded here"
)]
fn a_large_store_opens_fast_after_a_clean_end_and_after_a_kill() {
    const KEYS: usize = 100_000;
    let directory = TempDir::new().unwrap();
    let killed = TempDir::new().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    let (written, ended) = with_store(disk, async |store: Store<Disk>| {
        for thousand in 0..KEYS / 1_000 {
            let rows = (0..1_000).map(|row| {
                let key = format!("!t/{row:03}-{thousand:08}-{}", "0".repeat(20));
                put(&key, &"{}".repeat(100), 0)
            });
            store.write(puts(rows.collect::<Vec<_>>())).await.unwrap();
        }
        // What a kill would leave at this instant.
        fs::copy(
            directory.path().join(FILE_NAME),
            killed.path().join(FILE_NAME),
        )
        .unwrap();
        Content::of(&store.snapshot())
    });
    ended.unwrap();
    for (end, directory) in [("a clean end", &directory), ("a kill", &killed)] {
        let began = Instant::now();
        let disk = Disk::open(directory.path()).unwrap();
        let time = began.elapsed();
        eprintln!("{KEYS} keys open in {time:?} after {end}");
        assert!(time < Duration::from_secs(5), "{time:?} after {end}");
        assert_eq!(Content::of(&disk.newest().snapshot()), written);
    }
}

#[test]
fn a_damaged_file_is_refused_and_left_alone_or_shows_everything() {
    let mut refused = [0; 2];
    for seed in 0..400 {
        let mut chance = Chance::seeded(seed);
        let device = new_device();
        let workload = Workload::new(Content::default(), 10, &mut chance);
        let mut killed = Vec::new();
        workload
            .run(open(&device), || killed = device.content())
            .unwrap();
        for (end, sound) in [device.content(), killed].into_iter().enumerate() {
            let damaged = damage(sound, &mut chance);
            let device = Device::holding(damaged.clone());
            match Disk::on(device.clone(), device.directory()) {
                Ok(disk) => {
                    let found = Content::of(&disk.newest().snapshot());
                    assert_eq!(Some(&found), workload.contents.last(), "seed {seed}");
                }
                Err(error) => {
                    refused[end] += 1;
                    let path = device.directory().join(FILE_NAME);
                    assert!(
                        error.to_string().contains(path.to_str().unwrap()),
                        "{error}"
                    );
                    assert!(
                        matches!(error, OpenError::Damaged { .. } | OpenError::Foreign(_)),
                        "{error}"
                    );
                    assert!(
                        device.content() == damaged,
                        "seed {seed}: the file was changed"
                    );
                }
            }
        }
    }
    assert!(refused.iter().all(|&refused| refused > 100), "{refused:?}");
}

#[test]
fn a_file_cut_in_half_is_refused_as_damaged() {
    let mut content = sound_file();
    content.truncate(content.len() / 2);
    let (error, path) = refused(&content);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(
        sentence.starts_with(&format!("the store {} is damaged (", path.display())),
        "{sentence}"
    );
    assert!(
        sentence
            .ends_with("; restore it from a backup, or move it away to begin with an empty one"),
        "{sentence}"
    );
}

#[test]
fn a_file_with_a_damaged_page_is_refused_as_damaged() {
    let content = sound_file();
    // Wherever the rows are: every page after the first, a byte each.
    let damaged: Vec<u8> = content
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if at > 4096 && at % 4096 == 100 {
                !byte
            } else {
                *byte
            }
        })
        .collect();
    let (error, _) = refused(&damaged);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn an_empty_file_is_refused_as_damaged() {
    let (error, path) = refused(&[]);
    assert_eq!(
        error.to_string(),
        format!(
            "the store {} is damaged (the file is empty); \
             restore it from a backup, or move it away to begin with an empty one",
            path.display()
        )
    );
}

#[test]
fn a_file_of_something_else_is_refused_as_foreign() {
    let mut garbage = sound_file();
    garbage[..64].fill(0x55);
    let other_tables = redb_file(|database| {
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("something"))
            .unwrap();
        transaction.commit().unwrap();
    });
    let other_types = redb_file(|database| {
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("meta"))
            .unwrap();
        transaction.commit().unwrap();
    });
    let no_rows = redb_file(|database| set_format(database, 1));
    for content in [
        b"# Shopping list\n".to_vec(),
        b"x".to_vec(),
        [b"SQLite format 3\0".to_vec(), vec![0; 8192]].concat(),
        garbage,
        other_tables,
        other_types,
        no_rows,
    ] {
        let (error, path) = refused(&content);
        assert_eq!(
            error.to_string(),
            format!(
                "the file {} is not a store of this program; \
                 move it away, or choose another data directory",
                path.display()
            )
        );
    }
}

#[test]
fn a_directory_that_is_in_use_is_refused_until_it_is_free() {
    let directory = TempDir::new().unwrap();
    let first = Disk::open(directory.path()).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} is in use by another process; \
             stop that one, or choose another directory",
            directory.path().display()
        )
    );
    drop(first);
    Disk::open(directory.path()).unwrap();
}

#[test]
fn a_file_that_another_program_has_open_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(Disk::open(directory.path()).unwrap());
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(directory.path().join(FILE_NAME))
        .unwrap();
    file.try_lock().unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "a file").unwrap();
    for (path, reason) in [
        (
            file.clone(),
            "File exists (os error 17); choose another data directory",
        ),
        (
            file.join("below"),
            "Not a directory (os error 20); choose another data directory",
        ),
    ] {
        let error = Disk::open(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot make the data directory {}: {reason}",
                path.display()
            )
        );
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "a file");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_system_that_takes_no_files_is_refused() {
    let error = Disk::open(Path::new("/proc/self")).unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("cannot write /proc/self/store.lock: "),
        "{sentence}"
    );
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}

#[test]
fn a_directory_in_the_place_of_the_file_is_refused() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join(FILE_NAME)).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error:?}");
}

#[test]
fn a_store_that_was_not_made_to_the_end_is_made_anew() {
    let directory = TempDir::new().unwrap();
    let unfinished = directory.path().join("store.unfinished");
    for half in [vec![], vec![7; 10_000], sound_file()[..9_000].to_vec()] {
        fs::write(&unfinished, half).unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        assert_eq!(Content::of(&disk.newest().snapshot()), Content::default());
        assert!(!unfinished.exists());
        drop(disk);
        fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
    }
}

/// What [`Disk::open`] says of a directory whose file has this content; it must not change it.
fn refused(content: &[u8]) -> (OpenError, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE_NAME);
    fs::write(&path, content).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(fs::read(&path).unwrap() == content, "the file was changed");
    (error, path)
}

/// A store with some rows, closed.
fn sound_file() -> Vec<u8> {
    let device = new_device();
    let rows: Vec<_> = (0..500)
        .map(|row| put(&format!("name {row}"), "7", 0))
        .collect();
    with_store(open(&device), async |store: Store<Disk>| {
        store.write(puts(rows)).await.unwrap();
    })
    .1
    .unwrap();
    device.content()
}

fn redb_file(fill: impl FnOnce(&Database)) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let database = Database::create(file.path()).unwrap();
    fill(&database);
    drop(database);
    fs::read(file.path()).unwrap()
}

fn set_format(database: &Database, format: u64) {
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<&str, u64>::new("meta"))
        .unwrap()
        .insert("format", format)
        .unwrap();
    transaction.commit().unwrap();
}

/// Some bits flipped, a sector of zeros or of noise, or an end cut off.
fn damage(mut content: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    let sector = chance.below(content.len() / 512) * 512;
    match chance.below(4) {
        0 => content[sector..sector + 512].fill(0),
        1 => content[sector..sector + 512].fill_with(|| chance.below(256) as u8),
        2 => content.truncate(sector + chance.below(512) + 1),
        _ => {
            for _ in 0..=chance.below(30) {
                let at = chance.below(content.len());
                content[at] ^= 1 << chance.below(8);
            }
        }
    }
    content
}
