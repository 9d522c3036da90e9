use std::fmt;
use std::path::{Path, PathBuf};

use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};

use super::fault;
use crate::store::{Entry, Fault, Key, Range, Stamp, Versioned};

/// Key → version and value.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// `epoch` and `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// What the database holds: everything up to some commit. While this is held, redb keeps its pages.
#[derive(Debug)]
pub(super) struct Checkpoint {
    stamp: Stamp,
    rows: ReadOnlyTable<&'static str, (u64, &'static str)>,
    path: PathBuf,
}

/// A checkpoint that is being written, on top of the last one. Nothing of it counts before it is
/// committed.
pub(super) struct Writing(WriteTransaction);

impl Writing {
    pub(super) fn begin(database: &Database) -> Result<Self, redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one sync less, a checkpoint whose pages turn out to be damaged after a kill cannot be
        // told from one that was not finished, and redb goes back to the one before it: what was
        // acknowledged would be gone, and nobody would know.
        transaction.set_two_phase_commit(true);
        Ok(Self(transaction))
    }

    /// Forgets all rows.
    pub(super) fn reset(&self) -> Result<(), redb::Error> {
        self.0.delete_table(ROWS)?;
        Ok(())
    }

    /// Writes `rows` over what is there.
    pub(super) fn write(
        &self,
        rows: impl Iterator<Item = (Key, Versioned)>,
    ) -> Result<(), redb::Error> {
        let mut table = self.0.open_table(ROWS)?;
        for (key, Versioned { value, version }) in rows {
            table.insert(&*key, (version, &*value))?;
        }
        Ok(())
    }

    pub(super) fn abort(self) -> Result<(), redb::Error> {
        Ok(self.0.abort()?)
    }

    /// Makes it the last checkpoint, as of `stamp`.
    pub(super) fn commit(self, stamp: Stamp) -> Result<(), redb::Error> {
        {
            let mut meta = self.0.open_table(META)?;
            meta.insert("epoch", stamp.epoch)?;
            meta.insert("revision", stamp.revision)?;
        }
        Ok(self.0.commit()?)
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

/// The format that the tables of `database` name, as they did before there was a journal.
pub(super) fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get("format")?.map(|format| format.value()))
}

impl Checkpoint {
    /// The last one in `database`, which is the file at `path`.
    pub(super) fn read(database: &Database, path: &Path) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let number =
            |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |number| number.value()));
        Ok(Self {
            stamp: Stamp {
                epoch: number("epoch")?,
                revision: number("revision")?,
            },
            rows: transaction.open_table(ROWS)?,
            path: path.to_owned(),
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn get(&self, key: &str) -> Result<Versioned, Fault> {
        let row = self.rows.get(key).map_err(|error| self.fault(error))?;
        Ok(row.map_or_else(Versioned::default, |row| {
            let (version, value) = row.value();
            Versioned {
                value: value.into(),
                version,
            }
        }))
    }

    pub(super) fn version(&self, key: &str) -> Result<u64, Fault> {
        let row = self.rows.get(key).map_err(|error| self.fault(error))?;
        Ok(row.map_or(0, |row| row.value().0))
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range<'a>(
        &'a self,
        range: &'a Range,
    ) -> Result<impl Iterator<Item = Result<Entry, Fault>> + 'a, Fault> {
        let rows =
            ReadableTable::range(&self.rows, range.first()..).map_err(|error| self.fault(error))?;
        let entries = rows.map(|row| {
            let (key, row) = row.map_err(|error| self.fault(error))?;
            let (version, value) = row.value();
            Ok(Entry {
                key: key.value().into(),
                value: value.into(),
                version,
            })
        });
        Ok(entries.take_while(|entry| {
            entry
                .as_ref()
                .map_or(true, |entry: &Entry| entry.key.starts_with(&*range.prefix))
        }))
    }

    fn fault(&self, error: StorageError) -> Fault {
        fault("read", &self.path, error)
    }
}
