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
//!
//! The keys of a run begin alike. A run from the last record to the first person, who comes after all records
//! in the order of keys, would overlap all further runs of records.

use std::iter::Peekable;
use std::sync::Arc;

use super::{Key, Versioned};

/// The version of what is in a run.
const VERSION: u64 = 1;

/// Rows of a run at the most: a reader that keeps a run keeps all of it.
const MOST: usize = 32;

/// Bytes that all keys of a run begin with: `!t/` of records, for one. Shorter keys are in no run with others.
const PREFIX: usize = 3;

/// What is inserted at a time.
#[derive(Debug)]
pub(super) enum Piece {
    /// A row by itself.
    Row(Key, Versioned),
    /// Rows for a run, if it overlaps no other.
    Run(Vec<(Key, Versioned)>),
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
        if row.version != VERSION {
            return Some(Piece::Row(key, row));
        }
        let first = Arc::clone(&key);
        let joins =
            |(key, row): &(Key, Versioned)| row.version == VERSION && prefix(key) == prefix(&first);
        let Some(second) = self.0.next_if(joins) else {
            return Some(Piece::Row(key, row));
        };
        let mut run = vec![(key, row), second];
        while run.len() < MOST
            && let Some(next) = self.0.next_if(joins)
        {
            run.push(next);
        }
        Some(Piece::Run(run))
    }
}

fn prefix(key: &str) -> &[u8] {
    &key.as_bytes()[..key.len().min(PREFIX)]
}
