use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cell::Cell;
use crate::generations::Generations;
use crate::kv::{Key, Versioned};

/// How many cells are remembered; twice as many at the most.
const REMEMBERED: usize = 100_000;

/// What this process last wrote or read of cells, so that it need not read what only it changes. It
/// may be out of date, which a write finds out: it is refused.
#[derive(Debug)]
pub(super) struct Remembered {
    cells: Mutex<Cells>,
}

#[derive(Debug)]
struct Cells {
    /// That all of them are of.
    epoch: Option<u64>,
    known: Generations<Key, Kept>,
}

/// A cell in little room: with hundreds of thousands of them it matters how many are in the processor's
/// caches.
#[derive(Debug)]
struct Kept {
    state: State,
    version: u64,
}

#[derive(Debug)]
enum State {
    /// Nearly always.
    AtRest(i64),
    Open(Box<Cell>),
}

/// A cell as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) cell: Cell,
    pub(super) version: u64,
}

impl Known {
    /// What `stored` says of the cell of `key`; `None` if it is no cell.
    pub(super) fn parse(key: &Key, stored: &Versioned) -> Option<Self> {
        Some(Self {
            cell: Cell::parse(key, stored)?,
            version: stored.version,
        })
    }
}

impl From<Known> for Kept {
    fn from(Known { cell, version }: Known) -> Self {
        let state = match cell.is_at_rest() {
            true => State::AtRest(cell.balance),
            false => State::Open(cell.into()),
        };
        Self { state, version }
    }
}

impl From<Kept> for Known {
    fn from(Kept { state, version }: Kept) -> Self {
        let cell = match state {
            State::AtRest(balance) => Cell::at_rest(balance),
            State::Open(cell) => *cell,
        };
        Self { cell, version }
    }
}

impl Cells {
    /// None yet, of `epoch`.
    fn of(epoch: Option<u64>) -> Self {
        Self {
            epoch,
            known: Generations::new(REMEMBERED),
        }
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            cells: Mutex::new(Cells::of(None)),
        }
    }
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
            found(cells.known.recall(key).map(Known::from));
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
            *cells = Cells::of(epoch);
        }
        for (key, known) in known {
            cells.known.remember(key, known.into());
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.cells() = Cells::of(None);
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        // Nothing panics under this lock.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::cell::MarkKind;
    use super::*;
    use crate::ledger::{Amount, Name, Transfer};

    #[test]
    fn a_cell_is_remembered_with_all_that_is_in_it() {
        let [ann, ben] = ["Ann", "Ben"].map(|name| Name::new(name).unwrap());
        let transfer = Transfer::new(ann, ben, Amount::new(3).unwrap()).unwrap();
        let at_rest = Cell::at_rest(-7);
        let cells = [
            at_rest.clone(),
            at_rest.sealed(),
            at_rest.marked(Uuid::now_v7(), &transfer, MarkKind::In),
            at_rest.clone().sending(Uuid::now_v7(), &transfer),
        ];
        let known = |cell: Cell| Known { cell, version: 5 };
        let keys: Vec<Key> = (0..cells.len()).map(|at| at.to_string().into()).collect();
        let remembered = Remembered::default();
        let put = keys.iter().cloned().zip(cells.clone().map(known));
        remembered.put(Some(1), put);
        let mut found = Vec::new();
        assert_eq!(remembered.take(keys.iter(), |one| found.push(one)), Some(1));
        assert_eq!(found, cells.map(known).map(Some));
    }
}
