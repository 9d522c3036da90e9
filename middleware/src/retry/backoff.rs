//! Delays between attempts. The only place that knows the crate `backoff`, which lends the
//! exponential intervals.

use std::fmt;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use tower::util::rng::Rng;

/// Exponential backoff with a configurable share of jitter.
///
/// The delay before retry `i` (from 0) is `d·(1 − jitter) + U(0, d·jitter)` with
/// `d = min(cap, base·2^i)`: jitter 0 is the plain exponential, jitter 1 is "full jitter"
/// (Marc Brooker, *Exponential Backoff And Jitter*, AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: f64,
    trials: u32,
}

impl Backoff {
    /// A backoff that starts at `base`, doubles up to `cap`, is random for the share `jitter`
    /// (0 to 1), and allows `trials` retries after the first attempt.
    ///
    /// # Errors
    ///
    /// [`InvalidBackoff`] if `jitter` is outside 0 to 1 (or no number), or `cap` is below `base`.
    pub fn new(
        base: Duration,
        cap: Duration,
        jitter: f64,
        trials: u32,
    ) -> Result<Self, InvalidBackoff> {
        if !(0.0..=1.0).contains(&jitter) {
            return Err(InvalidBackoff("the jitter must be from 0 to 1"));
        }
        if cap < base {
            return Err(InvalidBackoff("the cap must not be below the base"));
        }
        Ok(Self {
            base,
            cap,
            jitter,
            trials,
        })
    }

    /// The same with another number of retries.
    #[must_use]
    pub fn with_trials(self, trials: u32) -> Self {
        Self { trials, ..self }
    }

    /// The delays of one request, one item a retry.
    #[must_use]
    pub fn delays(self) -> Delays {
        Delays {
            intervals: ExponentialBackoff {
                current_interval: self.base,
                initial_interval: self.base,
                // The jitter is drawn here, from a source that a test can seed.
                randomization_factor: 0.0,
                multiplier: 2.0,
                max_interval: self.cap,
                max_elapsed_time: None,
                ..ExponentialBackoff::default()
            },
            jitter: self.jitter,
            left: self.trials,
        }
    }
}

/// The delays that are left to one request.
#[derive(Clone)]
pub struct Delays {
    intervals: ExponentialBackoff,
    jitter: f64,
    left: u32,
}

impl Delays {
    /// The next delay, or `None` when the retries are used up.
    pub fn next(&mut self, random: &mut impl Rng) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        // Read before it is advanced: what `next_backoff` returns has gone through floating point
        // and the crate's own randomness, and can be off by a nanosecond, or by more in the case of
        // intervals of weeks. What comes of doubling those may exceed the cap.
        let interval = self
            .intervals
            .current_interval
            .min(self.intervals.max_interval);
        self.intervals.next_backoff()?;

        let drawn = share(interval, self.jitter);
        Some((interval - drawn) + share(drawn, random.next_f64()))
    }
}

/// `part` (0 to 1) of `whole`, and never more than the whole: rounding alone can exceed it, and
/// `Duration::mul_f64` panics beyond `Duration::MAX`.
fn share(whole: Duration, part: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * part).map_or(whole, |share| share.min(whole))
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("next", &self.intervals.current_interval)
            .field("jitter", &self.jitter)
            .field("left", &self.left)
            .finish()
    }
}

/// A [`Backoff`] that cannot be; the message says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBackoff(&'static str);

impl fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidBackoff {}
