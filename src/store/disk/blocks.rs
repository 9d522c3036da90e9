//! Rows of the database, those side by side in one value: to write thirty of them costs redb little more
//! than to write one, and what is written at a time is mostly side by side.
//!
//! A *block* holds the rows from its own key on, up to the key of the next block. The first one has the
//! empty key. Nothing but a reset takes rows away, so blocks are only ever added.

use std::ops::Bound;

use redb::{AccessGuard, ReadOnlyTable, ReadableTable, StorageError, Table, TableDefinition};

use super::block::Rewritten;
use super::row::{self, NotWhole, Row};
use crate::store::{Entry, Key, Versioned};

/// Where a block begins → its [rows](super::row), sorted, one after the other.
pub(super) const BLOCKS: TableDefinition<'_, &str, Block> = TableDefinition::new("blocks");

type Block = &'static [u8];

/// Writes `rows`, sorted by key, over what is there.
pub(super) fn write(
    blocks: &mut Table<'_, &'static str, Block>,
    rows: impl Iterator<Item = (Key, Versioned)>,
) -> Result<(), StorageError> {
    let mut rows = rows.peekable();
    while let Some((key, _)) = rows.peek() {
        let (begins, there) = match blocks.range::<&str>(..=&**key)?.next_back().transpose()? {
            Some((begins, block)) => (begins.value().to_owned(), block.value().to_owned()),
            None => Default::default(),
        };
        let behind = (Bound::Excluded(&*begins), Bound::Unbounded);
        let next = blocks.range::<&str>(behind)?.next().transpose()?;
        let next = next.map(|(next, _)| next.value().to_owned());
        let rewritten = Rewritten::of(&there, &mut rows, next.as_deref())?;
        for (at, block) in rewritten.cut().into_iter().enumerate() {
            match row::decode(block).next().filter(|_| at > 0) {
                Some(first) => blocks.insert(&*first?.key()?, block)?,
                None => blocks.insert(&*begins, block)?,
            };
        }
    }
    Ok(())
}

/// The blocks of a checkpoint.
#[derive(Debug)]
pub(super) struct Blocks(ReadOnlyTable<&'static str, Block>);

impl Blocks {
    pub(super) fn of(table: ReadOnlyTable<&'static str, Block>) -> Self {
        Self(table)
    }

    /// What `read` makes of the row of `key`, if it is there.
    pub(super) fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(Row<'_>) -> Result<T, NotWhole>,
    ) -> Result<Option<T>, StorageError> {
        let Some((_, block)) = self.0.range::<&str>(..=key)?.next_back().transpose()? else {
            return Ok(None);
        };
        for row in row::decode(block.value()) {
            let row = row?;
            if row.key >= key.as_bytes() {
                let found = (row.key == key.as_bytes()).then(|| read(row));
                return Ok(found.transpose()?);
            }
        }
        Ok(None)
    }

    /// What there is from `first` on, sorted by key.
    pub(super) fn from<'a>(
        &'a self,
        first: &'a str,
    ) -> Result<impl Iterator<Item = Result<Entry, StorageError>> + 'a, StorageError> {
        let around = self.0.range::<&str>(..=first)?.next_back();
        let behind = (Bound::Excluded(first), Bound::Unbounded);
        let blocks = around.into_iter().chain(self.0.range::<&str>(behind)?);
        Ok(blocks.flat_map(move |block| {
            let (rows, error) = match block {
                Ok((_, block)) => (Some(rows_from(first, block)), None),
                Err(error) => (None, Some(Err(error))),
            };
            rows.into_iter().flatten().chain(error)
        }))
    }
}

/// The rows of `block` from `first` on.
fn rows_from(
    first: &str,
    block: AccessGuard<'_, Block>,
) -> impl Iterator<Item = Result<Entry, StorageError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let row = match row::decode(&block.value()[at..]).next()? {
                Ok(row) => row,
                Err(error) => {
                    at = block.value().len();
                    return Some(Err(error.into()));
                }
            };
            at += row.bytes.len();
            if row.key >= first.as_bytes() {
                return Some(row.entry().map_err(StorageError::from));
            }
        }
    })
}
