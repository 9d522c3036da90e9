use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault<F> {
    /// So many calls fail, beginning with the next one.
    pub fail_next: u64,
    /// Of the others, so many in a hundred (0 to 100), evenly spread: every third for 33.
    pub abort_percent: u8,
    /// How long every call waits first.
    pub delay: Duration,
    /// What a call that fails comes to.
    pub failure: F,
}

impl<F> Fault<F> {
    /// A fault that does nothing yet.
    pub fn new(failure: F) -> Self {
        Self {
            fail_next: 0,
            abort_percent: 0,
            delay: Duration::ZERO,
            failure,
        }
    }
}

/// What was seen of the calls with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<F> {
    /// The fault that is set.
    pub fault: Option<Fault<F>>,
    /// How many calls there were.
    pub requests: u64,
    /// How many of them were made to fail.
    pub failures: u64,
    /// Calls since the fault was set that `fail_next` did not concern.
    spread: u64,
}

impl<F> Default for Seen<F> {
    fn default() -> Self {
        Self {
            fault: None,
            requests: 0,
            failures: 0,
            spread: 0,
        }
    }
}

/// The faults of a service by key, and counters. Clones are the same faults.
pub struct Faults<K, F> {
    seen: Arc<Mutex<HashMap<K, Seen<F>>>>,
}

impl<K: Eq + Hash + Clone, F: Clone> Faults<K, F> {
    /// No faults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seen: Arc::default(),
        }
    }

    /// Sets the fault of `key`, in place of the one that it had.
    pub fn set(&self, key: K, fault: Fault<F>) {
        let mut seen = self.lock();
        let seen = seen.entry(key).or_default();
        seen.fault = Some(fault);
        seen.spread = 0;
    }

    /// Forgets all faults and counters.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What was seen of each key.
    #[must_use]
    pub fn report(&self) -> Vec<(K, Seen<F>)> {
        self.lock()
            .iter()
            .map(|(key, seen)| (key.clone(), seen.clone()))
            .collect()
    }

    /// Counts a call: how long it waits, and what it comes to if it fails.
    pub(super) fn next(&self, key: K) -> (Duration, Option<F>) {
        let mut seen = self.lock();
        let seen = seen.entry(key).or_default();
        seen.requests += 1;
        let Some(fault) = &mut seen.fault else {
            return (Duration::ZERO, None);
        };
        let fails = if fault.fail_next > 0 {
            fault.fail_next -= 1;
            true
        } else {
            let aborted = |calls: u64| calls.saturating_mul(fault.abort_percent.into()) / 100;
            seen.spread += 1;
            aborted(seen.spread) > aborted(seen.spread - 1)
        };
        seen.failures += u64::from(fails);
        (fault.delay, fails.then(|| fault.failure.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Seen<F>>> {
        // Nothing that can panic runs under this lock but the clones of the caller's types.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone, F: Clone> Default for Faults<K, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, F> Clone for Faults<K, F> {
    fn clone(&self) -> Self {
        Self {
            seen: Arc::clone(&self.seen),
        }
    }
}

impl<K, F> fmt::Debug for Faults<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
