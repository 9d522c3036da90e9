//! Rows that were made one after the other, as one value: to insert thirty rows costs a B-tree thirty
//! times what it costs to insert one, and most rows of a ledger, its records, are made in the order of
//! their keys and never change.
//!
//! A row that is written again is a row by itself from then on, and hides the one in the run: only rows
//! that were just made, whose version is 1, are put into runs. Runs do not overlap. So a key is in one
//! at the most: in the last that begins at it or before it.
//!
//! All this rests on that only a reset forgets rows, and it forgets all of them and all runs: a row that was
//! taken away alone would uncover what is in a run.

use std::iter::Peekable;

use redb::{ReadOnlyTable, ReadableTable, StorageError, TableDefinition};

use crate::store::{Key, Value, Versioned};

/// First key → all keys of the run with their values.
pub(super) const RUNS: TableDefinition<'_, &str, Run<'_>> = TableDefinition::new("runs");

/// Keys, sorted, and values, all of version 1.
pub(super) type Run<'a> = Vec<(&'a str, &'a str)>;

/// The version of what is in a run.
pub(super) const VERSION: u64 = 1;

/// Bytes of a run, so that it has a page of the database for itself and fills most of it.
const LENGTH: usize = 3_600;

/// Bytes that each row takes besides its key and its value, or less.
const ROW_HEAD: usize = 6;

/// What is inserted at a time.
#[derive(Debug)]
pub(super) enum Piece {
    /// A row by itself.
    Row(Key, Versioned),
    /// Rows for a run, if it overlaps no other.
    Run(Vec<(Key, Value)>),
}

/// `rows`, sorted by key, in the pieces that they are inserted in.
pub(super) fn pieces(rows: impl Iterator<Item = (Key, Versioned)>) -> impl Iterator<Item = Piece> {
    Pieces(rows.peekable())
}

struct Pieces<I: Iterator>(Peekable<I>);

impl<I: Iterator<Item = (Key, Versioned)>> Iterator for Pieces<I> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (key, row) = self.0.next()?;
        let mut room = LENGTH.saturating_sub(length(&key, &row));
        let mut joins = |(key, row): &(Key, Versioned)| {
            let left = room.checked_sub(length(key, row));
            room = left.unwrap_or_default();
            row.version == VERSION && left.is_some()
        };
        if row.version != VERSION || !self.0.peek().is_some_and(&mut joins) {
            return Some(Piece::Row(key, row));
        }
        let mut run = vec![(key, row.value)];
        loop {
            if let Some((key, row)) = self.0.next() {
                run.push((key, row.value));
            }
            if !self.0.peek().is_some_and(&mut joins) {
                return Some(Piece::Run(run));
            }
        }
    }
}

fn length(key: &str, row: &Versioned) -> usize {
    key.len() + row.value.len() + ROW_HEAD
}

/// Whether `runs` has keys between the first and the last one of `run`.
pub(super) fn overlap(
    runs: &impl ReadableTable<&'static str, Run<'static>>,
    run: &[(Key, Value)],
) -> Result<bool, StorageError> {
    let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else {
        return Ok(false);
    };
    let before = runs.range::<&str>(..=&**last)?.next_back().transpose()?;
    Ok(before.is_some_and(|(_, before)| {
        let before = before.value();
        before.last().is_some_and(|(end, _)| *end >= &**first)
    }))
}

/// What `read` makes of the value that `runs` have under `key`, if they do.
pub(super) fn get<T>(
    runs: &ReadOnlyTable<&'static str, Run<'static>>,
    key: &str,
    read: impl FnOnce(&str) -> T,
) -> Result<Option<T>, StorageError> {
    let Some((_, run)) = runs.range::<&str>(..=key)?.next_back().transpose()? else {
        return Ok(None);
    };
    let run = run.value();
    let at = run.binary_search_by_key(&key, |(key, _)| *key);
    Ok(at.ok().map(|at| read(run[at].1)))
}

/// What `runs` have from `first` on, sorted by key.
pub(super) fn from<'a>(
    runs: &'a ReadOnlyTable<&'static str, Run<'static>>,
    first: &'a str,
) -> Result<impl Iterator<Item = Result<(Key, Value), StorageError>> + 'a, StorageError> {
    let around = runs.range::<&str>(..first)?.next_back();
    let after = runs.range::<&str>(first..)?;
    Ok(around.into_iter().chain(after).flat_map(move |run| {
        let rows: Vec<_> = match run {
            Ok((_, run)) => {
                let rows = run.value().into_iter();
                rows.filter(|(key, _)| *key >= first)
                    .map(|(key, value)| Ok((key.into(), value.into())))
                    .collect()
            }
            Err(error) => vec![Err(error)],
        };
        rows
    }))
}
