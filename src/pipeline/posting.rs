use std::sync::{Arc, OnceLock};

use resilient::retry::{Class, Classify};
use uuid::Uuid;

use super::transaction::Failed;
use crate::ledger::Transfer;

/// A transfer on its way into the store. Clones are the same transfer.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    /// Names its record: it is made once, whatever is sent how often.
    pub(super) id: Uuid,
    pub(super) transfer: Transfer,
    begun: Arc<OnceLock<Begun>>,
}

/// What happened first; it decides what can be said of a transfer that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// A write was sent, based on this epoch: from then on the transfer may have been made.
    Sent { epoch: Option<u64> },
    /// It was given up before any write was sent.
    GivenUp,
}

impl Posting {
    pub(super) fn new(id: Uuid, transfer: Transfer) -> Self {
        Self {
            id,
            transfer,
            begun: Arc::default(),
        }
    }

    /// Asks for leave to send a write that is based on `epoch`: none if the transfer was given up.
    pub(super) fn may_send(&self, epoch: Option<u64>) -> bool {
        matches!(
            self.begun.get_or_init(|| Begun::Sent { epoch }),
            Begun::Sent { .. }
        )
    }

    /// Whether a write was sent, and so may have been made, whatever its answer was.
    pub(super) fn was_sent(&self) -> bool {
        matches!(self.begun.get(), Some(Begun::Sent { .. }))
    }

    /// The epoch of the first write that was sent.
    pub(super) fn epoch(&self) -> Option<u64> {
        match self.begun.get() {
            Some(Begun::Sent { epoch }) => *epoch,
            Some(Begun::GivenUp) | None => None,
        }
    }

    /// Sees to it that no write is sent any more, if none was: then the transfer is certainly not
    /// made.
    pub(super) fn give_up(&self) -> bool {
        *self.begun.get_or_init(|| Begun::GivenUp) == Begun::GivenUp
    }
}

/// Classes the attempts of postings for the retry policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByOutcome;

impl Classify<Posting, (), Failed> for ByOutcome {
    fn classify(&self, _: &Posting, result: &Result<(), Failed>) -> Class {
        result.as_ref().map_or_else(Failed::class, |()| Class::Done)
    }
}
