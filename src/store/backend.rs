use std::sync::Arc;

use super::state::Changes;
use super::{Entry, Fault, Key, Newest, Range, Stamp, Versioned};
use crate::metrics::CommitMetrics;

/// A commit, as a whole: what it shows never changes, however long it is kept. Clones are cheap.
pub trait Snapshot: Clone + Send + Sync + 'static {
    /// When it was made.
    fn stamp(&self) -> Stamp;

    /// The value and version of `key`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it cannot be read.
    fn get(&self, key: &str) -> Result<Versioned, Fault>;

    /// The version of `key`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it cannot be read.
    fn version(&self, key: &str) -> Result<u64, Fault>;

    /// The entries of `range`, sorted by key.
    ///
    /// # Errors
    ///
    /// [`Fault`] if they cannot be read.
    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault>;

    /// Whether it has no entries at all.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that cannot be read.
    fn is_empty(&self) -> Result<bool, Fault> {
        let first = Range {
            limit: Some(1),
            ..Range::default()
        };
        Ok(self.list(&first)?.is_empty())
    }
}

/// Where commits are kept. Only the writer calls it.
pub trait Backend: Send + 'static {
    /// A commit as it is read.
    type Snapshot: Snapshot;

    /// Whether [`commit`](Self::commit) waits for a device, so that the writer should have a thread
    /// of its own.
    const WAITS: bool;

    /// Tells `commits` of syncs from now on, if it makes any.
    fn observe_syncs(&self, _commits: &Arc<CommitMetrics>) {}

    /// The newest commit, now and after each further one.
    fn newest(&self) -> &Arc<Newest<Self::Snapshot>>;

    /// The version of `key` in `newest`, the newest commit: for who is about to write it, and so can be told from
    /// memory where reading it takes long.
    ///
    /// # Errors
    ///
    /// [`Fault`] if it cannot be read.
    fn version(&mut self, newest: &Self::Snapshot, key: &Key) -> Result<u64, Fault> {
        newest.version(key)
    }

    /// Keeps a copy of what a reset is about to forget.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that cannot be done; then there must be no reset.
    fn keep_before_reset(&mut self) -> Result<(), Fault>;

    /// Makes `changes` as one commit, and then shows it as the newest one.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that failed, or may have: what is kept is then not known, and there must be no
    /// further commit.
    fn commit(&mut self, changes: Changes) -> Result<(), Fault>;

    /// Does what need not be done before everybody was answered.
    ///
    /// # Errors
    ///
    /// [`Fault`] if that failed: there must be no further commit.
    fn tidy(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
