//! How rows were kept before there were [blocks](super::blocks): in the formats 1 to 3.

use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableTable, StorageBackend, StorageError,
    TableDefinition, TableError,
};

use super::blocks::BLOCKS;
use super::head::{FORMAT, Head, WITH_RUNS};
use super::writing::Writing;
use crate::store::merged::Merged;
use crate::store::{Entry, Stamp, Versioned};

/// Key → version and value.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// First key → keys and values of rows that were made side by side, all of version 1. What is in the other table,
/// too, is newer there.
const RUNS: TableDefinition<'_, &str, Run<'_>> = TableDefinition::new("runs");

type Run<'a> = Vec<(&'a str, &'a str)>;

/// The rows of a store that has no blocks yet.
pub(super) struct Former {
    rows: ReadOnlyTable<&'static str, (u64, &'static str)>,
    /// `None` from before there were any.
    runs: Option<ReadOnlyTable<&'static str, Run<'static>>>,
}

impl Former {
    /// Those of `database`, which is of `format`, unless it has blocks already. In a store of the newest format
    /// they stand where its conversion was cut off.
    pub(super) fn find(
        database: &ReadTransaction,
        format: u64,
    ) -> Result<Option<Self>, redb::Error> {
        match there(database.open_table(BLOCKS))? {
            Some(_) => Ok(None),
            None => Self::of(database, format).map(Some),
        }
    }

    /// Those of `database`, which is of `format`.
    pub(super) fn of(database: &ReadTransaction, format: u64) -> Result<Self, redb::Error> {
        Ok(Self {
            rows: database.open_table(ROWS)?,
            runs: match format {
                WITH_RUNS => Some(database.open_table(RUNS)?),
                _ => there(database.open_table(RUNS))?,
            },
        })
    }

    /// Keeps them in blocks from now on, in `database`, whose store `file` has this `head`.
    pub(super) fn convert(
        self,
        (file, head): (&dyn StorageBackend, Head),
        (database, stamp): (&Database, Stamp),
    ) -> Result<(), redb::Error> {
        // First of all, by this number an older program knows that it does not know what it sees.
        let head = Head {
            format: FORMAT,
            ..head
        };
        head.write(file)?;
        file.sync_data()?;
        let writing = Writing::begin(database)?;
        self.copy(&writing)?;
        writing.forget(ROWS)?;
        writing.forget(RUNS)?;
        writing.commit(stamp)
    }

    /// Writes all of them.
    pub(super) fn copy(&self, to: &Writing) -> Result<(), redb::Error> {
        let mut failed = None;
        let entries = self.entries()?.map_while(|entry| match entry {
            Ok(entry) => Some(entry.into_row()),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        to.write(entries)?;
        Ok(failed.map_or(Ok(()), Err)?)
    }

    fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, StorageError>> + '_, StorageError> {
        let rows = self.rows.iter()?.map(|row| {
            let (key, row) = row?;
            let (version, value) = row.value();
            let value = value.into();
            Ok(Entry::new(key.value().into(), Versioned { value, version }))
        });
        let runs = self.runs.as_ref().map(ReadableTable::iter).transpose()?;
        let in_runs = runs.into_iter().flatten().flat_map(|run| match run {
            Ok((_, run)) => run.value().into_iter().map(new).collect(),
            Err(error) => vec![Err(error)],
        });
        Ok(Merged::new(rows, in_runs))
    }
}

/// A table, if there is one.
fn there<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
    }
}

/// A row that was written once.
fn new((key, value): (&str, &str)) -> Result<Entry, StorageError> {
    let value = value.into();
    Ok(Entry::new(key.into(), Versioned { value, version: 1 }))
}
