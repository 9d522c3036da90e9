use std::fmt;

use redb::{Database, Durability, TableHandle, WriteTransaction};

use super::blocks::{self, BLOCKS};
use super::meta::META;
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
        self.forget(BLOCKS)
    }

    /// Forgets `table`, if there is one.
    pub(super) fn forget(&self, table: impl TableHandle) -> Result<(), redb::Error> {
        self.0.delete_table(table)?;
        Ok(())
    }

    /// Writes `rows`, sorted by key, over what is there.
    pub(super) fn write(
        &self,
        rows: impl Iterator<Item = (Key, Versioned)>,
    ) -> Result<(), redb::Error> {
        Ok(blocks::write(&mut self.0.open_table(BLOCKS)?, rows)?)
    }

    pub(super) fn abort(self) -> Result<(), redb::Error> {
        Ok(self.0.abort()?)
    }

    /// Makes it the last checkpoint, as of `stamp`.
    pub(super) fn commit(self, stamp: Stamp) -> Result<(), redb::Error> {
        // There must be one, if only an empty one.
        self.0.open_table(BLOCKS)?;
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
