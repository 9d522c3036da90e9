//! The tables of the database, but for that of runs.

use redb::{TableDefinition, TableError};

/// Key → version and value; or else it is in a run.
pub(super) const ROWS: TableDefinition<'_, &str, (u64, &str)> =
    TableDefinition::new("rows beside runs");

/// Its name as long as there are no runs: whoever knows of none must not find it where there are.
pub(super) const ROWS_ALONE: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// `epoch` and `revision`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// What was done with a table, if it is there.
pub(super) fn there<T>(done: Result<T, TableError>) -> Result<Option<T>, TableError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
