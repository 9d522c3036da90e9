use std::path::{Path, PathBuf};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, TableError};

use super::fault;
use super::runs::{RUNS, Runs};
use super::tables::{META, ROWS};
use crate::store::merged::Merged;
use crate::store::runs::VERSION;
use crate::store::{Entry, Fault, Range, Stamp, Versioned};

/// What the database holds: everything up to some commit. While this is held, redb keeps its pages.
#[derive(Debug)]
pub(super) struct Checkpoint {
    stamp: Stamp,
    rows: ReadOnlyTable<&'static str, (u64, &'static str)>,
    /// `None` in a store from before there were any.
    runs: Option<Runs>,
    path: PathBuf,
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
            runs: match transaction.open_table(RUNS) {
                Ok(runs) => Some(Runs::of(runs)?),
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            },
            path: path.to_owned(),
        })
    }

    /// Whether there may be runs.
    pub(super) fn has_runs(&self) -> bool {
        self.runs.is_some()
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn get(&self, key: &str) -> Result<Versioned, Fault> {
        let copied = |version, value: &str| Versioned {
            value: value.into(),
            version,
        };
        Ok(self.read_row(key, copied)?.unwrap_or_default())
    }

    pub(super) fn version(&self, key: &str) -> Result<u64, Fault> {
        Ok(self
            .read_row(key, |version, _| version)?
            .unwrap_or_default())
    }

    /// What `read` makes of the version and the value of `key`, if it is there.
    fn read_row<T>(&self, key: &str, read: impl Fn(u64, &str) -> T) -> Result<Option<T>, Fault> {
        let row = self.rows.get(key).map_err(|error| self.fault(error))?;
        if let Some(row) = row {
            let (version, value) = row.value();
            return Ok(Some(read(version, value)));
        }
        let Some(runs) = &self.runs else {
            return Ok(None);
        };
        let in_run = runs.get(key, |value| read(VERSION, value));
        in_run.map_err(|error| self.fault(error))
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range<'a>(
        &'a self,
        range: &'a Range,
    ) -> Result<impl Iterator<Item = Result<Entry, Fault>> + 'a, Fault> {
        let rows =
            ReadableTable::range(&self.rows, range.first()..).map_err(|error| self.fault(error))?;
        let rows = rows.map(|row| {
            let (key, row) = row.map_err(|error| self.fault(error))?;
            let (version, value) = row.value();
            Ok(Entry {
                key: key.value().into(),
                value: value.into(),
                version,
            })
        });
        let in_runs = self.runs.as_ref().map(|runs| runs.from(range.first()));
        let in_runs = in_runs.transpose().map_err(|error| self.fault(error))?;
        let in_runs = in_runs.into_iter().flatten().map(|row| {
            let (key, value) = row.map_err(|error| self.fault(error))?;
            Ok(Entry {
                key,
                value,
                version: VERSION,
            })
        });
        Ok(Merged::new(rows, in_runs).take_while(|entry| {
            entry
                .as_ref()
                .map_or(true, |entry: &Entry| entry.key.starts_with(&*range.prefix))
        }))
    }

    fn fault(&self, error: StorageError) -> Fault {
        fault("read", &self.path, error)
    }
}
