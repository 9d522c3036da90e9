//! What stands between a directory and a store in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend, TableHandle};

use super::held::{Held, Syncs};
use super::{Disk, FILE_NAME, META, ROWS};
use crate::store::{OpenError, epoch};

/// Whoever holds its lock has the directory.
const LOCK_NAME: &str = "store.lock";

/// The format of the tables.
const FORMAT: u64 = 1;

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
            Ok(file) if file.len() == 0 => {
                return Err(OpenError::Damaged {
                    path,
                    reason: "the file is empty".into(),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => create(directory, &path)?,
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        let (database, syncs) = verified(file(&path)?, &path)?;
        Ok(Self {
            database,
            syncs,
            directory: directory.to_owned(),
            _lock: Some(lock),
        })
    }

    /// Opens the store that `backend` holds, as if it were the file in `directory`.
    #[cfg(test)]
    pub(in crate::store) fn on(
        backend: impl StorageBackend,
        directory: &Path,
    ) -> Result<Self, OpenError> {
        let (database, syncs) = verified(backend, &directory.join(FILE_NAME))?;
        Ok(Self {
            database,
            syncs,
            directory: directory.to_owned(),
            _lock: None,
        })
    }

    /// Makes an empty store in `backend`.
    #[cfg(test)]
    pub(in crate::store) fn create_on(backend: impl StorageBackend) -> Result<(), redb::Error> {
        initialize(backend)
    }
}

/// Opens what is in `backend`, which is called `path`, if it is a store and whole.
fn verified(backend: impl StorageBackend, path: &Path) -> Result<(Database, Syncs), OpenError> {
    let held = Held::new(backend);
    let database = builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(held.clone())
        .map_err(|error| open_error(path, error))?;
    check_format(&database, path)?;
    held.release().map_err(io_error("write", path))?;
    Ok((database, held.syncs()))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// The file at `path`, to read and to write.
fn file(path: &Path) -> Result<FileBackend, OpenError> {
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

/// Makes an empty store. It gets its name when it is complete, so that a half-made one (the disk
/// was full, the power failed) is never taken for a ledger of nobody.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let unfinished = path.with_extension("unfinished");
    let backend = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)
        .map_err(io_error("make", &unfinished))?;
    FileBackend::new(backend)
        .map_err(redb::Error::from)
        .and_then(initialize)
        .map_err(|error| open_error(&unfinished, error))?;
    fs::rename(&unfinished, path).map_err(io_error("make", path))?;
    super::sync_directory(directory).map_err(io_error("sync", directory))
}

fn initialize(backend: impl StorageBackend) -> Result<(), redb::Error> {
    let database = builder().create_with_backend(backend)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ROWS)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("epoch", epoch::first())?;
    }
    transaction.commit()?;
    Ok(database.close()?)
}

fn check_format(database: &Database, path: &Path) -> Result<(), OpenError> {
    let found = read_format(database).map_err(|error| open_error(path, error))?;
    match found {
        Some(FORMAT) => Ok(()),
        Some(found) => Err(OpenError::Format {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        None => Err(OpenError::Foreign(path.to_owned())),
    }
}

fn read_format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    if !transaction
        .list_tables()?
        .any(|table| table.name() == META.name())
    {
        return Ok(None);
    }
    transaction.open_table(ROWS)?;
    let format = transaction
        .open_table(META)?
        .get("format")?
        .map(|format| format.value());
    Ok(format)
}

fn open_error(path: &Path, error: impl Into<redb::Error>) -> OpenError {
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
        other => OpenError::Damaged {
            path: path.to_owned(),
            reason: other.to_string(),
        },
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
