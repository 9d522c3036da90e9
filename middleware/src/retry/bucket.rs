use std::fmt;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tower::retry::budget::Budget;

/// A budget of retries that does not save much: each success earns one, at most a burst of them is
/// kept, and a few a second come for nothing.
///
/// Unlike tower's [`TpsBudget`](tower::retry::budget::TpsBudget), which keeps what was earned for a
/// while however much it is, it cannot be spent all at once on a service that has just gone away
/// after much success. A token bucket; successes fill it faster than time does.
pub struct TokenBucket {
    burst: f64,
    per_second: f64,
    level: Mutex<Level>,
}

struct Level {
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A bucket that keeps `burst` retries at most, of which it has all to begin with, and gets
    /// `per_second` whatever succeeds.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Self {
        let burst = f64::from(burst);
        Self {
            burst,
            per_second: f64::from(per_second),
            level: Mutex::new(Level {
                tokens: burst,
                at: Instant::now(),
            }),
        }
    }

    /// Retries that could be made now, one after the other.
    #[must_use]
    pub fn left(&self) -> f64 {
        self.change(|tokens| *tokens)
    }

    /// Changes the tokens, after those for the time since the last change were added.
    fn change<T>(&self, change: impl FnOnce(&mut f64) -> T) -> T {
        // Nothing panics under this lock.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = (now - level.at).as_secs_f64() * self.per_second;
        level.at = now;
        level.tokens = (level.tokens + earned).min(self.burst);
        change(&mut level.tokens)
    }
}

impl Budget for TokenBucket {
    fn deposit(&self) {
        self.change(|tokens| *tokens = (*tokens + 1.0).min(self.burst));
    }

    fn withdraw(&self) -> bool {
        self.change(|tokens| {
            let is_enough = *tokens >= 1.0;
            if is_enough {
                *tokens -= 1.0;
            }
            is_enough
        })
    }
}

impl fmt::Debug for TokenBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBucket")
            .field("burst", &self.burst)
            .field("per_second", &self.per_second)
            .finish_non_exhaustive()
    }
}
