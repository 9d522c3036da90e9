use std::vec;

use redb::Database;

use super::writing::Writing;
use crate::store::rows::Rows;
use crate::store::{Key, Stamp, Versioned};

/// A checkpoint whose rows are written a few at a time, between commits: only redb's commit at its end is in
/// one piece.
#[derive(Debug)]
pub(super) struct Settling {
    writing: Writing,
    /// What is still to be written.
    rest: vec::IntoIter<(Key, Versioned)>,
    all: usize,
    stamp: Stamp,
}

impl Settling {
    /// Begins a checkpoint with `rows`, as of `stamp`.
    pub(super) fn begin(
        database: &Database,
        stamp: Stamp,
        rows: &Rows,
    ) -> Result<Self, redb::Error> {
        let rows: Vec<_> = rows.cloned().collect();
        Ok(Self {
            writing: Writing::begin(database)?,
            all: rows.len(),
            rest: rows.into_iter(),
            stamp,
        })
    }

    /// Writes on until `done` of `whole` is written. Whether it is complete, and can be committed.
    pub(super) fn write(&mut self, done: u64, whole: u64) -> Result<bool, redb::Error> {
        let left =
            u128::from(whole.saturating_sub(done)) * self.all as u128 / u128::from(whole.max(1));
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let next = self.rest.len().saturating_sub(left);
        if next > 0 {
            self.writing.write(self.rest.by_ref().take(next))?;
        }
        Ok(self.rest.len() == 0)
    }

    /// Gives it up: nothing of it was written.
    pub(super) fn abort(self) -> Result<(), redb::Error> {
        self.writing.abort()
    }

    /// Writes what is left and commits it.
    pub(super) fn finish(self) -> Result<(), redb::Error> {
        self.writing.write(self.rest)?;
        self.writing.commit(self.stamp)
    }
}
