use std::fmt;

use redb::{Database, Durability, WriteTransaction};

use super::runs::{self, RUNS, Run};
use super::tables::{META, ROWS};
use crate::store::runs::{Piece, pieces};
use crate::store::{Key, Stamp, Versioned};

/// A checkpoint that is being written, on top of the last one. Nothing of it counts before it is
/// committed.
pub(super) struct Writing(WriteTransaction);

impl Writing {
    pub(super) fn begin(database: &Database) -> Result<Self, redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one sync less, a checkpoint whose pages turn out to be damaged after a kill cannot be
        // told from one that was not finished, and redb goes back to the one before it: what was
        // acknowledged would be gone, and nobody would know.
        transaction.set_two_phase_commit(true);
        Ok(Self(transaction))
    }

    /// Forgets all rows.
    pub(super) fn reset(&self) -> Result<(), redb::Error> {
        self.0.delete_table(ROWS)?;
        self.0.delete_table(RUNS)?;
        Ok(())
    }

    /// Writes `rows`, sorted by key, over what is there.
    pub(super) fn write(
        &self,
        rows: impl Iterator<Item = (Key, Versioned)>,
    ) -> Result<(), redb::Error> {
        self.write_pieces(pieces(rows))
    }

    /// Writes `pieces` over what is there.
    pub(super) fn write_pieces(
        &self,
        pieces: impl Iterator<Item = Piece>,
    ) -> Result<(), redb::Error> {
        let mut rows = self.0.open_table(ROWS)?;
        let mut runs = self.0.open_table(RUNS)?;
        for piece in pieces {
            match piece {
                Piece::Row(key, Versioned { value, version }) => {
                    rows.insert(&*key, (version, &*value))?;
                }
                Piece::Run(run) if runs::overlap(&runs, &run)? => {
                    for (key, Versioned { value, version }) in run {
                        rows.insert(&*key, (version, &*value))?;
                    }
                }
                Piece::Run(run) => {
                    let run = run.iter().map(|(key, row)| (&**key, &*row.value));
                    let run: Run<'_> = run.collect();
                    if let Some(&(first, _)) = run.first() {
                        runs.insert(first, run)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn abort(self) -> Result<(), redb::Error> {
        Ok(self.0.abort()?)
    }

    /// Makes it the last checkpoint, as of `stamp`.
    pub(super) fn commit(self, stamp: Stamp) -> Result<(), redb::Error> {
        {
            let mut meta = self.0.open_table(META)?;
            meta.insert("epoch", stamp.epoch)?;
            meta.insert("revision", stamp.revision)?;
        }
        Ok(self.0.commit()?)
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}
