use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use tower::util::rng::Rng as _;

use super::{Fate, Happening, Script};
use crate::testing::SplitMix64;

/// Of a hundred requests, how many come to each [`Fate`]; the others are fine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percent {
    /// Those that are [`Refused`](Fate::Refused).
    pub refused: u8,
    /// Those that are [`Lost`](Fate::Lost).
    pub lost: u8,
    /// Those that are [`Unanswered`](Fate::Unanswered).
    pub unanswered: u8,
    /// Those that are [`Doubled`](Fate::Doubled).
    pub doubled: u8,
    /// Those that are [`Late`](Fate::Late).
    pub late: u8,
}

/// The delays of a [`Happening`], each drawn evenly from its range. Timers round up to milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays {
    /// See [`Happening::before`].
    pub before: RangeInclusive<Duration>,
    /// See [`Happening::after`].
    pub after: RangeInclusive<Duration>,
    /// See [`Happening::late_by`].
    pub late_by: RangeInclusive<Duration>,
}

impl Default for Delays {
    /// No delays.
    fn default() -> Self {
        let none = Duration::ZERO..=Duration::ZERO;
        Self {
            before: none.clone(),
            after: none.clone(),
            late_by: none,
        }
    }
}

/// A [`Script`] by chance, which its seed repeats: what happens to a request depends on the seed and
/// on how many were sent before, and on nothing else.
#[derive(Clone, Debug)]
pub struct Odds {
    percent: Percent,
    delays: Delays,
    random: SplitMix64,
}

impl Odds {
    /// The odds of `percent` and `delays`, drawn from `seed`.
    ///
    /// # Errors
    ///
    /// [`InvalidOdds`] if the percentages exceed 100 together, or a delay has no range (its start is
    /// after its end).
    pub fn new(percent: Percent, delays: Delays, seed: u64) -> Result<Self, InvalidOdds> {
        let Percent {
            refused,
            lost,
            unanswered,
            doubled,
            late,
        } = percent;
        let sum: u32 = [refused, lost, unanswered, doubled, late]
            .map(u32::from)
            .iter()
            .sum();
        if sum > 100 {
            return Err(InvalidOdds("the percentages must not exceed 100 together"));
        }
        let ranges = [&delays.before, &delays.after, &delays.late_by];
        if ranges.iter().any(|range| range.is_empty()) {
            return Err(InvalidOdds("a delay must not end before it starts"));
        }
        Ok(Self {
            percent,
            delays,
            random: SplitMix64::new(seed),
        })
    }

    fn fate(&mut self) -> Fate {
        let mut drawn = self.below(100);
        let Percent {
            refused,
            lost,
            unanswered,
            doubled,
            late,
        } = self.percent;
        for (fate, percent) in [
            (Fate::Refused, refused),
            (Fate::Lost, lost),
            (Fate::Unanswered, unanswered),
            (Fate::Doubled, doubled),
            (Fate::Late, late),
        ] {
            match drawn.checked_sub(percent.into()) {
                Some(rest) => drawn = rest,
                None => return fate,
            }
        }
        Fate::Fine
    }

    /// A duration of the range, to the nanosecond; of ranges of centuries only the beginning.
    fn within(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let width = (*range.end() - *range.start()).as_nanos();
        let choices = u64::try_from(width + 1).unwrap_or(u64::MAX);
        *range.start() + Duration::from_nanos(self.below(choices))
    }

    /// A number below `bound`, as even as 64 bits allow.
    fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.random.next_u64()) * u128::from(bound);
        (product >> 64) as u64
    }
}

impl<Request> Script<Request> for Odds {
    fn next(&mut self, _: &Request) -> Happening {
        // The same number of draws for each request: a change of one percentage or one range leaves
        // everything else as it was.
        let fate = self.fate();
        let Delays {
            before,
            after,
            late_by,
        } = self.delays.clone();
        Happening {
            fate,
            before: self.within(&before),
            after: self.within(&after),
            late_by: self.within(&late_by),
        }
    }
}

/// [`Odds`] that cannot be; the message says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOdds(&'static str);

impl fmt::Display for InvalidOdds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidOdds {}
