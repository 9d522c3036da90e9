//! How rows were kept before there were [blocks](super::blocks): in the formats 1 to 3.

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError,
};

use super::blocks::BLOCKS;
use super::head::{FORMAT, WITH_RUNS};
use super::writing::Writing;
use crate::store::merged::Merged;
use crate::store::{Entry, Stamp, Versioned};

/// Key → version and value.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// First key → keys and values of rows that were made side by side, all of version 1. What is in the other table,
/// too, is newer there.
const RUNS: TableDefinition<'_, &str, Run<'_>> = TableDefinition::new("runs");

type Run<'a> = Vec<(&'a str, &'a str)>;

/// How many rows are copied at a time.
const TOGETHER: usize = 1_000;

/// The rows of a store that has no blocks yet.
pub(super) struct Former {
    rows: ReadOnlyTable<&'static str, (u64, &'static str)>,
    runs: Option<ReadOnlyTable<&'static str, Run<'static>>>,
}

impl Former {
    /// Those of `database`, which is of `format`, unless it has blocks already.
    pub(super) fn find(database: &Database, format: u64) -> Result<Option<Self>, redb::Error> {
        match database.begin_read()?.open_table(BLOCKS) {
            Err(TableError::TableDoesNotExist(_)) if format != FORMAT => {
                Self::of(database, format).map(Some)
            }
            other => Ok(other.map(|_| None)?),
        }
    }

    /// Those of `database`, which is of `format`.
    pub(super) fn of(database: &Database, format: u64) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let runs = (format == WITH_RUNS).then(|| transaction.open_table(RUNS));
        Ok(Self {
            rows: transaction.open_table(ROWS)?,
            runs: runs.transpose()?,
        })
    }

    /// Keeps them in blocks from now on.
    pub(super) fn convert(self, database: &Database, stamp: Stamp) -> Result<(), redb::Error> {
        let writing = Writing::begin(database)?;
        self.copy(&writing)?;
        writing.forget(ROWS)?;
        writing.forget(RUNS)?;
        writing.commit(stamp)
    }

    pub(super) fn copy(&self, to: &Writing) -> Result<(), redb::Error> {
        let mut entries = self.entries()?;
        loop {
            let some = entries.by_ref().take(TOGETHER);
            let some = some.collect::<Result<Vec<_>, StorageError>>()?;
            if some.is_empty() {
                return Ok(());
            }
            to.write(some.into_iter().map(Entry::into_row))?;
        }
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

/// A row that was written once.
fn new((key, value): (&str, &str)) -> Result<Entry, StorageError> {
    let value = value.into();
    Ok(Entry::new(key.into(), Versioned { value, version: 1 }))
}
