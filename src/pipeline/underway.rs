use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::posting::Posting;

/// The transfers that this process has in hand, and those that it had to leave open.
#[derive(Debug, Default)]
pub(super) struct Underway {
    transfers: Mutex<BTreeMap<Uuid, State>>,
}

#[derive(Debug)]
enum State {
    InHand,
    Left(Posting),
}

/// A transfer in hand.
#[derive(Debug)]
pub(super) struct InHand {
    underway: Arc<Underway>,
    id: Uuid,
}

impl Underway {
    /// Takes `posting` in hand; `None` if somebody of this process has it.
    pub(super) fn take(self: &Arc<Self>, id: Uuid) -> Option<InHand> {
        let mut transfers = self.transfers();
        if matches!(transfers.get(&id), Some(State::InHand)) {
            return None;
        }
        transfers.insert(id, State::InHand);
        Some(InHand {
            underway: Arc::clone(self),
            id,
        })
    }

    /// Whether this process has `id` in hand, or left it open.
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.transfers().contains_key(&id)
    }

    /// What was left open.
    pub(super) fn left(&self) -> Vec<Posting> {
        let left = |state: &State| match state {
            State::Left(posting) => Some(posting.clone()),
            State::InHand => None,
        };
        self.transfers().values().filter_map(left).collect()
    }

    fn transfers(&self) -> MutexGuard<'_, BTreeMap<Uuid, State>> {
        // Nothing panics under this lock.
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl InHand {
    /// Lets go of it, to be looked after later.
    pub(super) fn leave(self, posting: Posting) {
        let mut transfers = self.underway.transfers();
        transfers.insert(self.id, State::Left(posting));
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut transfers = self.underway.transfers();
        if matches!(transfers.get(&self.id), Some(State::InHand)) {
            transfers.remove(&self.id);
        }
    }
}
