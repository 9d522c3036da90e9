use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use resilient::compensate;
use resilient::retry::{Class, Classify};
use tokio::time::Instant;

use super::batch::Batch;
use super::error::Cause;
use super::places::{Held, Places};
use super::posting::Posting;
use super::record::Outcome;

/// One change that a transfer makes on its way. Each is idempotent: it looks at what is there, and
/// changes only what is not so already.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) change: Change,
    pub(super) posting: Posting,
    pub(super) parties: Arc<Parties>,
    /// No attempt to make the transfer begins later.
    until: Instant,
    /// How much longer than its making the taking back of a transfer may be tried.
    pub(super) undo_within: Duration,
}

/// The cells of a transfer.
#[derive(Debug)]
pub(super) struct Parties {
    pub(super) sender: Held,
    pub(super) receiver: Held,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The sender's balance gets the amount, the outbox the transfer.
    Credit,
    /// The sender's cell gets another version, so that no credit can land that is under way.
    Seal,
    /// The receiver's balance loses the amount, the inbox gets a mark.
    Debit,
    /// The inbox gets a mark that keeps the debit out.
    Fence,
    /// The record says what became of it, for good.
    Record(Outcome),
    /// The transfer leaves the outbox.
    Retire,
    /// The transfer leaves the outbox, and the sender's balance loses the amount.
    Undo,
    /// The mark leaves the inbox.
    Prune,
}

impl Step {
    /// The first step of `posting`.
    pub(super) fn first(posting: Posting, places: &Arc<Places>, undo_within: Duration) -> Self {
        let transfer = &posting.transfer;
        // Who takes up again what was left open has time anew: else it would never get a turn at a cell that others are
        // always at.
        let until = match posting.was_sent() {
            true => Instant::now() + undo_within,
            false => posting.try_until,
        };
        let parties = Parties {
            sender: places.hold(transfer.sender().to_shared()),
            receiver: places.hold(transfer.receiver().to_shared()),
        };
        Self {
            change: Change::Credit,
            posting,
            parties: Arc::new(parties),
            until,
            undo_within,
        }
    }

    /// Which of the cells of `parties` it changes; none if it changes none.
    pub(super) fn place_of<'a>(&self, parties: &'a Parties) -> Option<&'a Held> {
        match self.change {
            Change::Record(_) => None,
            Change::Debit | Change::Fence | Change::Prune => Some(&parties.receiver),
            Change::Credit | Change::Seal | Change::Retire | Change::Undo => Some(&parties.sender),
        }
    }

    /// No attempt at it begins later.
    pub(super) fn deadline(&self) -> Instant {
        match self.change {
            Change::Credit | Change::Debit => self.until,
            _ => self.until + self.undo_within,
        }
    }

    /// Another step of the same transfer.
    pub(super) fn to(&self, change: Change) -> Self {
        Self {
            change,
            ..self.clone()
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("change", &self.change)
            .field("id", &self.posting.id)
            .finish_non_exhaustive()
    }
}

impl compensate::Step for Step {
    fn fence(&self) -> Self {
        self.to(match self.change {
            Change::Credit => Change::Seal,
            Change::Debit => Change::Fence,
            // What is no part of a plan is its own fence.
            other => other,
        })
    }

    fn undo(&self) -> Option<Self> {
        (self.change == Change::Credit).then(|| self.to(Change::Undo))
    }
}

impl Parties {
    /// Forgets what was seen of both.
    pub(super) fn forget(&self) {
        self.sender.forget();
        self.receiver.forget();
    }
}

/// Classes the attempts of steps for the retry policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByCause;

impl<Answer> Classify<Step, Answer, Cause> for ByCause {
    fn classify(&self, _: &Step, result: &Result<Answer, Cause>) -> Class {
        result.as_ref().map_or_else(Cause::class, |_| Class::Done)
    }

    fn deadline(&self, step: &Step) -> Option<Instant> {
        Some(step.deadline())
    }
}

impl<Answer> Classify<Batch, Answer, Cause> for ByCause {
    fn classify(&self, _: &Batch, result: &Result<Answer, Cause>) -> Class {
        result.as_ref().map_or_else(Cause::class, |_| Class::Done)
    }

    fn deadline(&self, batch: &Batch) -> Option<Instant> {
        batch.deadline()
    }
}
