use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::time::Duration;

use resilient::retry::{Backoff, Conflicts};
use tower::util::rng::HasherRng;

use super::rules::Rules;

/// How hard the pipeline tries, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Delays after errors of the store.
    pub errors: Backoff,
    /// Delays after errors when a transfer is kept out or taken back: more of them, and shorter.
    pub undo_errors: Backoff,
    /// Delays after conflicts.
    pub conflicts: Conflicts,
    /// How long one attempt may take; `None` where an answer is certain to come.
    pub attempt_within: Option<Duration>,
    /// No attempt to make a transfer begins later than this after it was posted.
    pub try_within: Duration,
    /// How long a client waits for the outcome of its transfer.
    pub answer_within: Duration,
    /// How much longer the taking back of a transfer is tried.
    pub undo_within: Duration,
    /// How long a transfer of another process is open before this one finishes it.
    pub stale_after: Duration,
    /// How often open transfers are looked for.
    pub sweep_every: Duration,
    /// How long a transfer may stay open, while the store answers, before the ledger is quarantined.
    pub quarantine_after: Duration,
    /// How often the store is asked whether another replica has quarantined the ledger.
    pub quarantine_poll: Duration,
    /// Retries that the store gets on top of those that successes earn, each second.
    pub spare_retries: u32,
}

impl Default for Patience {
    /// Six retries of errors (base 150 ms, cap 2 s, full jitter), twelve for an undo (base 50 ms); an
    /// attempt 1 s; an answer within 4 s, 15 s more for an undo.
    fn default() -> Self {
        let backoff = |base, trials| {
            Backoff::new(
                Duration::from_millis(base),
                Duration::from_secs(2),
                1.0,
                trials,
            )
            .expect("the constants are in range")
        };
        Self {
            errors: backoff(150, 6),
            undo_errors: backoff(50, 12),
            conflicts: Conflicts::default(),
            attempt_within: Some(Duration::from_secs(1)),
            try_within: Duration::from_secs(4),
            answer_within: Duration::from_secs(4),
            undo_within: Duration::from_secs(15),
            stale_after: Duration::from_secs(3),
            sweep_every: Duration::from_secs(2),
            quarantine_after: Duration::from_secs(60),
            quarantine_poll: Duration::from_millis(800),
            spare_retries: 5,
        }
    }
}

/// How a ledger is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How hard it tries.
    pub patience: Patience,
    /// How many transfers may be under way; more are refused at once.
    pub max_in_flight: usize,
    /// Whether other processes work on the store too, which may leave transfers open at any time.
    pub is_shared: bool,
    /// Draws the delays; the same seed draws the same ones.
    pub seed: u64,
    /// The rules that make transfers exact, all of them; a simulation breaks one.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Patience::default(),
            max_in_flight: 1024,
            is_shared: true,
            seed: RandomState::new().hash_one("seed"),
            rules: Rules::default(),
        }
    }
}

/// A source of random delays.
pub(super) type Chance = HasherRng<Seed>;

/// A source that `seed` and `purpose` determine.
pub(super) fn chance(seed: u64, purpose: &str) -> Chance {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(purpose.as_bytes());
    HasherRng::with_hasher(Seed(hasher.finish()))
}

#[derive(Clone, Debug)]
pub(super) struct Seed(u64);

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}
