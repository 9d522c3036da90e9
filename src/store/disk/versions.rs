use crate::generations::Generations;
use crate::store::Key;
use crate::store::state::Changes;

/// How many are known at the least; twice as many at the most. Few in tests, so that they forget some, too.
const KNOWN: usize = if cfg!(test) { 4 } else { 1 << 17 };

/// Longer keys would take too much memory.
const KEY: usize = 128;

/// Versions of rows that were written again lately, and so will be, as those of people are: the writer need not
/// look them up in the database, which takes about as long as all else that it does for a write.
#[derive(Debug)]
pub(super) struct Versions(Generations<Key, u64>);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::written::{Written, new_row};
    use crate::store::{Stamp, Versioned};

    #[test]
    fn those_of_rows_that_were_written_again_are_known_unless_their_keys_are_long() {
        let mut versions = Versions::new();
        let long = "x".repeat(KEY + 1);
        let rows = [("new", 1), ("old", 7), (&long, 7)].map(|(key, version)| {
            let (key, row) = new_row(key);
            (key, Versioned { version, ..row })
        });
        versions.follow(&changes(false, Written::from(rows.clone())));
        let known = rows.clone().map(|(key, _)| versions.recall(&key));
        assert_eq!(known, [None, Some(7), None]);
        versions.follow(&changes(false, Written::from(rows.clone())));
        versions.follow(&changes(true, Written::new()));
        let known = rows.map(|(key, _)| versions.recall(&key));
        assert_eq!(known, [None; 3]);
    }

    fn changes(reset: bool, rows: Written) -> Changes {
        let stamp = Stamp::default();
        Changes { stamp, reset, rows }
    }
}
