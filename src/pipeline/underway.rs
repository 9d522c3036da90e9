use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::posting::Posting;
use super::snapshot::Snapshot;

/// How many transfers that were left open are kept in mind: what is in a cell is found without that.
const MOST_LEFT: usize = 10_000;

/// The transfers that this process has in hand, and those that it had to leave open.
#[derive(Debug, Default)]
pub(super) struct Underway {
    transfers: Mutex<Transfers>,
}

#[derive(Debug, Default)]
struct Transfers {
    states: BTreeMap<Uuid, State>,
    left: usize,
}

#[derive(Debug)]
enum State {
    InHand,
    Left(Posting),
}

/// A transfer in hand. Whoever drops it without having finished leaves the transfer open.
#[derive(Debug)]
pub(super) struct InHand {
    underway: Arc<Underway>,
    posting: Posting,
}

impl Underway {
    /// Takes `posting` in hand; `None` if somebody of this process has it.
    pub(super) fn take(self: &Arc<Self>, posting: &Posting) -> Option<InHand> {
        let mut transfers = self.transfers();
        if matches!(transfers.states.get(&posting.id), Some(State::InHand)) {
            return None;
        }
        transfers.set(posting.id, Some(State::InHand));
        Some(InHand {
            underway: Arc::clone(self),
            posting: posting.clone(),
        })
    }

    /// Whether this process has `id` in hand, or left it open.
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.transfers().states.contains_key(&id)
    }

    /// How many transfers are open in `snapshot`, or were left open without a trace in it.
    pub(super) fn and_open(&self, snapshot: &Snapshot) -> usize {
        let transfers = self.transfers();
        let untraced = transfers
            .states
            .iter()
            .filter(|(id, state)| matches!(state, State::Left(_)) && !snapshot.has_open(**id));
        snapshot.open_transfers() + untraced.count()
    }

    /// What was left open.
    pub(super) fn left(&self) -> Vec<Posting> {
        let left = |state: &State| match state {
            State::Left(posting) => Some(posting.clone()),
            State::InHand => None,
        };
        self.transfers().states.values().filter_map(left).collect()
    }

    fn transfers(&self) -> MutexGuard<'_, Transfers> {
        // Nothing panics under this lock.
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfers {
    fn set(&mut self, id: Uuid, state: Option<State>) {
        let is_left = |state: &Option<State>| usize::from(matches!(state, Some(State::Left(_))));
        self.left += is_left(&state);
        let before = match state {
            Some(state) => self.states.insert(id, state),
            None => self.states.remove(&id),
        };
        self.left -= is_left(&before);
    }
}

impl InHand {
    /// There is nothing left to do.
    pub(super) fn finish(self) {
        self.underway.transfers().set(self.posting.id, None);
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut transfers = self.underway.transfers();
        if matches!(transfers.states.get(&self.posting.id), Some(State::InHand)) {
            // What was never sent is not open.
            let is_open = self.posting.was_sent() && transfers.left < MOST_LEFT;
            let left = is_open.then(|| State::Left(self.posting.clone()));
            transfers.set(self.posting.id, left);
        }
    }
}
