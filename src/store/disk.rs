use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableHandle,
};

use super::state::Changes;
use super::{
    Backend, DumpFailed, Entry, Fault, OpenError, Range, Snapshot, Stamp, Versioned, dump,
};

/// The file that holds the store, in the data directory.
pub const FILE_NAME: &str = "store.redb";

/// Whoever holds its lock has the directory.
const LOCK_NAME: &str = "store.lock";

/// The format of the tables below.
const FORMAT: u64 = 1;

/// Key → version and value.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// `format`, `epoch` and `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Pages that redb keeps in memory, in bytes; the operating system caches the file besides.
const CACHE: usize = 16 << 20;

/// Keeps commits in a redb file: synced before [`Backend::commit`] returns.
#[derive(Debug)]
pub struct Disk {
    database: Database,
    directory: PathBuf,
    /// Held until the process ends.
    _lock: Option<File>,
}

impl Disk {
    /// Opens the store in `directory`, or makes an empty one where there is none.
    ///
    /// After a crash it is at the last commit. The checksum of every page is verified: a damaged
    /// file is refused, never trusted, and never overwritten.
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
        let database = builder()
            .set_check_integrity_on_open(true)
            .open(&path)
            .map_err(|error| open_error(&path, error))?;
        check_format(&database, &path)?;
        Ok(Self {
            database,
            directory: directory.to_owned(),
            _lock: Some(lock),
        })
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    fn fault(&self, action: &'static str) -> impl FnOnce(redb::Error) -> Fault {
        let path = self.path();
        move |error| Fault::new(action, &path, error)
    }

    fn try_commit(&self, changes: &Changes) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        if changes.reset {
            transaction.delete_table(ROWS)?;
        }
        {
            let mut rows = transaction.open_table(ROWS)?;
            for (key, Versioned { value, version }) in &changes.rows {
                rows.insert(&**key, (*version, &**value))?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("epoch", changes.stamp.epoch)?;
            meta.insert("revision", changes.stamp.revision)?;
        }
        Ok(transaction.commit()?)
    }

    fn try_snapshot(&self) -> Result<DiskSnapshot, redb::Error> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let number =
            |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |number| number.value()));
        Ok(DiskSnapshot {
            stamp: Stamp {
                epoch: number("epoch")?,
                revision: number("revision")?,
            },
            rows: transaction.open_table(ROWS)?,
            path: self.path(),
        })
    }

    fn try_copy(&self, last: &DiskSnapshot) -> Result<(), DumpFailed> {
        let path = self
            .directory
            .join(format!("before-reset-{}.json", last.stamp.epoch));
        let unfinished = path.with_extension("unfinished");
        let file = File::create(&unfinished)?;
        dump(last, BufWriter::new(&file))?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_directory(&self.directory)?;
        Ok(())
    }
}

impl Backend for Disk {
    type Snapshot = DiskSnapshot;

    const WAITS: bool = true;

    fn snapshot(&self) -> Result<DiskSnapshot, Fault> {
        self.try_snapshot().map_err(self.fault("read"))
    }

    fn keep_before_reset(&mut self, last: &DiskSnapshot) -> Result<(), Fault> {
        if last
            .list(&Range {
                limit: Some(1),
                ..Range::default()
            })?
            .is_empty()
        {
            return Ok(());
        }
        self.try_copy(last)
            .map_err(|error| Fault::new("write a copy before the reset to", &self.directory, error))
    }

    fn commit(&mut self, changes: &Changes) -> Result<DiskSnapshot, Fault> {
        self.try_commit(changes).map_err(self.fault("write"))?;
        self.snapshot()
    }
}

/// A commit on disk. While it is held, redb keeps the pages that it consists of.
#[derive(Debug)]
pub struct DiskSnapshot {
    stamp: Stamp,
    rows: redb::ReadOnlyTable<&'static str, (u64, &'static str)>,
    path: PathBuf,
}

impl DiskSnapshot {
    fn fault(&self, error: StorageError) -> Fault {
        Fault::new("read", &self.path, error)
    }
}

impl Snapshot for DiskSnapshot {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get(&self, key: &str) -> Result<Versioned, Fault> {
        let row = ReadableTable::get(&self.rows, key).map_err(|error| self.fault(error))?;
        Ok(row.map_or_else(Versioned::default, |row| {
            let (version, value) = row.value();
            Versioned {
                value: value.into(),
                version,
            }
        }))
    }

    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault> {
        let limit = range.limit.unwrap_or(usize::MAX);
        let rows =
            ReadableTable::range(&self.rows, range.first()..).map_err(|error| self.fault(error))?;
        let mut entries = Vec::new();
        for row in rows.take(limit) {
            let (key, row) = row.map_err(|error| self.fault(error))?;
            if !key.value().starts_with(&*range.prefix) {
                break;
            }
            let (version, value) = row.value();
            entries.push(Entry {
                key: key.value().into(),
                value: value.into(),
                version,
            });
        }
        Ok(entries)
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
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
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io_error("remove", &unfinished)(error));
        }
        _ => {}
    }
    let database = builder()
        .create(&unfinished)
        .map_err(|error| open_error(&unfinished, error))?;
    initialize(&database).map_err(|error| open_error(&unfinished, error))?;
    drop(database);
    fs::rename(&unfinished, path).map_err(io_error("make", path))?;
    sync_directory(directory).map_err(io_error("sync", directory))
}

fn initialize(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ROWS)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    Ok(transaction.commit()?)
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
        redb::Error::TableTypeMismatch { .. } => OpenError::Foreign(path.to_owned()),
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

/// Makes a rename in `directory` durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
