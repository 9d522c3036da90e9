use std::sync::Arc;

use super::checkpoint::Checkpoint;
use crate::store::merged::Merged;
use crate::store::rows::Rows;
use crate::store::{Entry, Fault, Range, Snapshot, Stamp, Versioned};

/// A commit on disk.
#[derive(Clone, Debug)]
pub struct DiskSnapshot {
    pub(super) stamp: Stamp,
    /// What was written last: what is in the half of the journal that is written to.
    pub(super) recent: Rows,
    /// What was written before, and is not in the checkpoint yet: what is in the other half.
    pub(super) settling: Rows,
    pub(super) checkpoint: Arc<Checkpoint>,
}

impl DiskSnapshot {
    /// What `checkpoint` shows.
    pub(super) fn of(checkpoint: Checkpoint) -> Self {
        Self {
            stamp: checkpoint.stamp(),
            recent: Rows::default(),
            settling: Rows::default(),
            checkpoint: Arc::new(checkpoint),
        }
    }

    /// What was written to `key` since the checkpoint.
    fn journaled(&self, key: &str) -> Option<&Versioned> {
        self.recent.get(key).or_else(|| self.settling.get(key))
    }
}

impl Snapshot for DiskSnapshot {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get(&self, key: &str) -> Result<Versioned, Fault> {
        match self.journaled(key) {
            Some(versioned) => Ok(versioned.clone()),
            None => self.checkpoint.get(key),
        }
    }

    fn version(&self, key: &str) -> Result<u64, Fault> {
        match self.journaled(key) {
            Some(versioned) => Ok(versioned.version),
            None => self.checkpoint.version(key),
        }
    }

    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault> {
        let [recent, settling] =
            [&self.recent, &self.settling].map(|rows| rows.range(range).map(Ok::<_, Fault>));
        Merged::new(recent, Merged::new(settling, self.checkpoint.range(range)?))
            .take(range.limit.unwrap_or(usize::MAX))
            .collect()
    }
}
