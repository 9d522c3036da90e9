use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::cell::Cell;
use super::error::Cause;
use crate::generations::Generations;
use crate::kv::{Key, Kv, KvError, Put};

/// How often a cell is read again at once when somebody else was faster, before its turn is given to
/// another transfer of this process.
pub(super) const AT_ONCE: u32 = 4;

/// How many cells are remembered that nobody works on; twice as many at the most.
const REMEMBERED: usize = 10_000;

/// How many transfers of this process may be in one cell at a time.
const SEATS: usize = 16;

/// The cells that transfers of this process work on: who changes one takes turns, and what was last
/// seen of it is shared, and remembered for a while. It may be out of date, which a put finds out.
#[derive(Debug)]
pub(super) struct Places {
    kv: Kv,
    /// Counts what happens in this process; see [`Sight`].
    clock: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    held: HashMap<Key, Holding>,
    /// What was last seen of cells that nobody holds.
    left: Generations<Key, Sight>,
}

/// A place that is held.
#[derive(Debug)]
struct Holding {
    place: Arc<Place>,
    /// How many hold it.
    holds: usize,
}

/// The cell of one person.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    /// Held by who changes it: those of one process would only conflict with each other.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Held by who begins a transfer, until it has ended: far fewer than a cell has room for, so that
    /// those who must wait do so before anything of them is in a cell.
    pub(super) seats: Arc<Semaphore>,
    seen: Mutex<Seen>,
}

/// What was last seen of a cell.
#[derive(Debug)]
struct Seen {
    sight: Option<Sight>,
    /// Whether nothing is known of it any more: a put is under way. What was seen is kept all the same,
    /// to tell a look that comes late from one that is newer.
    is_forgotten: bool,
}

/// A state of a cell that was the current one at some moment from `asked` to `received`.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) cell: Cell,
    pub(super) version: u64,
    pub(super) epoch: Option<u64>,
    asked: u64,
    received: u64,
    /// When the state was received on which only this process has built this one, put by put: since
    /// then nobody else has changed the cell.
    unbroken_since: u64,
}

/// A hold on a place.
#[derive(Debug)]
pub(super) struct Held {
    place: Arc<Place>,
    places: Arc<Places>,
}

impl Sight {
    /// Whether this was seen after `earlier`, whatever their requests met on the way.
    pub(super) fn is_after(&self, earlier: &Self) -> bool {
        self.asked >= earlier.received
    }

    /// Whether this was seen after a state on which only this process has built `earlier`.
    fn is_after_base_of(&self, earlier: &Self) -> bool {
        self.asked >= earlier.unbroken_since
    }
}

impl Places {
    pub(super) fn new(kv: Kv) -> Self {
        Self {
            kv,
            clock: AtomicU64::new(0),
            known: Mutex::new(Known {
                held: HashMap::new(),
                left: Generations::new(REMEMBERED),
            }),
        }
    }

    /// Holds the place of `key`.
    pub(super) fn hold(self: &Arc<Self>, key: Key) -> Held {
        let mut known = self.known();
        let place = match known.held.get_mut(&key) {
            Some(holding) => {
                holding.holds += 1;
                Arc::clone(&holding.place)
            }
            None => {
                let seen = Seen {
                    sight: known.left.recall(&key),
                    is_forgotten: false,
                };
                let place = Arc::new(Place {
                    key: Arc::clone(&key),
                    turn: tokio::sync::Mutex::default(),
                    seats: Arc::new(Semaphore::new(SEATS)),
                    seen: Mutex::new(seen),
                });
                let holding = Holding {
                    place: Arc::clone(&place),
                    holds: 1,
                };
                known.held.insert(key, holding);
                place
            }
        };
        Held {
            place,
            places: Arc::clone(self),
        }
    }

    /// Forgets what was seen of cells that nobody holds.
    pub(super) fn forget(&self) {
        self.known().left.forget();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

impl Held {
    /// What was last seen here, if anything; else what is there now.
    pub(super) async fn sight(&self) -> Result<Sight, Cause> {
        let seen = self.seen().known();
        match seen {
            Some(sight) => Ok(sight),
            None => self.look().await,
        }
    }

    /// The same, but as of a moment after `earlier`.
    pub(super) async fn sight_after(&self, earlier: &Sight) -> Result<Sight, Cause> {
        let seen = self.seen().known();
        match seen {
            Some(sight) if sight.is_after(earlier) => Ok(sight),
            _ => self.look().await,
        }
    }

    /// What was last seen here, as of a moment after a state on which only this process has built
    /// `earlier`.
    pub(super) async fn sight_after_base_of(&self, earlier: &Sight) -> Result<Sight, Cause> {
        let seen = self.seen().known();
        match seen {
            Some(sight) if sight.is_after_base_of(earlier) => Ok(sight),
            _ => self.look().await,
        }
    }

    /// `sight`, if it is one of a cell of which `is_so`; else what is there now: what was seen may be
    /// from before it was so.
    pub(super) async fn or_look(
        &self,
        sight: Sight,
        is_so: impl Fn(&Cell) -> bool,
    ) -> Result<Sight, Cause> {
        match is_so(&sight.cell) {
            true => Ok(sight),
            false => self.look().await,
        }
    }

    /// Reads what is there now.
    pub(super) async fn look(&self) -> Result<Sight, Cause> {
        let asked = self.places.now();
        let (stored, stamp) = self.places.kv.get(Arc::clone(&self.key)).await?;
        let received = self.places.now();
        let cell = Cell::parse(&self.key, &stored).ok_or_else(|| Cause::Unreadable {
            person: Arc::clone(&self.key),
        })?;
        let sight = Sight {
            cell,
            version: stored.version,
            epoch: stamp.map(|stamp| stamp.epoch),
            asked,
            received,
            unbroken_since: received,
        };
        self.note(sight.clone());
        Ok(sight)
    }

    /// Puts `cell` in the place of what `sight` showed. The caller has the turn.
    pub(super) async fn put(&self, sight: &Sight, cell: Cell) -> Result<(), Cause> {
        // Until it is known what came of it, nothing is known here.
        self.forget();
        let asked = self.places.now();
        let put = Put::new(Arc::clone(&self.key), cell.value(), sight.version);
        let stamp = self.places.kv.put(put, sight.epoch).await?;
        let received = self.places.now();
        self.note(Sight {
            cell,
            version: sight.version + 1,
            epoch: stamp.map(|stamp| stamp.epoch).or(sight.epoch),
            asked,
            received,
            unbroken_since: sight.unbroken_since,
        });
        Ok(())
    }

    /// Takes the seal off, if there is one: it did its work when it was stored.
    pub(super) async fn rest(&self) -> Result<(), Cause> {
        let _turn = self.turn.lock().await;
        for _ in 0..AT_ONCE {
            // What was seen may be from before it was there.
            let sight = self.look().await?;
            if sight.cell.seal.is_none() {
                return Ok(());
            }
            match self.put(&sight, sight.cell.unsealed()).await {
                // Whatever was put instead has no seal, or another one.
                Err(Cause::Store(KvError::Conflict(_))) => {}
                put => return put,
            }
        }
        Ok(())
    }

    /// Forgets what was seen here.
    pub(super) fn forget(&self) {
        self.seen().is_forgotten = true;
    }

    /// Notes `sight`, unless something later is known.
    fn note(&self, sight: Sight) {
        self.seen().note(sight);
    }
}

impl Seen {
    fn known(&self) -> Option<Sight> {
        match self.is_forgotten {
            true => None,
            false => self.sight.clone(),
        }
    }

    fn note(&mut self, sight: Sight) {
        let is_newer = self.sight.as_ref().is_none_or(|seen| {
            sight.is_after(seen)
                || (sight.epoch, sight.version, sight.asked)
                    > (seen.epoch, seen.version, seen.asked)
        });
        if is_newer {
            *self = Self {
                sight: Some(sight),
                is_forgotten: false,
            };
        }
    }
}

impl Place {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Held {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut known = self.places.known();
        let Some(holding) = known.held.get_mut(&self.place.key) else {
            return;
        };
        holding.holds -= 1;
        if holding.holds == 0
            && let Some((key, holding)) = known.held.remove_entry(&self.place.key)
            && let Some(sight) = holding.place.seen().known()
            // Without epochs nothing tells what was seen from what came after a reset that others made.
            && sight.epoch.is_some()
        {
            known.left.remember(key, sight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::spawn_embedded;
    use crate::store::Memory;

    #[tokio::test]
    async fn a_place_is_one_as_long_as_somebody_holds_it_and_no_longer() {
        let kv = Kv::new(spawn_embedded(Memory::new()).0);
        let places = Arc::new(Places::new(kv));
        let one = places.hold("a".into());
        let other = places.hold("a".into());
        assert!(Arc::ptr_eq(&one.place, &other.place));
        one.look().await.unwrap();
        drop(one);
        let third = places.hold("a".into());
        assert!(Arc::ptr_eq(&third.place, &other.place));
        drop((other, third));
        assert!(places.known().held.is_empty());
        assert!(places.known().left.recall(&"a".into()).is_some());
    }
}
