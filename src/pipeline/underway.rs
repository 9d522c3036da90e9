use std::collections::{BTreeMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::posting::Posting;
use super::snapshot::Snapshot;

/// How many transfers that were left open are kept in mind: what is in a cell is found without that.
const MOST_LEFT: usize = 10_000;

/// The transfers that this process has in hand, and those that it had to leave open.
#[derive(Debug, Default)]
pub(super) struct Underway {
    transfers: Mutex<Transfers>,
    /// Told when a transfer was left open.
    leaving: Notify,
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

/// Transfers in hand. Whoever drops it without having finished leaves them open.
#[derive(Debug)]
pub(super) struct InHand {
    underway: Arc<Underway>,
    postings: Arc<[Posting]>,
}

impl Underway {
    /// Takes `posting` in hand; `None` if somebody of this process has it.
    pub(super) fn take(self: &Arc<Self>, posting: &Posting) -> Option<InHand> {
        let in_hand = self.take_all(&Arc::from([posting.clone()]));
        (!in_hand.postings.is_empty()).then_some(in_hand)
    }

    /// Takes those of `postings` in hand that nobody of this process has.
    pub(super) fn take_all(self: &Arc<Self>, postings: &Arc<[Posting]>) -> InHand {
        let mut transfers = self.transfers();
        let taken: Vec<bool> = postings
            .iter()
            .map(|posting| transfers.take(posting.id))
            .collect();
        let taken_of_all = || postings.iter().zip(&taken).filter(|(_, taken)| **taken);
        InHand {
            underway: Arc::clone(self),
            postings: match taken.contains(&false) {
                // All of them are new, but for those that are found in cells.
                false => Arc::clone(postings),
                true => taken_of_all().map(|(posting, _)| posting.clone()).collect(),
            },
        }
    }

    /// Whether this process has `id` in hand, or left it open.
    pub(super) fn has(&self, id: Uuid) -> bool {
        self.transfers().states.contains_key(&id)
    }

    /// How many transfers are open in `snapshot`, or were left open without a trace in it.
    pub(super) fn and_open(&self, snapshot: &Snapshot) -> usize {
        // Before the lock, which every transfer takes.
        let open: HashSet<Uuid> = snapshot.open().iter().map(|open| open.id).collect();
        let transfers = self.transfers();
        let untraced = transfers
            .states
            .iter()
            .filter(|(id, state)| matches!(state, State::Left(_)) && !open.contains(id));
        snapshot.open().len() + untraced.count()
    }

    /// What was left open.
    pub(super) fn left(&self) -> Vec<Posting> {
        let left = |state: &State| match state {
            State::Left(posting) => Some(posting.clone()),
            State::InHand => None,
        };
        self.transfers().states.values().filter_map(left).collect()
    }

    /// Ends when something is left open.
    pub(super) async fn something_left(&self) {
        loop {
            let leaving = self.leaving.notified();
            if self.transfers().left > 0 {
                return;
            }
            leaving.await;
        }
    }

    fn transfers(&self) -> MutexGuard<'_, Transfers> {
        // Nothing panics under this lock.
        self.transfers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfers {
    /// Whether `id` was in nobody's hand; now it is.
    fn take(&mut self, id: Uuid) -> bool {
        let before = self.states.insert(id, State::InHand);
        self.left -= usize::from(matches!(before, Some(State::Left(_))));
        !matches!(before, Some(State::InHand))
    }

    /// Leaves `posting` open, if it was sent: else it is not open.
    fn leave(&mut self, posting: &Posting) {
        if posting.was_sent() && self.left < MOST_LEFT {
            self.left += 1;
            self.states.insert(posting.id, State::Left(posting.clone()));
        } else {
            self.states.remove(&posting.id);
        }
    }
}

impl InHand {
    /// There is nothing left to do.
    pub(super) fn finish(self) {
        self.finish_but(|_| false);
    }

    /// There is nothing left to do, but for those that are `open`.
    pub(super) fn finish_but(mut self, open: impl Fn(&Posting) -> bool) {
        let postings = mem::take(&mut self.postings);
        let mut left = Vec::new();
        let mut transfers = self.underway.transfers();
        for posting in &*postings {
            match open(posting) {
                true => left.push(posting.clone()),
                false => {
                    transfers.states.remove(&posting.id);
                }
            }
        }
        drop(transfers);
        self.postings = left.into();
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.postings.is_empty() {
            return;
        }
        let mut transfers = self.underway.transfers();
        for posting in &*self.postings {
            transfers.leave(posting);
        }
        drop(transfers);
        self.underway.leaving.notify_one();
    }
}
