use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cell::Cell;
use crate::kv::Key;

/// How many cells are remembered; twice as many at the most.
const REMEMBERED: usize = 100_000;

/// What this process last wrote or read of cells, so that it need not read what only it changes. It
/// may be out of date, which a write finds out: it is refused.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    cells: Mutex<Cells>,
}

/// Of one epoch, in two generations: what was not used while the young one filled up is forgotten.
#[derive(Debug, Default)]
struct Cells {
    epoch: Option<u64>,
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
}

/// A cell as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) cell: Cell,
    pub(super) version: u64,
}

impl Remembered {
    /// Takes out what is known of `keys`, and tells its epoch: until it is put back, nobody else
    /// bases a write on it.
    pub(super) fn take<'a>(
        &self,
        keys: impl Iterator<Item = &'a Key>,
        mut found: impl FnMut(Option<Known>),
    ) -> Option<u64> {
        let mut cells = self.cells();
        for key in keys {
            let old = cells.old.remove(key);
            found(cells.young.remove(key).or(old));
        }
        cells.epoch
    }

    /// Puts back what is known, as of `epoch`.
    pub(super) fn put(&self, epoch: Option<u64>, known: impl Iterator<Item = (Key, Known)>) {
        if epoch.is_none() {
            // A store that does not tell its resets: a version may come again.
            return;
        }
        let mut cells = self.cells();
        if cells.epoch != epoch {
            if cells.epoch > epoch {
                return;
            }
            // What is known is from before a reset.
            *cells = Cells {
                epoch,
                ..Cells::default()
            };
        }
        for (key, known) in known {
            if cells.young.len() >= REMEMBERED {
                cells.old = mem::take(&mut cells.young);
            }
            cells.young.insert(key, known);
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.cells() = Cells::default();
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        // Nothing panics under this lock.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
