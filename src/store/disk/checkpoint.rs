use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, StorageError};

use super::blocks::{BLOCKS, Blocks};
use super::{fault, meta};
use crate::store::{Entry, Fault, Range, Stamp, Versioned};

/// What the database holds: everything up to some commit. While this is held, redb keeps its pages.
#[derive(Debug)]
pub(super) struct Checkpoint {
    stamp: Stamp,
    blocks: Blocks,
    path: PathBuf,
}

impl Checkpoint {
    /// The last one in `database`, which is in the file at `path`.
    pub(super) fn read(database: &Database, path: &Path) -> Result<Self, redb::Error> {
        let database = database.begin_read()?;
        Ok(Self {
            stamp: meta::stamp(&database)?,
            blocks: Blocks::of(database.open_table(BLOCKS)?),
            path: path.to_owned(),
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn get(&self, key: &str) -> Result<Versioned, Fault> {
        let row = self.blocks.get(key, |row| row.versioned());
        Ok(row.map_err(|error| self.fault(error))?.unwrap_or_default())
    }

    pub(super) fn version(&self, key: &str) -> Result<u64, Fault> {
        let version = self.blocks.get(key, |row| Ok(row.version));
        Ok(version
            .map_err(|error| self.fault(error))?
            .unwrap_or_default())
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range<'a>(
        &'a self,
        range: &'a Range,
    ) -> Result<impl Iterator<Item = Result<Entry, Fault>> + 'a, Fault> {
        let entries = self.blocks.from(range.first());
        let entries = entries.map_err(|error| self.fault(error))?;
        let is_in = |entry: &Entry| entry.key.starts_with(&*range.prefix);
        Ok(entries
            .map(|entry| entry.map_err(|error| self.fault(error)))
            .take_while(move |entry| entry.as_ref().map_or(true, is_in)))
    }

    fn fault(&self, error: StorageError) -> Fault {
        fault("read", &self.path, error)
    }
}
