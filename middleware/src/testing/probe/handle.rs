use std::sync::{Arc, Mutex, PoisonError};

/// What was seen of the services of one [`Handle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many calls there were.
    pub calls: u64,
    /// How many of them went to an instance that was not ready for them: readiness was never asked of
    /// that very instance, or not again since its last call.
    pub unready: u64,
    /// How many clones were made.
    pub clones: u64,
    /// How many instances there are now.
    pub instances: usize,
    /// How many calls are under way now.
    pub in_flight: usize,
    /// How many calls there were under way at once, at most.
    pub most_in_flight: usize,
    /// How many calls were dropped before their ends.
    pub dropped: u64,
}

/// Reads what probes saw. Clones read, and probes count, the same.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    seen: Arc<Mutex<Seen>>,
    strict: bool,
}

impl Handle {
    /// A handle whose probes only count.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle whose probes panic when they are called without having been ready: the backtrace
    /// tells by whom.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            strict: true,
            ..Self::default()
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.lock()
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Nothing that can panic runs under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
