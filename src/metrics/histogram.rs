use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// How often values were in which range. To observe one is to add to two atomic numbers.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    /// One for each bound, and one for what is beyond the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// Bounds of ranges, each of which belongs to the range below it.
#[derive(Debug)]
pub(super) struct Scale {
    bounds: &'static [u64],
    /// How many of the units of the bounds make one of the units in which they are told.
    per_unit: f64,
}

/// Of requests and commits: counted in nanoseconds, told in seconds.
pub(super) const DURATIONS: Scale = Scale {
    bounds: &[
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        5_000_000_000,
        10_000_000_000,
    ],
    per_unit: 1e9,
};

/// Of numbers of things.
pub(super) const SIZES: Scale = Scale {
    bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    per_unit: 1.0,
};

impl Histogram {
    pub(super) fn new(scale: &'static Scale) -> Self {
        Self {
            scale,
            counts: (0..=scale.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, value: u64) {
        let range = self.scale.bounds.partition_point(|bound| *bound < value);
        self.counts[range].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Observes a duration, where the unit is a nanosecond.
    pub(super) fn observe_duration(&self, duration: Duration) {
        // 64 bits of nanoseconds last 584 years.
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Whether nothing was observed.
    pub(super) fn is_empty(&self) -> bool {
        let seen = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
        !self.counts.iter().any(seen)
    }

    pub(super) fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Scale { bounds, per_unit } = self.scale;
        let bounds = bounds.iter().map(|bound| *bound as f64 / per_unit);
        let buckets: Vec<_> = bounds
            .chain([f64::INFINITY])
            .zip(
                self.counts
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed)),
            )
            .collect();
        // Of the same look, so that they agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum.load(Ordering::Relaxed) as f64 / per_unit;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_range_below_it() {
        let histogram = Histogram::new(&SIZES);
        assert!(histogram.is_empty());
        for value in [0, 1, 2, 3, 4, 1024, 1025, 1_000_000] {
            histogram.observe(value);
        }
        let counts: Vec<_> = histogram
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert!(!histogram.is_empty());
    }
}
