//! What the database tells of the store as a whole.

use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

use crate::store::Stamp;

/// `epoch` and `revision`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The last commit that is in `database`.
pub(super) fn stamp(database: &Database) -> Result<Stamp, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(Stamp {
        epoch: number(&meta, "epoch")?.unwrap_or_default(),
        revision: number(&meta, "revision")?.unwrap_or_default(),
    })
}

/// The format that `database` names, as it did before there was a journal.
pub(super) fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    number(&database.begin_read()?.open_table(META)?, "format")
}

fn number(meta: &ReadOnlyTable<&'static str, u64>, name: &str) -> Result<Option<u64>, redb::Error> {
    Ok(meta.get(name)?.map(|number| number.value()))
}
