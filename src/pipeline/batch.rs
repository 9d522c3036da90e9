use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::draft::Unmade;
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
    /// Those that cannot be made with the others.
    unmade: Mutex<Unmade>,
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

    /// Whether what was sent of it is of an epoch that is over in `epoch`: it cannot land any more.
    pub(super) fn was_sent_before(&self, epoch: Option<u64>) -> bool {
        // A write that names no epoch lands in any.
        let is_over = |posting: &Posting| posting.epoch().is_some_and(|sent| Some(sent) < epoch);
        self.may_land() && self.postings.iter().all(is_over)
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

    /// Notes which of its transfers are not made with the others, who need a batch of their own.
    pub(super) fn parts_with(&self, unmade: Unmade) {
        *self.unmade() = unmade;
    }

    /// The places of those who need another batch, after this one, if nobody is to be given up and nothing
    /// of this one can land.
    pub(super) fn put_off(&self) -> Vec<usize> {
        let mut unmade = self.unmade();
        match unmade.refused.is_empty() && !self.may_land() {
            true => mem::take(&mut unmade.put_off),
            false => Vec::new(),
        }
    }

    /// Whom to give up when no more attempts are made since `cause` stood against the last one: those
    /// who cannot be made, else those whose time is up, else all.
    pub(super) fn given_up(&self, cause: Cause) -> Vec<(usize, Arc<Cause>)> {
        let Unmade { refused, put_off } = mem::take(&mut *self.unmade());
        if !refused.is_empty() {
            return refused
                .into_iter()
                .map(|(at, cause)| (at, cause.into()))
                .collect();
        }
        let cause = Arc::new(cause);
        // They were sent with the others, and what was sent may land: another batch cannot have them.
        if !put_off.is_empty() {
            let parted = |at| (at, Arc::new(Cause::Parted));
            return put_off.into_iter().map(parted).collect();
        }
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

    fn unmade(&self) -> std::sync::MutexGuard<'_, Unmade> {
        // Nothing panics under this lock.
        self.progress
            .unmade
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
