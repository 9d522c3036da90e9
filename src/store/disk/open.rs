//! What stands between a directory and a store in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::checkpoint::{Checkpoint, Writing};
use super::frame::Frame;
use super::head::{Begins, FORMAT, Head};
use super::held::Held;
use super::journal::{Journal, Replayed};
use super::part::Part;
use super::{Disk, DiskSnapshot, FILE_NAME, Storage, upgrade};
use crate::store::{Key, Newest, OpenError, Stamp, Versioned, epoch};

/// Whoever holds its lock has the directory.
const LOCK_NAME: &str = "store.lock";

/// Bytes of a new store's journal. With a longer one, more writes of the same key become one in the
/// database; what is in it is in memory besides, and read whenever the store is opened.
const JOURNAL: u64 = 2 << 20;

/// Pages that redb keeps in memory, in bytes; the operating system caches the file besides.
const CACHE: usize = 8 << 20;

impl Disk {
    /// Opens the store in `directory`, or makes an empty one where there is none.
    ///
    /// After a crash it is at the last commit. The checksum of every page is verified before
    /// anything is written: a file that is damaged, or something else, is refused and stays as it
    /// is, byte for byte.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says which file is the matter, and what to do.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(directory).map_err(io_error("make the data directory", directory))?;
        let lock = lock(directory)?;
        let path = directory.join(FILE_NAME);
        match fs::metadata(&path) {
            Ok(file) if !file.is_file() => return Err(OpenError::Foreign(path)),
            // Ours never is: it appears under this name when it is complete.
            Ok(file) if file.len() == 0 => return Err(damaged(&path, "the file is empty")),
            Ok(_) => upgrade::upgrade(directory, &path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let empty = Stamp {
                    epoch: epoch::first(),
                    revision: 0,
                };
                create(directory, &path, empty, std::iter::empty())?;
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        let opened = Self::of(Arc::new(file(&path)?), directory)?;
        Ok(Self {
            _lock: Some(lock),
            ..opened
        })
    }

    /// Opens the store that `file` holds, as if it were the one in `directory`.
    fn of(file: Storage, directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE_NAME);
        let head = match Head::read(&*file).map_err(io_error("read", &path))? {
            Begins::Store(head) => head,
            Begins::Format(found) => {
                return Err(OpenError::Format {
                    path,
                    found,
                    known: FORMAT,
                });
            }
            Begins::Damaged => return Err(damaged(&path, "its beginning is not whole")),
            Begins::Otherwise => return Err(OpenError::Foreign(path)),
        };
        if file.len().map_err(io_error("read", &path))? <= head.database_at() {
            return Err(damaged(&path, "it was cut off"));
        }
        let held = Held::new(Part::new(Arc::clone(&file), head.database_at()));
        let database = verified(&held).map_err(|error| unsound(&path, error))?;
        let read = || Checkpoint::read(&database, &path).map_err(|error| unsound(&path, error));
        let last = read()?;
        let replayed = Journal::replay(&*file, &head, last.stamp().revision);
        let Replayed::Frames(frames) = replayed.map_err(io_error("read", &path))? else {
            return Err(damaged(&path, "its journal is not whole"));
        };
        held.release().map_err(io_error("write", &path))?;
        let journal = Journal::new(file, &head, held.syncs());
        let newest = match frames.last() {
            None => last,
            // Written anew, since a sync of the journal may have failed before, and what was read
            // now may not be on the disk.
            Some(newest) => {
                let stamp = Stamp {
                    revision: newest.revision,
                    ..last.stamp()
                };
                take_up(&database, frames, stamp).map_err(|error| write_error(&path, error))?;
                let marked = journal.mark(stamp.revision);
                marked.map_err(io_error("write", &path))?;
                read()?
            }
        };
        Ok(Self {
            settling: None,
            database,
            journal,
            newest: Arc::new(Newest::new(DiskSnapshot::of(newest))),
            syncs: held.syncs(),
            directory: directory.to_owned(),
            _lock: None,
        })
    }

    /// Opens the store that `backend` holds, as if it were the file in `directory`.
    #[cfg(test)]
    pub(in crate::store) fn on(
        backend: impl StorageBackend,
        directory: &Path,
    ) -> Result<Self, OpenError> {
        Self::of(Arc::new(backend), directory)
    }

    /// Makes an empty store in `backend`, with a journal of so many bytes.
    #[cfg(test)]
    pub(in crate::store) fn create_on(
        backend: impl StorageBackend,
        journal: u64,
    ) -> Result<(), redb::Error> {
        fill(
            Arc::new(backend),
            journal,
            Stamp::default(),
            std::iter::empty(),
        )
    }
}

/// Makes what is in the journal a checkpoint.
fn take_up(database: &Database, frames: Vec<Frame>, stamp: Stamp) -> Result<(), redb::Error> {
    let writing = Writing::begin(database)?;
    for frame in frames {
        writing.write(frame.rows.into_iter())?;
    }
    writing.commit(stamp)
}

/// Opens the database in `held`, if it is one and whole. Nothing is written before it is released.
pub(super) fn verified<B: StorageBackend>(held: &Held<B>) -> Result<Database, redb::Error> {
    Ok(builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(held.clone())?)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// The file at `path`, to read and to write.
pub(super) fn file(path: &Path) -> Result<FileBackend, OpenError> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))?;
    FileBackend::new(file).map_err(|error| open_error(path, error))
}

/// Takes the directory for this process.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_NAME);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

/// Makes a store of `rows`. It gets its name when it is complete, so that a half-made one (the disk
/// was full, the power failed) is never taken for a ledger of nobody.
pub(super) fn create(
    directory: &Path,
    path: &Path,
    stamp: Stamp,
    rows: impl Iterator<Item = (Key, Versioned)>,
) -> Result<(), OpenError> {
    let unfinished = path.with_extension("unfinished");
    let backend = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)
        .map_err(io_error("make", &unfinished))?;
    let filled = FileBackend::new(backend)
        .map_err(redb::Error::from)
        .and_then(|file| fill(Arc::new(file), JOURNAL, stamp, rows));
    if filled.is_err() {
        // Where the disk is full, half a store must not take the room of the one that is there.
        let _ = fs::remove_file(&unfinished);
    }
    filled.map_err(|error| open_error(&unfinished, error))?;
    fs::rename(&unfinished, path).map_err(io_error("make", path))?;
    super::sync_directory(directory).map_err(io_error("sync", directory))
}

fn fill(
    file: Storage,
    journal: u64,
    stamp: Stamp,
    rows: impl Iterator<Item = (Key, Versioned)>,
) -> Result<(), redb::Error> {
    let head = Head::new(journal);
    file.set_len(head.database_at())?;
    head.write(&*file)?;
    Journal::create(&*file, &head, stamp.revision)?;
    // Its sync takes the head and the journal along: they are in the same file.
    let database = builder().create_with_backend(Part::new(file, head.database_at()))?;
    let writing = Writing::begin(&database)?;
    writing.write(rows)?;
    writing.commit(stamp)?;
    Ok(database.close()?)
}

fn damaged(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// What is wrong with the database of a file that has proven to be ours.
fn unsound(path: &Path, error: redb::Error) -> OpenError {
    match open_error(path, error) {
        OpenError::Foreign(_) => damaged(path, "its database is not whole"),
        OpenError::Io { source, .. } if source.kind() == ErrorKind::UnexpectedEof => {
            damaged(path, "it was cut off")
        }
        other => other,
    }
}

fn write_error(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => io_error("write", path)(source),
        other => open_error(path, other),
    }
}

pub(super) fn open_error(path: &Path, error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            OpenError::Foreign(path.to_owned())
        }
        redb::Error::Io(source) => OpenError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        },
        redb::Error::TableTypeMismatch { .. } | redb::Error::TableDoesNotExist(_) => {
            OpenError::Foreign(path.to_owned())
        }
        other => damaged(path, &other.to_string()),
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source,
    }
}
