//! The tables of the database, but for that of runs.

use redb::TableDefinition;

/// Key → version and value; or else it is in a run.
pub(super) const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// `epoch` and `revision`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
