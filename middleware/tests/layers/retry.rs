//! What a [`Policy`] makes of tower's `Retry`: what is tried again, when, and how often.

use std::collections::HashMap;
use std::fmt;
use std::iter::{repeat, repeat_n};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::client;
use crate::common::failing;
use crate::common::owed;
use crate::common::waiting::{ms, polled};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use axum::routing::get;
use proptest::prelude::*;
use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
use tokio::time::{Instant, timeout};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Retry, RetryLayer};
use tower::util::MapRequestLayer;
use tower::util::rng::Rng;
use tower::{BoxError, Service, ServiceExt};
use tower_test::mock;

use Class::{Conflict, Done, NotDone, Unknown};

// What is tried again

#[tokio::test(start_paused = true)]
async fn what_is_done_is_not_tried_again() {
    let run = send(policy(doubling(100, 500, 9)), [Done]).await;
    assert_eq!(run.arrivals, [0]);
    assert_eq!(run.answer, Done);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_done_is_not_tried_again_either() {
    let (mock, mut handle) = mock::pair::<_, Class>();
    let answer = tokio::spawn(Retry::new(policy(doubling(100, 500, 9)), mock).oneshot("request"));

    let (_, reply) = next(&mut handle).await.unwrap();
    reply.send_error(Failed(Done));

    let error = ended(answer).await.unwrap().unwrap_err();
    assert!(error.is::<Failed>(), "{error}");
    assert!(next(&mut handle).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn errors_are_tried_again_after_doubling_delays_up_to_the_cap() {
    for class in [NotDone, Unknown] {
        let run = send(policy(doubling(100, 500, 5)), repeat(class)).await;
        assert_eq!(run.arrivals, [0, 100, 300, 700, 1_200, 1_700], "{class:?}");
        assert_eq!(run.answer, class, "the last answer passes");
    }
}

#[tokio::test(start_paused = true)]
async fn both_kinds_of_error_use_up_the_same_retries() {
    let run = send(
        policy(doubling(100, 500, 3)),
        [NotDone, Unknown, Unknown, NotDone],
    )
    .await;
    assert_eq!(run.arrivals, [0, 100, 300, 700]);
}

#[tokio::test(start_paused = true)]
async fn there_is_one_attempt_more_than_trials() {
    for trials in [0, 1, 2, 7] {
        let run = send(policy(doubling(1, 1, trials)), repeat(NotDone)).await;
        assert_eq!(run.arrivals.len(), trials as usize + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_that_is_done_ends_it() {
    let run = send(policy(doubling(100, 500, 9)), [NotDone, Unknown, Done]).await;
    assert_eq!(run.arrivals, [0, 100, 300]);
    assert_eq!(run.answer, Done);
}

// Randomness

#[tokio::test(start_paused = true)]
async fn the_delay_is_a_fixed_part_and_a_drawn_one() {
    let errors = Backoff::new(ms(400), ms(800), 0.5, 3).unwrap();
    let random = Sequence::new([0.0, 0.25, 0.75]);
    let run = send(with_random(errors, random), repeat(NotDone)).await;
    assert_eq!(run.gaps(), [200, 400 + 100, 400 + 300]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_drawn_the_delay_stays_in_its_bounds(seed: u64, jitter in 0.0..=1.0) {
        let errors = Backoff::new(ms(100), ms(500), jitter, 5).unwrap();
        let run = paused(send(with_random(errors, Seeded(seed)), repeat(NotDone)));
        prop_assert_eq!(run.arrivals.len(), 6);
        for (gap, whole) in run.gaps().into_iter().zip([100.0, 200.0, 400.0, 500.0, 500.0]) {
            // The timer rounds up to a whole millisecond, the backoff to a nanosecond.
            let least = whole * (1.0 - jitter) - 1e-6;
            prop_assert!((least..=whole).contains(&(gap as f64)), "{gap} of {whole}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays(seed: u64) {
        let delays = |seed| {
            let errors = Backoff::new(ms(1_000), ms(60_000), 1.0, 8).unwrap();
            paused(send(with_random(errors, Seeded(seed)), repeat(NotDone))).gaps()
        };
        prop_assert_eq!(delays(seed), delays(seed));
        prop_assert_ne!(delays(seed), delays(seed.wrapping_add(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn two_requests_through_one_policy_do_not_wait_in_step() {
    // The randomness of production, drawn from by clones of one service.
    let errors = Backoff::new(ms(60_000), ms(60_000), 1.0, 4).unwrap();
    let policy = Policy::new(Told, errors, Conflicts::default());
    let one = send(policy.clone(), repeat(NotDone)).await;
    let other = send(policy, repeat(NotDone)).await;
    assert_ne!(one.gaps(), other.gaps());
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_randomness_and_nothing_else() {
    let errors = Backoff::new(ms(100), ms(100), 1.0, 2).unwrap();
    let policy = with_random(errors, Sequence::new([0.1, 0.2, 0.3, 0.4]));
    let answers = || [Conflict, NotDone, NotDone, NotDone];

    // The second request has its first conflict at once and all of its retries,
    let one = send(policy.clone(), answers()).await;
    let other = send(policy.clone(), answers()).await;

    // but the draws go on where the first left off.
    assert_eq!(one.gaps(), [0, 10, 20]);
    assert_eq!(other.gaps(), [0, 30, 40]);
}

#[tokio::test]
async fn a_retry_without_delay_lets_other_tasks_have_their_turn() {
    let turns = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let conflicts = Conflicts {
        at_once: 1,
        backoff: Backoff::new(ms(0), ms(0), 0.0, 50).unwrap(),
        within: ms(60_000),
    };
    let never_waits = tower::service_fn(|_: &'static str| async { Ok::<_, BoxError>(Conflict) });
    let service = Retry::new(policy_for(doubling(1, 1, 0), conflicts), never_waits);
    assert_eq!(service.oneshot("request").await.unwrap(), Conflict);
    assert!(turns.load(Ordering::Relaxed) >= 50);
}

#[tokio::test(start_paused = true)]
async fn requests_through_one_service_are_counted_apart() {
    let (mock, mut handle) = mock::pair();
    let service = Retry::new(policy(doubling(100, 100, 1)), mock);
    let one = tokio::spawn(service.clone().oneshot("one"));
    let other = tokio::spawn(service.oneshot("other"));

    let mut attempts = HashMap::new();
    while let Some((request, reply)) = next(&mut handle).await {
        let attempts = attempts.entry(request).or_insert(0);
        *attempts += 1;
        assert!(*attempts < 100, "it goes on for ever");
        reply.send_response(NotDone);
    }

    assert_eq!(attempts, HashMap::from([("one", 2), ("other", 2)]));
    assert_eq!(ended(one).await.unwrap().unwrap(), NotDone);
    assert_eq!(ended(other).await.unwrap().unwrap(), NotDone);
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_reach_of_the_clock_is_waited_for() {
    let (mock, mut handle) = mock::pair();
    let policy = policy(doubling_of(Duration::MAX, Duration::MAX, 1));
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot("request"));
    next(&mut handle).await.unwrap().1.send_response(NotDone);

    let year = Duration::from_secs(365 * 24 * 60 * 60);
    assert!(timeout(year, handle.next_request()).await.is_err());
    assert!(!answer.is_finished());
}

// Conflicts

#[tokio::test(start_paused = true)]
async fn the_first_conflict_is_tried_again_at_once() {
    let run = send(policy(doubling(100, 500, 0)), [Conflict, Done]).await;
    assert_eq!(run.arrivals, [0, 0]);
    assert_eq!(run.answer, Done);
}

#[tokio::test(start_paused = true)]
async fn further_conflicts_wait_by_a_backoff_of_their_own() {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(1, 4, 9),
        within: ms(1_000),
    };
    let run = send(
        policy_for(doubling(100, 500, 0), conflicts),
        repeat_n(Conflict, 6).chain([Done]),
    )
    .await;
    assert_eq!(run.gaps(), [0, 1, 2, 4, 4, 4]);
}

#[tokio::test(start_paused = true)]
async fn as_many_conflicts_as_allowed_are_tried_again_at_once() {
    for (at_once, gaps) in [(0, [1, 2, 4, 4, 4]), (3, [0, 0, 0, 1, 2])] {
        let conflicts = Conflicts {
            at_once,
            backoff: doubling(1, 4, 9),
            within: ms(1_000),
        };
        let run = send(
            policy_for(doubling(100, 500, 0), conflicts),
            repeat_n(Conflict, 5).chain([Done]),
        )
        .await;
        assert_eq!(run.gaps(), gaps, "{at_once} at once");
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_wait_for_milliseconds_unless_told_otherwise() {
    let run = send(
        policy(doubling(100, 500, 0)),
        repeat_n(Conflict, 200).chain([Done]),
    )
    .await;
    assert_eq!(run.answer, Done);
    for (gap, whole) in run
        .gaps()
        .into_iter()
        .zip([0, 1, 2, 4, 8].into_iter().chain(repeat(16)))
    {
        assert!(gap <= whole, "{gap} ms of {whole}");
    }
    assert!(run.gaps().iter().any(|&gap| gap > 8), "{run:?}");
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_tried_again_for_as_long_as_allowed_from_the_first() {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(10, 10, u32::MAX),
        within: ms(40),
    };
    let run = send(
        policy_for(doubling(15, 15, 1), conflicts),
        [NotDone].into_iter().chain(repeat(Conflict)),
    )
    .await;
    // The first conflict comes at 15: one at 55 is too late.
    assert_eq!(run.arrivals, [0, 15, 15, 25, 35, 45, 55]);
    assert_eq!(run.answer, Conflict, "the last answer passes");
}

#[tokio::test(start_paused = true)]
async fn conflicts_are_given_up_after_three_seconds_unless_told_otherwise() {
    let run = send(policy(doubling(100, 500, 0)), repeat(Conflict)).await;
    let last = *run.arrivals.last().unwrap();
    assert!((3_000..=3_016).contains(&last), "{last} ms");
}

#[tokio::test(start_paused = true)]
async fn conflicts_can_be_limited_in_number_too() {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(1, 1, 2),
        within: ms(1_000),
    };
    let run = send(
        policy_for(doubling(100, 500, 9), conflicts),
        repeat(Conflict),
    )
    .await;
    assert_eq!(
        run.arrivals,
        [0, 0, 1, 2],
        "the first at once, then two by the backoff"
    );
}

#[tokio::test(start_paused = true)]
async fn conflicts_do_not_use_up_the_retries_of_errors() {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(1, 4, 9),
        within: ms(10_000),
    };
    let answers = [
        Conflict, Conflict, Conflict, NotDone, Conflict, Unknown, NotDone,
    ];
    let run = send(policy_for(doubling(100, 500, 2), conflicts), answers).await;
    assert_eq!(run.gaps(), [0, 1, 2, 100, 4, 200]);
}

#[tokio::test(start_paused = true)]
async fn errors_do_not_use_up_the_retries_of_conflicts() {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(1, 4, 2),
        within: ms(10_000),
    };
    let answers = [
        NotDone, Unknown, NotDone, Conflict, Conflict, NotDone, Conflict, Conflict,
    ];
    let run = send(policy_for(doubling(100, 500, 9), conflicts), answers).await;
    assert_eq!(run.gaps(), [100, 200, 400, 0, 1, 500, 2]);
}

#[tokio::test(start_paused = true)]
async fn conflicts_can_be_left_to_the_caller_from_the_first_on() {
    let without_time = Conflicts {
        at_once: 1,
        backoff: doubling(0, 0, u32::MAX),
        within: Duration::ZERO,
    };
    for conflicts in [Conflicts::never(), without_time] {
        let run = send(policy_for(doubling(100, 500, 9), conflicts), [Conflict]).await;
        assert_eq!(run.arrivals, [0]);
        assert_eq!(run.answer, Conflict);

        let run = send(
            policy_for(doubling(100, 500, 9), conflicts),
            [NotDone, Unknown, Conflict],
        )
        .await;
        assert_eq!(run.arrivals, [0, 100, 300], "errors are tried again");
        assert_eq!(run.answer, Conflict);
    }
}

// The deadline

#[tokio::test(start_paused = true)]
async fn no_retry_of_an_error_begins_later_than_the_deadline_of_its_request() {
    // 100, 200 and 400 ms make 700; the next one would begin at 1,500.
    for (deadline, arrivals) in [
        (0, vec![0]),
        (99, vec![0]),
        (100, vec![0, 100]),
        (699, vec![0, 100, 300]),
        (700, vec![0, 100, 300, 700]),
        (1_499, vec![0, 100, 300, 700]),
    ] {
        for class in [NotDone, Unknown] {
            let run = send_until(deadline, doubling(100, 10_000, 9), repeat(class)).await;
            assert_eq!(run.arrivals, arrivals, "a deadline at {deadline}");
            assert_eq!(run.answer, class, "the last answer passes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_retry_of_a_conflict_begins_later_than_the_deadline_either() {
    let run = send_until(50, doubling(50, 50, 1), [NotDone, Conflict, Conflict]).await;
    // At the deadline there is time for a retry at once, but for none that waits.
    assert_eq!(run.arrivals, [0, 50, 50]);
    assert_eq!(run.answer, Conflict);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_attempts_take_counts_toward_the_deadline() {
    let policy = Policy::new(Dated, doubling(100, 100, 9), Conflicts::default());
    let (mock, mut handle) = mock::pair();
    let until = Instant::now() + ms(1_000);
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot(Some(until)));
    for _ in 0..2 {
        let (_, reply) = next(&mut handle).await.unwrap();
        tokio::time::sleep(ms(450)).await;
        reply.send_response(NotDone);
    }
    // The second answer came at 1,000, so a third attempt would begin at 1,100.
    assert!(next(&mut handle).await.is_none());
    assert_eq!(ended(answer).await.unwrap().unwrap(), NotDone);
}

#[tokio::test(start_paused = true)]
async fn requests_with_one_deadline_and_requests_with_none_share_a_policy() {
    let policy = Policy::new(Dated, doubling(100, 100, 5), Conflicts::default());
    let until = Some(Instant::now() + ms(250));
    // Sent one after the other, the second has only what the first left of the time.
    let first = send_request(policy.clone(), until, repeat(NotDone)).await;
    let second = send_request(policy.clone(), until, repeat(NotDone)).await;
    let undated = send_request(policy, None, repeat(NotDone)).await;
    assert_eq!(first.arrivals, [0, 100, 200]);
    assert_eq!(second.arrivals, [0]);
    assert_eq!(undated.arrivals, [0, 100, 200, 300, 400, 500]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_beyond_the_reach_of_the_clock_is_later_than_any_deadline() {
    let errors = doubling_of(Duration::MAX, Duration::MAX, 1);
    let run = send_until(1_000, errors, [NotDone]).await;
    assert_eq!(run.arrivals, [0]);
}

// The budget

#[tokio::test(start_paused = true)]
async fn each_retry_of_an_error_is_paid_for_and_none_is_made_on_credit() {
    for class in [NotDone, Unknown] {
        let purse = Purse::with(2);
        let policy = policy(doubling(100, 500, 9)).budget(Arc::clone(&purse));
        let run = send(policy, repeat(class)).await;
        assert_eq!(run.arrivals, [0, 100, 300], "{class:?}");
        assert_eq!(run.answer, class, "the last answer passes");
        assert_eq!(purse.balance(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn each_success_deposits_once() {
    let purse = Purse::with(2);
    let policy = policy(doubling(100, 500, 9)).budget(Arc::clone(&purse));
    send(policy.clone(), [Done]).await;
    assert_eq!(purse.balance(), 3);
    send(policy, [NotDone, Unknown, Done]).await;
    assert_eq!(purse.balance(), 3 - 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_neither_deposits_nor_withdraws() {
    let purse = Purse::with(1);
    let policy = policy(doubling(100, 500, 9)).budget(Arc::clone(&purse));
    let (mock, mut handle) = mock::pair::<_, Class>();
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot("request"));
    next(&mut handle).await.unwrap().1.send_error(Failed(Done));
    ended(answer).await.unwrap().unwrap_err();
    assert_eq!(purse.looks(), []);
}

#[tokio::test(start_paused = true)]
async fn conflicts_neither_deposit_nor_withdraw() {
    let purse = Purse::with(0);
    let policy = policy(doubling(100, 500, 9)).budget(Arc::clone(&purse));
    let run = send(policy.clone(), repeat_n(Conflict, 5).chain([NotDone])).await;
    assert_eq!(
        run.arrivals.len(),
        6,
        "an empty budget does not hold them up"
    );
    assert_eq!(purse.looks(), [Look::Withdrawal], "of the error");

    send(policy, repeat(Conflict)).await;
    assert_eq!(purse.looks(), [Look::Withdrawal]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_paid_for_a_retry_that_is_not_made() {
    let purse = Purse::with(9);
    let used_up = policy(doubling(100, 500, 1)).budget(Arc::clone(&purse));
    send(used_up, repeat(NotDone)).await;
    assert_eq!(purse.balance(), 8, "for one of one");

    let dated = Policy::new(Dated, doubling(100, 100, 9), Conflicts::default());
    let until = Some(Instant::now() + ms(250));
    send_request(dated.budget(Arc::clone(&purse)), until, repeat(NotDone)).await;
    assert_eq!(purse.balance(), 6, "for the two before the deadline");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_noted_for_a_retry_that_cannot_be_paid() {
    let noting = Noting::default();
    let policy = Policy::new(noting.clone(), doubling(100, 500, 9), Conflicts::default())
        .budget(Purse::with(1));
    send_request(policy, Vec::new(), repeat(Unknown)).await;
    assert_eq!(noting.told(), [Unknown]);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_budget() {
    let purse = Purse::with(3);
    let policy = policy(doubling(100, 100, 2)).budget(Arc::clone(&purse));
    let first = send(policy.clone(), repeat(NotDone)).await;
    let second = send(policy.clone(), repeat(NotDone)).await;
    assert_eq!((first.arrivals.len(), second.arrivals.len()), (3, 2));

    send(policy.clone(), [Done]).await;
    let third = send(policy, repeat(NotDone)).await;
    assert_eq!(third.arrivals.len(), 2, "what another deposited");
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_there_is_no_such_limit() {
    let policy = policy(doubling(1, 1, 50));
    for _ in 0..10 {
        let run = send(policy.clone(), repeat(NotDone)).await;
        assert_eq!(run.arrivals.len(), 51);
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_third_of_the_attempts_fail_a_budget_of_one_suffices_and_the_usual_does_not() {
    // Of the hundred requests that need a retry, so many do not get it.
    for (share, refused) in [(1.0, 0..=0), (0.2, 60..=90)] {
        let budget = Arc::new(TpsBudget::new(Duration::from_secs(60), 0, share));
        for _ in 0..10 {
            budget.deposit();
        }
        let policy = policy(doubling(1, 1, 3)).budget(budget);
        let mut failures = 0;
        for request in 0..200 {
            // Every other request fails once: one attempt in three.
            let script = repeat_n(NotDone, request % 2).chain([Done]);
            failures += usize::from(send(policy.clone(), script).await.answer == NotDone);
        }
        assert!(refused.contains(&failures), "{failures} with {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_of_a_budget_acts_as_the_next_larger_one_over_a_whole_number() {
    for (share, deposits_a_retry) in [(1.0, 1), (0.6, 1), (0.5, 2), (0.4, 2), (0.25, 4)] {
        let budget = Arc::new(TpsBudget::new(Duration::from_secs(60), 0, share));
        let policy = policy(doubling(1, 1, 1)).budget(budget);
        for _ in 1..deposits_a_retry {
            send(policy.clone(), [Done]).await;
        }
        let run = send(policy.clone(), [NotDone]).await;
        assert_eq!(run.answer, NotDone, "{share}");
        send(policy.clone(), [Done]).await;
        let run = send(policy, [NotDone, Done]).await;
        assert_eq!(run.answer, Done, "{share}");
    }
}

// The request

#[tokio::test(start_paused = true)]
async fn each_attempt_is_sent_what_was_noted_of_the_earlier_ones() {
    let noting = Noting::default();
    let policy = Policy::new(noting.clone(), doubling(100, 500, 2), Conflicts::default());
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot(Vec::new()));

    let mut sent = Vec::new();
    for class in [NotDone, Conflict, Unknown, NotDone] {
        let (request, reply) = next(&mut handle).await.unwrap();
        sent.push(request);
        reply.send_response(class);
    }

    assert_eq!(
        sent,
        [
            vec![],
            vec![NotDone],
            vec![NotDone, Conflict],
            vec![NotDone, Conflict, Unknown]
        ]
    );
    assert!(next(&mut handle).await.is_none());
    ended(answer).await.unwrap().unwrap();
    // Nothing is noted for an attempt that is not made.
    assert_eq!(noting.told(), [NotDone, Conflict, Unknown]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_classed_by_the_request_as_it_was_sent() {
    let policy = Policy::new(OneUnknown, doubling(100, 500, 9), Conflicts::default());
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot(Vec::new()));

    let mut attempts = 0;
    while let Some((_, reply)) = next(&mut handle).await {
        attempts += 1;
        assert!(attempts < 100, "it goes on for ever");
        reply.send_response(if attempts < 3 { NotDone } else { Unknown });
    }

    assert_eq!(attempts, 4, "the second unknown outcome ends it");
    assert_eq!(ended(answer).await.unwrap().unwrap(), Unknown);
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    owed::calls_go_to_the_instance_that_was_ready(RetryLayer::new(failing::policy(ms(1), 0))).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_before_every_attempt() {
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Retry::new(policy(doubling(100, 100, 3)), mock).oneshot("request"));
    for attempt in 0..4 {
        handle.allow(1);
        let (_, reply) = next(&mut handle).await.unwrap();
        reply.send_response(NotDone);
        // The mock, no more ready, panics if it is called all the same.
        assert!(
            attempt == 3 || timeout(ms(60_000), handle.next_request()).await.is_err(),
            "attempt {attempt}"
        );
    }
    assert_eq!(ended(answer).await.unwrap().unwrap(), NotDone);
}

#[tokio::test]
async fn an_error_of_readiness_passes_through() {
    owed::errors_of_readiness_pass(RetryLayer::new(failing::policy(ms(1), 9)));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_between_attempts_passes_through_and_is_final() {
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Retry::new(policy(doubling(100, 100, 9)), mock).oneshot("request"));
    next(&mut handle).await.unwrap().1.send_response(NotDone);
    handle.send_error(Failed(NotDone));

    let error = ended(answer).await.unwrap().unwrap_err();
    assert!(error.is::<Failed>(), "{error}");
    assert!(next(&mut handle).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_at_any_point_releases_everything() {
    for point in [
        "before the first poll",
        "in an attempt",
        "between attempts",
        "without readiness",
    ] {
        let (mock, mut handle) = mock::pair::<Arc<()>, Class>();
        let mut service = Retry::new(policy(doubling(100, 100, 9)), mock);
        let request = Arc::new(());
        service.ready().await.unwrap();
        let mut response = Box::pin(service.call(Arc::clone(&request)));

        let (sent, reply) = next(&mut handle).await.unwrap();
        drop(sent);
        if point != "before the first poll" {
            assert!(polled(response.as_mut()).await.is_pending());
        }
        if point == "between attempts" || point == "without readiness" {
            reply.send_response(NotDone);
            assert!(polled(response.as_mut()).await.is_pending());
        }
        if point == "without readiness" {
            handle.allow(0);
            tokio::time::advance(ms(100)).await;
            assert!(polled(response.as_mut()).await.is_pending());
        }
        drop(response);

        assert_eq!(
            Arc::strong_count(&request),
            1,
            "dropped {point}, a request is still held"
        );
        drop(service);
        assert!(
            next(&mut handle).await.is_none(),
            "dropped {point}, a service is still held"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_between_attempts_gives_up_the_further_ones() {
    let (mock, mut handle) = mock::pair();
    let service = Retry::new(policy(doubling(100, 100, 9)), mock);
    let answer = tokio::spawn(service.clone().oneshot("request"));
    next(&mut handle).await.unwrap().1.send_response(NotDone);
    assert!(timeout(ms(50), handle.next_request()).await.is_err());
    answer.abort();
    assert!(timeout(ms(60_000), handle.next_request()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_of_the_inner_service_pass_as_they_are() {
    let (mock, mut handle) = mock::pair::<&str, Arc<str>>();
    let service = Retry::new(
        Policy::new(AllDone, doubling(1, 1, 9), Conflicts::default()),
        mock,
    );

    let answer = tokio::spawn(service.clone().oneshot("request"));
    let original: Arc<str> = "answer".into();
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_response(Arc::clone(&original));
    assert!(Arc::ptr_eq(
        &ended(answer).await.unwrap().unwrap(),
        &original
    ));

    let answer = tokio::spawn(service.oneshot("request"));
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_error(Failed(Unknown));
    let error = ended(answer).await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed(Unknown)));
}

#[tokio::test(start_paused = true)]
async fn in_a_router_each_request_has_its_retries_on_every_route_and_connection() {
    let errors = Backoff::new(ms(1_000), ms(1_000), 1.0, 2).unwrap();
    let random = Sequence::new([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
    let policy = Policy::with_random(ByStatus, errors, Conflicts::default(), random);

    let arrivals = Arrivals::default();
    let router = Router::new()
        .route("/one", get(third_time_lucky))
        .route("/other", get(third_time_lucky))
        .layer((
            // A request with a body cannot be cloned, hence not sent twice.
            MapRequestLayer::new(|request: axum::extract::Request| request.map(drop)),
            RetryLayer::new(policy),
            MapRequestLayer::new(|request: axum::http::Request<()>| {
                request.map(|()| Body::empty())
            }),
        ))
        .with_state(arrivals.clone());

    let [mut first, mut second] = client::two_connections(router).await;
    for connection in [&mut first, &mut second] {
        for path in ["/one", "/other"] {
            assert_eq!(connection.get(path).await, (200, format!("third {path}")));
        }
    }

    // No draw comes twice: neither a route nor a connection has randomness of its own.
    let gaps = arrivals.gaps();
    assert_eq!(gaps["/one"], [100, 200, 500, 600]);
    assert_eq!(gaps["/other"], [300, 400, 700, 800]);
}

#[tokio::test(start_paused = true)]
async fn in_a_router_all_routes_and_connections_have_one_budget() {
    let purse = Purse::with(5);
    let errors = doubling(1, 1, 2);
    let policy = Policy::new(ByStatus, errors, Conflicts::default()).budget(Arc::clone(&purse));
    let router = Router::new()
        .route("/one", get(third_time_lucky))
        .route("/other", get(third_time_lucky))
        .layer((
            MapRequestLayer::new(|request: axum::extract::Request| request.map(drop)),
            RetryLayer::new(policy),
            MapRequestLayer::new(|request: axum::http::Request<()>| {
                request.map(|()| Body::empty())
            }),
        ))
        .with_state(Arrivals::default());
    let [mut first, mut second] = client::two_connections(router).await;

    // Each success costs two and brings one.
    for (path, left) in [("/one", 4), ("/other", 3)] {
        assert_eq!(first.get(path).await.0, 200);
        assert_eq!(purse.balance(), left);
    }
    assert_eq!(second.get("/one").await.0, 200);
    assert_eq!(second.get("/other").await.0, 200);
    assert_eq!(purse.balance(), 1);
    // The first of these gets as far as one retry.
    for (connection, path) in [(&mut first, "/one"), (&mut second, "/other")] {
        assert_eq!(connection.get(path).await.0, 503);
        assert_eq!(purse.balance(), 0);
    }
}

/// A backoff without jitter, in milliseconds.
fn doubling(base: u64, cap: u64, trials: u32) -> Backoff {
    doubling_of(ms(base), ms(cap), trials)
}

fn doubling_of(base: Duration, cap: Duration, trials: u32) -> Backoff {
    Backoff::new(base, cap, 0.0, trials).expect("a valid backoff")
}

fn policy(errors: Backoff) -> Policy<Told> {
    policy_for(errors, Conflicts::default())
}

fn policy_for(errors: Backoff, conflicts: Conflicts) -> Policy<Told> {
    Policy::new(Told, errors, conflicts)
}

fn with_random<R: Rng>(errors: Backoff, random: R) -> Policy<Told, R> {
    Policy::with_random(Told, errors, Conflicts::default(), random)
}

/// What became of one request.
#[derive(Debug)]
struct Run {
    /// When each attempt came, in milliseconds from the sending.
    arrivals: Vec<u128>,
    answer: Class,
}

impl Run {
    /// The time between each attempt and the next, in milliseconds.
    fn gaps(&self) -> Vec<u128> {
        self.arrivals
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect()
    }
}

/// Sends one request to a server that answers attempt after attempt by `script`, which must not
/// end before the attempts do.
async fn send<R: Rng + Send + 'static>(
    policy: Policy<Told, R>,
    script: impl IntoIterator<Item = Class>,
) -> Run {
    send_request(policy, "request", script).await
}

/// Sends one request whose deadline is in `deadline` milliseconds.
async fn send_until(
    deadline: u64,
    errors: Backoff,
    script: impl IntoIterator<Item = Class>,
) -> Run {
    let conflicts = Conflicts {
        at_once: 1,
        backoff: doubling(10, 10, 9),
        within: ms(60_000),
    };
    let until = Instant::now() + ms(deadline);
    send_request(Policy::new(Dated, errors, conflicts), Some(until), script).await
}

async fn send_request<C, R, Request>(
    policy: Policy<C, R>,
    request: Request,
    script: impl IntoIterator<Item = Class>,
) -> Run
where
    C: Classify<Request, Class, BoxError> + Clone + Send + 'static,
    R: Rng + Send + 'static,
    Request: Clone + Send + 'static,
{
    let (mock, mut handle) = mock::pair::<_, Class>();
    let start = Instant::now();
    let answer = tokio::spawn(Retry::new(policy, mock).oneshot(request));
    let mut arrivals = Vec::new();
    let mut script = script.into_iter();
    while let Some((_, reply)) = next(&mut handle).await {
        arrivals.push(start.elapsed().as_millis());
        assert!(arrivals.len() < 1_000, "it goes on for ever");
        reply.send_response(script.next().expect("no more attempts"));
    }
    let answer = ended(answer).await.expect("no panic").expect("an answer");
    Run { arrivals, answer }
}

/// Runs `work` with paused time, where a test cannot be asynchronous itself.
fn paused<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// The next request that the mocked service gets, or `None` if nobody can send it any more.
async fn next<T, U>(handle: &mut mock::Handle<T, U>) -> Option<(T, mock::SendResponse<U>)> {
    ended(handle.next_request()).await
}

/// The output of `future`; a failure, and not a test that hangs, if it never ends. Time is paused,
/// and delays may be long.
async fn ended<F: Future>(future: F) -> F::Output {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    timeout(year, future).await.expect("an end")
}

/// An error of the mocked service.
#[derive(Debug, PartialEq)]
struct Failed(Class);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed on purpose: {:?}", self.0)
    }
}

impl std::error::Error for Failed {}

/// Takes the word of the server for it: each answer, and each error, is its own class.
#[derive(Clone, Copy, Debug)]
struct Told;

impl<Request> Classify<Request, Class, BoxError> for Told {
    fn classify(&self, _: &Request, result: &Result<Class, BoxError>) -> Class {
        match result {
            Ok(class) => *class,
            Err(error) => {
                error
                    .downcast_ref::<Failed>()
                    .expect("an error of these tests")
                    .0
            }
        }
    }
}

/// The same, for requests that are their own deadlines.
#[derive(Clone, Copy, Debug)]
struct Dated;

impl Classify<Option<Instant>, Class, BoxError> for Dated {
    fn classify(&self, request: &Option<Instant>, result: &Result<Class, BoxError>) -> Class {
        Told.classify(request, result)
    }

    fn deadline(&self, request: &Option<Instant>) -> Option<Instant> {
        *request
    }
}

/// A budget in which a deposit is one retry, and that remembers what was asked of it.
#[derive(Debug)]
struct Purse {
    at_first: usize,
    looks: Mutex<Vec<Look>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Deposit,
    /// Granted or refused.
    Withdrawal,
}

impl Purse {
    fn with(balance: usize) -> Arc<Self> {
        Arc::new(Self {
            at_first: balance,
            looks: Mutex::default(),
        })
    }

    fn looks(&self) -> Vec<Look> {
        self.looks.lock().expect("no panic").clone()
    }

    /// What is left when each withdrawal got what there was.
    fn balance(&self) -> usize {
        self.looks()
            .into_iter()
            .fold(self.at_first, |balance, look| match look {
                Look::Deposit => balance + 1,
                Look::Withdrawal => balance.saturating_sub(1),
            })
    }
}

impl Budget for Purse {
    fn deposit(&self) {
        self.looks.lock().expect("no panic").push(Look::Deposit);
    }

    fn withdraw(&self) -> bool {
        let granted = self.balance() > 0;
        self.looks.lock().expect("no panic").push(Look::Withdrawal);
        granted
    }
}

/// Notes the classes of the attempts so far in the request, and in a list of its own.
#[derive(Clone, Default)]
struct Noting {
    told: Arc<Mutex<Vec<Class>>>,
}

impl Noting {
    fn told(&self) -> Vec<Class> {
        self.told.lock().expect("no panic").clone()
    }
}

impl Classify<Vec<Class>, Class, BoxError> for Noting {
    fn classify(&self, request: &Vec<Class>, result: &Result<Class, BoxError>) -> Class {
        Told.classify(request, result)
    }

    fn again(&self, request: &mut Vec<Class>, class: Class) {
        request.push(class);
        self.told.lock().expect("no panic").push(class);
    }
}

/// Gives up at the second unknown outcome.
#[derive(Clone, Copy)]
struct OneUnknown;

impl Classify<Vec<Class>, Class, BoxError> for OneUnknown {
    fn classify(&self, request: &Vec<Class>, result: &Result<Class, BoxError>) -> Class {
        match Told.classify(request, result) {
            Unknown if request.contains(&Unknown) => Done,
            class => class,
        }
    }

    fn again(&self, request: &mut Vec<Class>, class: Class) {
        request.push(class);
    }
}

/// Is content with anything.
#[derive(Clone, Copy)]
struct AllDone;

impl<Request, Response, Error> Classify<Request, Response, Error> for AllDone {
    fn classify(&self, _: &Request, _: &Result<Response, Error>) -> Class {
        Done
    }
}

/// Tries again whatever an overloaded server answered.
#[derive(Clone, Copy)]
struct ByStatus;

impl<Request, B, Error> Classify<Request, Response<B>, Error> for ByStatus {
    fn classify(&self, _: &Request, result: &Result<Response<B>, Error>) -> Class {
        match result {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => NotDone,
            _ => Done,
        }
    }
}

/// Draws the numbers it was given, and cannot be cloned.
struct Sequence(Box<dyn Iterator<Item = f64> + Send>);

impl Sequence {
    fn new(draws: impl IntoIterator<Item = f64, IntoIter: Send + 'static>) -> Self {
        Self(Box::new(draws.into_iter()))
    }
}

impl Rng for Sequence {
    fn next_u64(&mut self) -> u64 {
        unreachable!("only fractions are drawn")
    }

    fn next_f64(&mut self) -> f64 {
        self.0.next().expect("no more draws")
    }
}

/// SplitMix64 (Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
struct Seeded(u64);

impl Rng for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// When the attempts came to each route.
#[derive(Clone, Default)]
struct Arrivals {
    by_path: Arc<Mutex<HashMap<String, Vec<Instant>>>>,
}

impl Arrivals {
    /// Notes an attempt, and returns how many there have been.
    fn note(&self, path: &str) -> usize {
        let mut by_path = self.by_path.lock().expect("no panic");
        let arrivals = by_path.entry(path.to_owned()).or_default();
        arrivals.push(Instant::now());
        arrivals.len()
    }

    /// The milliseconds between the attempts of each request, three of which are one request.
    fn gaps(&self) -> HashMap<String, Vec<u128>> {
        let gap = |pair: &[Instant]| (pair[1] - pair[0]).as_millis();
        let gaps = |all: &Vec<Instant>| {
            all.chunks(3)
                .flat_map(|request| request.windows(2).map(gap))
                .collect()
        };
        let by_path = self.by_path.lock().expect("no panic");
        by_path
            .iter()
            .map(|(path, all)| (path.clone(), gaps(all)))
            .collect()
    }
}

async fn third_time_lucky(State(arrivals): State<Arrivals>, uri: Uri) -> (StatusCode, String) {
    match arrivals.note(uri.path()) % 3 {
        0 => (StatusCode::OK, format!("third {uri}")),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "busy".to_owned()),
    }
}
