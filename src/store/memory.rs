use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::state::Changes;
use super::{Backend, Entry, Fault, Key, Range, Snapshot, Stamp, Versioned, epoch};

/// Keeps commits in memory only: when the process ends, everything is gone.
#[derive(Clone, Debug)]
pub struct Memory {
    stamp: Stamp,
    /// Clones share their nodes, so a commit copies only the paths that it changes.
    rows: OrdMap<Key, Versioned>,
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
        let stamp = Stamp { epoch, revision: 0 };
        Self {
            stamp,
            rows: OrdMap::new(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for Memory {
    type Snapshot = Memory;

    const WAITS: bool = false;

    fn snapshot(&self) -> Result<Memory, Fault> {
        Ok(self.clone())
    }

    fn keep_before_reset(&mut self, _: &Memory) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self, changes: &Changes) -> Result<Memory, Fault> {
        if changes.reset {
            self.rows = OrdMap::new();
        }
        for (key, versioned) in &changes.rows {
            self.rows.insert(Arc::clone(key), versioned.clone());
        }
        self.stamp = changes.stamp;
        self.snapshot()
    }
}

impl Snapshot for Memory {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get(&self, key: &str) -> Result<Versioned, Fault> {
        Ok(self.rows.get(key).cloned().unwrap_or_default())
    }

    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault> {
        let from = Bound::Included(range.first());
        Ok(self
            .rows
            .range::<_, str>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&*range.prefix))
            .take(range.limit.unwrap_or(usize::MAX))
            .map(|(key, Versioned { value, version })| Entry {
                key: Arc::clone(key),
                value: Arc::clone(value),
                version: *version,
            })
            .collect())
    }
}
