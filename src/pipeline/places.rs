use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cell::Cell;
use super::error::Cause;
use crate::kv::{Key, Kv, Put, Stamp};

/// The cells that transfers of this process work on: who changes one takes turns, and what was last
/// seen of it is shared. A place exists as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Places {
    kv: Kv,
    /// Counts what happens in this process; see [`Sight`].
    clock: AtomicU64,
    held: Mutex<HashMap<Key, Arc<Place>>>,
}

/// The cell of one person.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    /// Held by who changes it: those of one process would only conflict with each other.
    pub(super) turn: tokio::sync::Mutex<()>,
    seen: Mutex<Option<Sight>>,
}

/// A state of a cell that was the current one at some moment from `asked` to `received`.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) cell: Cell,
    pub(super) version: u64,
    pub(super) epoch: Option<u64>,
    asked: u64,
    received: u64,
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
}

impl Places {
    pub(super) fn new(kv: Kv) -> Self {
        Self {
            kv,
            clock: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    /// Holds the place of `key`.
    pub(super) fn hold(self: &Arc<Self>, key: Key) -> Held {
        let mut held = self.held();
        let place = held.entry(Arc::clone(&key)).or_insert_with(|| {
            Arc::new(Place {
                key,
                turn: tokio::sync::Mutex::default(),
                seen: Mutex::default(),
            })
        });
        Held {
            place: Arc::clone(place),
            places: Arc::clone(self),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Arc<Place>>> {
        // Nothing panics under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

impl Held {
    /// What was last seen here, if anything; else what is there now.
    pub(super) async fn sight(&self) -> Result<Sight, Cause> {
        let seen = self.seen().clone();
        match seen {
            Some(sight) => Ok(sight),
            None => self.look().await,
        }
    }

    /// The same, but as of a moment after `earlier`.
    pub(super) async fn sight_after(&self, earlier: &Sight) -> Result<Sight, Cause> {
        let seen = self.seen().clone();
        match seen {
            Some(sight) if sight.is_after(earlier) => Ok(sight),
            _ => self.look().await,
        }
    }

    /// Reads what is there now.
    pub(super) async fn look(&self) -> Result<Sight, Cause> {
        let asked = self.places.now();
        let (stored, stamp) = self.places.kv.get(Arc::clone(&self.key)).await?;
        let received = self.places.now();
        let cell = Cell::parse(&stored).ok_or_else(|| Cause::Unreadable {
            person: Arc::clone(&self.key),
        })?;
        let sight = Sight {
            cell,
            version: stored.version,
            epoch: stamp.map(|stamp| stamp.epoch),
            asked,
            received,
        };
        self.note(sight.clone());
        Ok(sight)
    }

    /// Puts `cell` in the place of what `sight` showed. The caller has the turn.
    pub(super) async fn put(&self, sight: &Sight, cell: Cell) -> Result<(), Cause> {
        // Until it is known what came of it, nothing is known here.
        self.forget();
        let asked = self.places.now();
        let put = Put {
            key: Arc::clone(&self.key),
            value: cell.value(),
            version: sight.version,
        };
        let stamp: Option<Stamp> = self.places.kv.put(put, sight.epoch).await?;
        let received = self.places.now();
        self.note(Sight {
            cell,
            version: sight.version + 1,
            epoch: stamp.map(|stamp| stamp.epoch).or(sight.epoch),
            asked,
            received,
        });
        Ok(())
    }

    /// Takes the seal off, if there is one: it did its work when it was stored.
    pub(super) async fn rest(&self) -> Result<(), Cause> {
        let _turn = self.turn.lock().await;
        let sight = self.sight().await?;
        if sight.cell.seal.is_some() {
            self.put(&sight, sight.cell.unsealed()).await?;
        }
        Ok(())
    }

    /// Forgets what was seen here.
    pub(super) fn forget(&self) {
        *self.seen() = None;
    }

    /// Notes `sight`, unless something later is known.
    fn note(&self, sight: Sight) {
        let mut seen = self.seen();
        let is_newer = seen.as_ref().is_none_or(|seen| {
            sight.is_after(seen)
                || (sight.epoch, sight.version, sight.asked)
                    > (seen.epoch, seen.version, seen.asked)
        });
        if is_newer {
            *seen = Some(sight);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Option<Sight>> {
        // Nothing panics under this lock.
        self.place
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let mut held = self.places.held();
        // One in the map, one here: nobody else has it, and nobody gets it while the map is locked.
        if Arc::strong_count(&self.place) == 2 {
            held.remove(&self.place.key);
        }
    }
}
