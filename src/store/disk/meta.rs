//! What the database tells of the store as a whole.

use redb::{ReadOnlyTable, ReadTransaction, TableDefinition};

use crate::store::Stamp;

/// `epoch` and `revision`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The last commit that `database` has.
pub(super) fn stamp(database: &ReadTransaction) -> Result<Stamp, redb::Error> {
    let meta = database.open_table(META)?;
    Ok(Stamp {
        epoch: number(&meta, "epoch")?.unwrap_or_default(),
        revision: number(&meta, "revision")?.unwrap_or_default(),
    })
}

/// The format that `database` names, as it did before there was a journal.
pub(super) fn format(database: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    number(&database.open_table(META)?, "format")
}

fn number(meta: &ReadOnlyTable<&'static str, u64>, name: &str) -> Result<Option<u64>, redb::Error> {
    Ok(meta.get(name)?.map(|number| number.value()))
}
