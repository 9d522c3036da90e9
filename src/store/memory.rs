use std::sync::Arc;

use super::rows::Rows;
use super::state::Changes;
use super::{Backend, Entry, Fault, Newest, Range, Snapshot, Stamp, Versioned, epoch};

/// Keeps commits in memory only: when the process ends, everything is gone.
#[derive(Debug)]
pub struct Memory {
    newest: Arc<Newest<MemorySnapshot>>,
}

/// A commit in memory.
#[derive(Clone, Debug)]
pub struct MemorySnapshot {
    stamp: Stamp,
    rows: Rows,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::beginning_at(epoch::first())
    }

    /// An empty store with a first epoch of the caller's choice: two of them can be compared.
    #[must_use]
    pub fn beginning_at(epoch: u64) -> Self {
        let first = MemorySnapshot {
            stamp: Stamp { epoch, revision: 0 },
            rows: Rows::default(),
        };
        Self {
            newest: Arc::new(Newest::new(first)),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for Memory {
    type Snapshot = MemorySnapshot;

    const WAITS: bool = false;

    fn newest(&self) -> &Arc<Newest<MemorySnapshot>> {
        &self.newest
    }

    fn keep_before_reset(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, changes: Changes) -> Result<(), Fault> {
        let Changes { stamp, reset, rows } = changes;
        if reset {
            let mut next = Rows::default();
            next.write(rows);
            self.newest.replace(MemorySnapshot { stamp, rows: next });
        } else {
            self.newest.change(|newest| {
                newest.rows.write(rows);
                newest.stamp = stamp;
            });
        }
        Ok(())
    }
}

impl Snapshot for MemorySnapshot {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get(&self, key: &str) -> Result<Versioned, Fault> {
        Ok(self.rows.get(key).cloned().unwrap_or_default())
    }

    fn version(&self, key: &str) -> Result<u64, Fault> {
        Ok(self.rows.get(key).map_or(0, |row| row.version))
    }

    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault> {
        let limit = range.limit.unwrap_or(usize::MAX);
        Ok(self.rows.range(range).take(limit).collect())
    }
}
