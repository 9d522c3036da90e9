//! What stands between a directory and a store in it.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

#[cfg(test)]
use redb::StorageBackend;
use redb::{Database, ReadableDatabase};

use super::checkpoint::Checkpoint;
use super::create::create;
use super::directory::make_directory;
use super::file::{damaged, file, io_error, unsound, verified, write_error};
use super::former::Former;
use super::frame::Frame;
use super::head::{Begins, FORMAT, Head};
use super::held::Held;
use super::journal::{Journal, Replayed};
use super::part::Part;
use super::versions::Versions;
use super::writing::Writing;
use super::{Disk, DiskSnapshot, FILE_NAME, Storage, meta, upgrade};
use crate::store::{Newest, OpenError, Stamp, epoch};

/// Whoever holds its lock has the directory.
const LOCK_NAME: &str = "store.lock";

impl Disk {
    /// Whether there is a store in `directory`. To open it would make one.
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE_NAME).exists()
    }

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
        make_directory(directory)?;
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
                create(directory, &path, empty, |_| Ok(()))?;
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
        let (stamp, former) =
            found(&database, head.format).map_err(|error| unsound(&path, error))?;
        let replayed = Journal::replay(&*file, &head, stamp.revision);
        let Replayed::Frames(frames) = replayed.map_err(io_error("read", &path))? else {
            return Err(damaged(&path, "its journal is not whole"));
        };
        held.release().map_err(io_error("write", &path))?;
        if let Some(former) = former {
            let converted = former.convert((&*file, head), (&database, stamp));
            converted.map_err(|error| write_error(&path, error))?;
            tracing::info!(path = %path.display(), "the store was given blocks");
        }
        let journal = Journal::new(file, &head, held.syncs());
        let mut journal = journal.map_err(io_error("read", &path))?;
        if let Some(newest) = frames.last() {
            // Written anew, since a sync of the journal may have failed before, and what was read
            // now may not be on the disk.
            let stamp = Stamp {
                revision: newest.revision,
                ..stamp
            };
            take_up(&database, frames, stamp).map_err(|error| write_error(&path, error))?;
            let marked = journal.mark(stamp.revision);
            marked.map_err(io_error("write", &path))?;
        }
        let newest = Checkpoint::read(&database, &path).map_err(|error| unsound(&path, error))?;
        Ok(Self {
            settling: None,
            database,
            journal,
            newest: Arc::new(Newest::new(DiskSnapshot::of(newest))),
            versions: Versions::new(),
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
        super::create::fill(Arc::new(backend), journal, Stamp::default(), |_| Ok(()))
    }
}

/// The last commit in `database`, and its rows if they are kept as they were in former formats.
fn found(database: &Database, format: u64) -> Result<(Stamp, Option<Former>), redb::Error> {
    let database = database.begin_read()?;
    Ok((meta::stamp(&database)?, Former::find(&database, format)?))
}

/// Makes what is in the journal a checkpoint.
fn take_up(database: &Database, frames: Vec<Frame>, stamp: Stamp) -> Result<(), redb::Error> {
    let mut rows = BTreeMap::new();
    for frame in frames {
        rows.extend(frame.rows);
    }
    let writing = Writing::begin(database)?;
    writing.write(rows.into_iter())?;
    writing.commit(stamp)
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
