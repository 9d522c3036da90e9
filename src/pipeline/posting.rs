use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::record::Outcome;
use crate::ledger::Transfer;
use crate::telemetry::{self, Context};

/// A transfer on its way into the store. Clones are the same transfer.
#[derive(Clone, Debug)]
pub(super) struct Posting(Arc<Posted>);

/// What is known of a transfer on its way, and what has happened to it so far.
#[derive(Debug)]
pub(super) struct Posted {
    /// Names its record: it is made once, whatever is sent how often.
    pub(super) id: Uuid,
    pub(super) transfer: Transfer,
    /// No attempt to make it begins later.
    pub(super) try_until: Instant,
    /// When it was posted, or found.
    pub(super) since: Instant,
    /// The request that brought it, if it was one.
    pub(super) request: Option<Arc<Context>>,
    /// The one epoch in which it may be made, if not in any.
    only_in: Option<u64>,
    begun: Mutex<Option<Begun>>,
    ended: OnceLock<Outcome>,
    was_answered: AtomicBool,
    was_counted: AtomicBool,
    steps: AtomicU32,
    tries: AtomicU32,
}

/// What happened first; it decides what can be said of a transfer that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    /// A write was sent, based on this epoch: from then on the transfer may have been made.
    Sent { epoch: Option<u64> },
    /// Its sender's cell has it: somebody else began it.
    Found { epoch: Option<u64> },
    /// It was given up before any write was sent.
    GivenUp,
}

impl Posting {
    /// A transfer that was posted just now; no attempt at it begins later than `try_within`.
    pub(super) fn new(id: Uuid, transfer: Transfer, try_within: Duration) -> Self {
        Self::only_in(None, id, transfer, try_within)
    }

    /// The same, in no other epoch than `epoch`, if there is one: what else is known of it is gone with that.
    pub(super) fn only_in(
        epoch: Option<u64>,
        id: Uuid,
        transfer: Transfer,
        try_within: Duration,
    ) -> Self {
        let request = telemetry::current();
        Self(Arc::new(Posted {
            only_in: epoch,
            ..Posted::new(id, transfer, try_within, request, None)
        }))
    }

    /// A transfer that was found in the outbox of its sender, in `epoch`.
    pub(super) fn found(
        id: Uuid,
        transfer: Transfer,
        epoch: Option<u64>,
        try_within: Duration,
    ) -> Self {
        let begun = Some(Begun::Found { epoch });
        Self(Arc::new(Posted::new(id, transfer, try_within, None, begun)))
    }
}

impl Deref for Posting {
    type Target = Posted;

    fn deref(&self) -> &Posted {
        &self.0
    }
}

impl Posted {
    fn new(
        id: Uuid,
        transfer: Transfer,
        try_within: Duration,
        request: Option<Arc<Context>>,
        begun: Option<Begun>,
    ) -> Self {
        let since = Instant::now();
        Self {
            id,
            transfer,
            try_until: since + try_within,
            since,
            request,
            only_in: None,
            begun: begun.into(),
            ended: OnceLock::new(),
            was_answered: false.into(),
            was_counted: false.into(),
            steps: 0.into(),
            tries: 0.into(),
        }
    }

    /// Asks for leave to send a write that is based on `epoch`: none if the transfer was given up, or is of
    /// another one.
    pub(super) fn may_send(&self, epoch: Option<u64>) -> bool {
        if self.is_of_another(epoch) {
            return false;
        }
        let begun = *self.begun().get_or_insert(Begun::Sent { epoch });
        begun != Begun::GivenUp
    }

    /// Whether it may not be made in `epoch`.
    pub(super) fn is_of_another(&self, epoch: Option<u64>) -> bool {
        self.only_in.is_some() && self.only_in != epoch
    }

    /// Notes that the first write certainly had no effect, so that nothing was sent so far.
    pub(super) fn takes_back_first(&self) {
        let mut begun = self.begun();
        // Whoever gave it up in the meantime has said so.
        if matches!(*begun, Some(Begun::Sent { .. })) {
            *begun = None;
        }
    }

    /// Whether it is too late `now` to begin with it: nobody waits for it any more.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.was_answered.load(Ordering::SeqCst) || now > self.try_until
    }

    /// Notes that its client has got an answer, or none will come.
    pub(super) fn answer(&self) {
        self.was_answered.store(true, Ordering::SeqCst);
    }

    /// Whether a write was sent, and so may have been made, whatever its answer was.
    pub(super) fn was_sent(&self) -> bool {
        matches!(
            *self.begun(),
            Some(Begun::Sent { .. } | Begun::Found { .. })
        )
    }

    /// Whether somebody else began it.
    pub(super) fn was_found(&self) -> bool {
        matches!(*self.begun(), Some(Begun::Found { .. }))
    }

    /// The epoch of the first write that was sent.
    pub(super) fn epoch(&self) -> Option<u64> {
        match *self.begun() {
            Some(Begun::Sent { epoch } | Begun::Found { epoch }) => epoch,
            Some(Begun::GivenUp) | None => None,
        }
    }

    /// Sees to it that no write is sent any more, if none was: then the transfer is certainly not
    /// made.
    pub(super) fn give_up(&self) -> bool {
        *self.begun().get_or_insert(Begun::GivenUp) == Begun::GivenUp
    }

    fn begun(&self) -> MutexGuard<'_, Option<Begun>> {
        // Nothing panics under this lock.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how it ended: it was made, or it never will be.
    pub(super) fn end(&self, outcome: Outcome) {
        self.ended.get_or_init(|| outcome);
    }

    /// How it ended, as far as is known.
    pub(super) fn ended(&self) -> Option<Outcome> {
        self.ended.get().copied()
    }

    /// Whether nobody has counted it yet. Whoever asks counts it.
    pub(super) fn is_uncounted(&self) -> bool {
        !self.was_counted.swap(true, Ordering::Relaxed)
    }

    /// Counts a step.
    pub(super) fn takes_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> u32 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Counts an attempt.
    pub(super) fn tries_again(&self) {
        self.tries.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts so far, of all its steps together.
    pub(super) fn tries(&self) -> u32 {
        self.tries.load(Ordering::Relaxed)
    }
}
