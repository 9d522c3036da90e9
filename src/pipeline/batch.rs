use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::Cause;
use super::posting::Posting;

/// After so many conflicts a batch is made in parts: the fewer cells, the fewer others are in the way.
const CONFLICTS_TOGETHER: u32 = 5;

/// Who has less time left than this when a batch has failed does not go on without the others.
const ANOTHER_ROUND: Duration = Duration::from_millis(500);

/// Transfers that are made in one transaction: all of them, or none. Clones are the same batch.
///
/// Its composition never changes. So whatever was sent of it how often, one record tells whether it
/// was made, and one tombstone keeps it out.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    postings: Arc<[Posting]>,
    progress: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// A write was sent that may have been made, or may yet be.
    may_land: AtomicBool,
    /// How often it was refused since others were faster.
    conflicts: AtomicU32,
    /// The places of those that cannot be made, and why.
    refused: Mutex<Vec<(usize, Cause)>>,
}

impl Batch {
    pub(super) fn new(postings: Arc<[Posting]>) -> Self {
        Self {
            postings,
            progress: Arc::default(),
        }
    }

    pub(super) fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// When the first of its clients stops waiting for tries.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.postings.iter().map(|posting| posting.try_until).min()
    }

    /// Whether it may have been made, or may yet be.
    pub(super) fn may_land(&self) -> bool {
        self.progress.may_land.load(Ordering::SeqCst)
    }

    /// Notes that a write is sent.
    pub(super) fn sends(&self) {
        self.progress.may_land.store(true, Ordering::SeqCst);
    }

    /// Notes that no write of it was made, and none that was sent can be.
    pub(super) fn cannot_land(&self) {
        self.progress.may_land.store(false, Ordering::SeqCst);
        for posting in &*self.postings {
            posting.takes_back_first();
        }
    }

    /// Notes that others were faster. Whether it is better made in parts.
    pub(super) fn is_crowded_out(&self) -> bool {
        let before = self.progress.conflicts.fetch_add(1, Ordering::SeqCst);
        self.postings.len() > 1 && before + 1 >= CONFLICTS_TOGETHER
    }

    /// Notes which of its transfers cannot be made: the others need a batch of their own.
    pub(super) fn refuse(&self, refused: Vec<(usize, Cause)>) {
        *self.refused() = refused;
    }

    /// Whom to give up when no more attempts are made since `cause` stood against the last one: those
    /// who cannot be made, else those whose time is up, else all.
    pub(super) fn given_up(&self, cause: Cause) -> Vec<(usize, Arc<Cause>)> {
        let refused = mem::take(&mut *self.refused());
        if !refused.is_empty() {
            return refused
                .into_iter()
                .map(|(at, cause)| (at, cause.into()))
                .collect();
        }
        let cause = Arc::new(cause);
        let soon = Instant::now() + ANOTHER_ROUND;
        let of = |is_given_up: fn(&Posting, Instant) -> bool| -> Vec<_> {
            let all = self.postings.iter().enumerate();
            all.filter(|(_, posting)| is_given_up(posting, soon))
                .map(|(at, _)| (at, Arc::clone(&cause)))
                .collect()
        };
        let late = of(|posting, soon| posting.try_until < soon);
        match late.is_empty() {
            true => of(|_, _| true),
            false => late,
        }
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Vec<(usize, Cause)>> {
        // Nothing panics under this lock.
        self.progress
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
