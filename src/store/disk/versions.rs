use crate::store::state::Changes;
use crate::store::{Generations, Key};

/// How many are known at the least; twice as many at the most.
const KNOWN: usize = 1 << 16;

/// Longer keys would take too much memory.
const KEY: usize = 128;

/// Versions of rows that were written again lately, and so will be, as those of people are: the writer need not
/// look them up in the database, which takes about as long as all else that it does for a write.
#[derive(Debug)]
pub(super) struct Versions(Generations<u64>);

impl Versions {
    pub(super) fn new() -> Self {
        Self(Generations::new(KNOWN))
    }

    /// Takes out that of `key`: who asks for it is about to write another.
    pub(super) fn recall(&mut self, key: &Key) -> Option<u64> {
        self.0.recall(key)
    }

    /// Follows a commit of `changes`.
    pub(super) fn follow(&mut self, changes: &Changes) {
        if changes.reset {
            self.0.forget();
        }
        for (key, row) in &changes.rows {
            // What was just made is mostly a record, which is never written again.
            if row.version > 1 && key.len() <= KEY {
                self.0.remember(Key::clone(key), row.version);
            }
        }
    }
}
