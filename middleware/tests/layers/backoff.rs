//! The delays of a [`Backoff`], for any settings at all.

use std::time::Duration;

use crate::common::waiting::ms;
use proptest::num::f64::ANY;
use proptest::prelude::*;
use resilient::retry::Backoff;
use tower::util::rng::Rng;

#[test]
fn a_share_of_jitter_outside_0_to_1_is_refused() {
    for jitter in [-0.1, 1.1, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = Backoff::new(ms(1), ms(2), jitter, 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the jitter must be from 0 to 1",
            "jitter {jitter}"
        );
    }
}

#[test]
fn a_cap_below_the_base_is_refused() {
    let error = Backoff::new(ms(2), ms(1), 0.5, 3).unwrap_err();
    assert_eq!(error.to_string(), "the cap must not be below the base");
    assert!(
        Backoff::new(ms(2), ms(2), 0.5, 3).is_ok(),
        "a constant delay is one"
    );
}

#[test]
fn the_delays_double_up_to_the_cap() {
    let backoff = Backoff::new(ms(100), ms(500), 0.0, 5).unwrap();
    assert_eq!(
        drawn(backoff, Always(0.5), 9),
        [100, 200, 400, 500, 500].map(ms)
    );
}

#[test]
fn the_share_of_jitter_is_drawn_and_the_rest_is_fixed() {
    let backoff = Backoff::new(ms(400), ms(800), 0.5, 2).unwrap();
    assert_eq!(drawn(backoff, Always(0.0), 9), [200, 400].map(ms));
    assert_eq!(drawn(backoff, Always(0.25), 9), [250, 500].map(ms));
    assert_eq!(drawn(backoff, Always(0.75), 9), [350, 700].map(ms));
}

#[test]
fn full_jitter_draws_from_nothing_to_the_whole_interval() {
    let backoff = Backoff::new(ms(400), ms(800), 1.0, 2).unwrap();
    assert_eq!(drawn(backoff, Always(0.0), 9), [0, 0].map(ms));
    assert_eq!(drawn(backoff, Always(0.75), 9), [300, 600].map(ms));
}

#[test]
fn the_number_of_trials_can_be_replaced_alone() {
    let backoff = Backoff::new(ms(1), ms(8), 0.0, 9).unwrap();
    assert_eq!(
        drawn(backoff.with_trials(3), Always(0.5), 9),
        [1, 2, 4].map(ms)
    );
    assert_eq!(drawn(backoff.with_trials(0), Always(0.5), 9), []);
}

#[test]
fn a_clone_of_the_delays_goes_on_from_where_it_was_made() {
    let mut delays = Backoff::new(ms(1), ms(8), 0.0, 3).unwrap().delays();
    delays.next(&mut Always(0.5));
    for mut delays in [delays.clone(), delays] {
        let rest = [(); 3].map(|()| delays.next(&mut Always(0.5)));
        assert_eq!(rest, [Some(ms(2)), Some(ms(4)), None]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn settings_are_refused_or_taken_but_never_panic(
        base in any_duration(), cap in any_duration(), jitter in any_jitter(), trials: u32,
    ) {
        let valid = base <= cap && (0.0..=1.0).contains(&jitter);
        prop_assert_eq!(Backoff::new(base, cap, jitter, trials).is_ok(), valid);
    }

    #[test]
    fn delays_of_up_to_a_day_follow_the_formula_to_the_nanosecond(
        base in 0..=DAY, cap in 0..=DAY, jitter in valid_jitter(), random in any_random(),
    ) {
        let (base, cap) = (base.min(cap), base.max(cap));
        let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(cap));
        for (i, delay) in drawn(Backoff::new(base, cap, jitter, 50).unwrap(), random, 50).into_iter().enumerate() {
            let whole = exponential(base, cap, i);
            prop_assert!(delay <= whole, "{delay:?} is above {whole:?}");
            // Half a nanosecond for each rounding.
            let least = whole.mul_f64(1.0 - jitter).saturating_sub(Duration::from_nanos(1));
            prop_assert!(delay >= least, "{delay:?} is below {least:?}");
            if jitter == 0.0 {
                prop_assert_eq!(delay, whole);
            }
        }
    }

    #[test]
    fn any_delays_at_all_stay_in_bounds_and_never_panic(
        base in any_duration(), cap in any_duration(), jitter in valid_jitter(), random in any_random(),
    ) {
        let (base, cap) = (base.min(cap), base.max(cap));
        for (i, delay) in drawn(Backoff::new(base, cap, jitter, 200).unwrap(), random, 200).into_iter().enumerate() {
            // Beyond weeks, floating point is good for six digits and more.
            let whole = exponential(base, cap, i).as_secs_f64();
            let (least, most) = (whole * (1.0 - jitter) * (1.0 - 1e-6) - 1e-9, whole * (1.0 + 1e-6));
            prop_assert!(delay <= cap, "{delay:?} is above the cap");
            prop_assert!((least..=most).contains(&delay.as_secs_f64()), "{delay:?} is not in {least}..={most}");
        }
    }

    #[test]
    fn there_are_as_many_delays_as_trials(trials in 0..100_u32, base in any_duration(), random in any_random()) {
        let backoff = Backoff::new(base, Duration::MAX, 1.0, trials).unwrap();
        prop_assert_eq!(drawn(backoff, random, 1_000).len(), trials as usize);
    }

    #[test]
    fn the_same_randomness_gives_the_same_delays(
        base in any_duration(), cap in any_duration(), jitter in valid_jitter(), random in any_random(),
    ) {
        let backoff = Backoff::new(base.min(cap), base.max(cap), jitter, 20).unwrap();
        prop_assert_eq!(drawn(backoff, random, 20), drawn(backoff, random, 20));
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000_000_000;

/// What is left of the delays, but at most `most` of them.
fn drawn(backoff: Backoff, mut random: impl Rng, most: usize) -> Vec<Duration> {
    let mut delays = backoff.delays();
    std::iter::from_fn(|| delays.next(&mut random))
        .take(most)
        .collect()
}

/// `min(cap, base·2^i)`, exactly.
fn exponential(base: Duration, cap: Duration, i: usize) -> Duration {
    (0..i)
        .fold(base, |interval, _| interval.saturating_mul(2))
        .min(cap)
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        any::<u16>().prop_map(|n| ms(n.into())),
        any::<u64>().prop_map(Duration::from_nanos),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        // Where a number of seconds is one nanosecond from being rounded up.
        any::<u32>().prop_map(|secs| Duration::new(secs.into(), 999_999_999)),
    ]
}

fn valid_jitter() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::MIN_POSITIVE),
        Just(1.0),
        0.0..=1.0
    ]
}

fn any_jitter() -> impl Strategy<Value = f64> {
    prop_oneof![valid_jitter(), ANY]
}

fn any_random() -> impl Strategy<Value = Always> {
    // The largest is the largest below 1.
    prop_oneof![Just(0.0), 0.0..1.0, Just(1.0 - f64::EPSILON / 2.0)].prop_map(Always)
}

/// Draws the same number for ever.
#[derive(Clone, Copy, Debug)]
struct Always(f64);

impl Rng for Always {
    fn next_u64(&mut self) -> u64 {
        unreachable!("only fractions are drawn")
    }

    fn next_f64(&mut self) -> f64 {
        self.0
    }
}
