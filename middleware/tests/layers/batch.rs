//! What [`Batch`] promises: requests share a batch, and nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::pending;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::common::client;
use crate::common::failing::{Failed, policy};
use crate::common::waiting::{ended, ms, next, polled};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use proptest::prelude::*;
use resilient::batch::{Batch, BatchFailed, BatchLayer, Full, Limits, Lost, ResponseFuture};
use resilient::detach::Tracker;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower::retry::Retry;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

// Answers

#[tokio::test(start_paused = true)]
async fn each_caller_gets_its_own_answer_be_it_an_error_beside_successes() {
    let (service, mut handle) = batched(limits(10));
    let [one, two, three] = calls(&service, [1, 2, 3]);

    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [1, 2, 3]);
    reply.send_response(vec![Ok(10), Err(Failed("two")), Ok(30)]);

    // The last asks first: whose answer it is does not depend on who looks.
    assert_eq!(ended(three).await.unwrap(), 30);
    let error = ended(two).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("two")));
    assert_eq!(ended(one).await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_as_it_is() {
    let (mock, mut handle) = mock::pair::<Vec<()>, Vec<Result<Arc<str>, Failed>>>();
    let answer = BatchLayer::new(limits(10)).layer(mock).call(());
    let original: Arc<str> = "answer".into();
    let (_, reply) = next(&mut handle).await.unwrap();
    reply.send_response(vec![Ok(Arc::clone(&original))]);
    assert!(Arc::ptr_eq(&ended(answer).await.unwrap(), &original));
}

// Batches

#[tokio::test(start_paused = true)]
async fn what_arrives_while_a_batch_is_under_way_is_the_next_batch_in_order() {
    let (service, mut handle) = batched(limits(10));
    let [first] = calls(&service, [0]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [0]);

    let mut others = Vec::new();
    for n in [5, 3, 4, 1, 2] {
        others.extend(calls(&service, [n]));
        settled().await;
    }
    idle(&mut handle).await;

    reply.send_response(tenfold(&batch));
    assert_eq!(ended(first).await.unwrap(), 0);
    assert_eq!(serve(&mut handle).await, [5, 3, 4, 1, 2]);
    assert_eq!(all(others).await, [50, 30, 40, 10, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_alone_waits_for_nobody() {
    let (service, mut handle) = batched(limits(10));
    let start = Instant::now();
    for n in 0..3 {
        let [answer] = calls(&service, [n]);
        assert_eq!(serve(&mut handle).await, [n]);
        assert_eq!(ended(answer).await.unwrap(), 10 * n);
    }
    assert_eq!(start.elapsed(), ms(0), "there is no timer");
}

#[tokio::test(start_paused = true)]
async fn requests_that_tasks_are_about_to_make_are_in_the_batch() {
    let (service, mut handle) = batched(limits(1_000));
    let first = calls(&service, [0]);
    for n in 1..500 {
        tokio::spawn(service.clone().oneshot(n));
    }
    assert_eq!(serve(&mut handle).await, (0..500).collect::<Vec<_>>());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_while_more_keep_coming() {
    let (mut service, mut handle) = batched(limits(1_000));
    let task = tokio::spawn(async move {
        let mut answers = Vec::new();
        for n in 0..20 {
            answers.push(service.call(n));
            yield_now().await;
        }
        all(answers).await
    });
    assert_eq!(serve(&mut handle).await, (0..20).collect::<Vec<_>>());
    assert_eq!(ended(task).await.unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn callers_that_come_again_when_they_are_answered_share_each_batch() {
    let (service, mut handle) = batched(limits(1_000));
    for n in 0..12 {
        let service = service.clone();
        tokio::spawn(async move {
            for _ in 0..3 {
                assert_eq!(ended(service.clone().oneshot(n)).await.unwrap(), 10 * n);
                // Some have a longer way than others.
                for _ in 0..n % 3 {
                    tokio::spawn(yield_now()).await.unwrap();
                }
            }
        });
    }
    for round in 0..3 {
        assert_eq!(serve(&mut handle).await.len(), 12, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_enough_goes_when_it_has_half_of_those_who_wait() {
    let (service, mut handle) = batched(limits(1_000).enough(4).unwrap());
    let answers = calls(&service, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(serve(&mut handle).await, [0, 1, 2, 3, 4]);
    assert_eq!(serve(&mut handle).await, [5, 6, 7, 8]);
    assert_eq!(serve(&mut handle).await, [9]);
    assert_eq!(all(answers).await, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
}

// Limits of a batch

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_in_count() {
    let (service, mut handle) = batched(limits(3));
    let answers = calls(&service, [1, 2, 3, 4, 5, 6, 7, 8]);
    for batch in [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8]] {
        assert_eq!(serve(&mut handle).await, batch);
    }
    idle(&mut handle).await;
    assert_eq!(all(answers).await, [10, 20, 30, 40, 50, 60, 70, 80]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_in_weight_and_nothing_is_lost_or_overtaken() {
    let (service, mut handle) = layered(by_weight(limits(100), 10));
    let answers = calls(&service, [4, 6, 5, 4, 2, 10, 9]);
    for batch in [vec![4, 6], vec![5, 4], vec![2], vec![10], vec![9]] {
        assert_eq!(serve(&mut handle).await, batch);
    }
    idle(&mut handle).await;
    assert_eq!(all(answers).await, [40, 60, 50, 40, 20, 100, 90]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_heavy_by_itself_goes_alone() {
    let (service, mut handle) = layered(by_weight(limits(100), 10));
    // What weighs nothing is no company for it, either.
    let answers = calls(&service, [0, 11, 0, 1, 99, 50, 3]);
    for batch in [vec![0], vec![11], vec![0, 1], vec![99], vec![50], vec![3]] {
        assert_eq!(serve(&mut handle).await, batch);
    }
    assert_eq!(all(answers).await, [0, 110, 0, 10, 990, 500, 30]);
}

#[tokio::test(start_paused = true)]
async fn weights_beyond_all_bounds_are_added_up() {
    let weigh = |&n: &u32| if n == 1 { usize::MAX } else { 5 };
    let (service, mut handle) = layered(BatchLayer::new(limits(100)).weighing(10, weigh));
    let answers = calls(&service, [1, 2, 3, 1, 1]);
    for batch in [vec![1], vec![2, 3], vec![1], vec![1]] {
        assert_eq!(serve(&mut handle).await, batch);
    }
    assert_eq!(all(answers).await, [10, 20, 30, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn the_tighter_of_count_and_weight_cuts() {
    let (service, mut handle) = layered(by_weight(limits(3), 10));
    let answers = calls(&service, [1, 1, 1, 8, 1, 8, 2, 0]);
    for batch in [vec![1, 1, 1], vec![8, 1], vec![8, 2, 0]] {
        assert_eq!(serve(&mut handle).await, batch);
    }
    assert_eq!(all(answers).await.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_over_shares_its_batch_with_what_comes_after_it() {
    let (service, mut handle) = layered(by_weight(limits(100), 10));
    let mut answers = Vec::from(calls(&service, [6, 5]));
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [6]);

    answers.extend(calls(&service, [4, 1]));
    settled().await;
    reply.send_response(tenfold(&batch));
    assert_eq!(serve(&mut handle).await, [5, 4, 1]);
    assert_eq!(all(answers).await, [60, 50, 40, 10]);
}

#[test]
fn a_limit_of_zero_is_refused() {
    let refusals = [
        (Limits::new(0), "requests in a batch"),
        (limits(1).admitted(0), "admitted requests"),
        (limits(1).in_flight(0), "batches in flight"),
        (limits(1).enough(0), "requests that are enough"),
    ];
    for (refusal, of) in refusals {
        assert_eq!(
            refusal.unwrap_err().to_string(),
            format!("the limit of {of} must be at least 1")
        );
    }
    let most = limits(usize::MAX).admitted(usize::MAX).unwrap();
    assert!(most.in_flight(1).is_ok());
}

// Places

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_is_refused_in_the_call() {
    // In this order, for one limit must not undo the other.
    let limits = limits(1).admitted(2).unwrap().in_flight(1).unwrap();
    let (mut service, mut handle) = batched(limits);
    let answers = calls(&service, [1, 2]);
    // One is under way, the other waits: both count.
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(service.admitted(), 2);

    let ready = std::future::poll_fn(|cx| service.poll_ready(cx));
    assert!(polled(pin!(ready)).await.is_ready(), "always ready");
    let [refused] = calls(&service, [3]);
    let Poll::Ready(Err(error)) = polled(pin!(refused)).await else {
        panic!("not refused at once")
    };
    assert!(error.is::<Full>(), "{error}");
    assert_eq!(
        error.to_string(),
        "2 requests wait or are under way already"
    );
    assert_eq!(service.admitted(), 2, "a refusal takes no place");

    reply.send_response(tenfold(&batch));
    assert_eq!(serve(&mut handle).await, [2]);
    assert_eq!(all(answers).await, [10, 20]);
    idle(&mut handle).await;
}

#[tokio::test(start_paused = true)]
async fn ten_batches_have_a_place_unless_it_is_said_otherwise() {
    let (service, _handle) = batched(limits(2));
    let _answers = calls(&service, [0; 20]);
    let [refused] = calls(&service, [0]);
    assert!(ended(refused).await.unwrap_err().is::<Full>());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_before_its_caller_is_told_of_the_end() {
    let ends = [
        "answer",
        "error",
        "too few answers",
        "failure",
        "no readiness",
        "panic",
        "panic of the call",
        "end of the worker",
        "no worker at all",
    ];
    for end in ends {
        let (mock, mut handle) = mock::pair::<Vec<u32>, Vec<Result<u32, Failed>>>();
        let inner = mock
            .map_request(|batch: Vec<u32>| match batch[0] {
                PANIC_OF_CALL => resume_unwind(Box::new("on purpose")),
                _ => batch,
            })
            .map_response(|answers| match answers[..] {
                [Err(Failed("panic"))] => resume_unwind(Box::new("on purpose")),
                _ => answers,
            });
        let (service, worker) = Batch::pair(inner, limits(2).admitted(2).unwrap());
        let request = if end == "panic of the call" {
            PANIC_OF_CALL
        } else {
            1
        };

        let [mut first, mut last] = calls(&service, [request, 2]);
        let at_first = Witness::of(&service, &mut first);
        let at_last = Witness::of(&service, &mut last);
        assert_eq!(service.admitted(), 2, "{end}");

        match end {
            "no readiness" => handle.send_error(Failed("not ready")),
            "end of the worker" => handle.allow(0),
            _ => {}
        }
        let worker = match end {
            "no worker at all" => tokio::spawn(async { drop(worker) }),
            _ => tokio::spawn(worker.run()),
        };
        settled().await;
        if let Poll::Ready(Some((_, reply))) = polled(pin!(handle.next_request())).await {
            match end {
                "answer" => reply.send_response(vec![Ok(10), Ok(20)]),
                "error" => reply.send_response(vec![Err(Failed("one")), Err(Failed("two"))]),
                "too few answers" => reply.send_response(vec![Ok(10)]),
                "panic" => reply.send_response(vec![Err(Failed("panic"))]),
                _ => reply.send_error(Failed("whole batch")),
            }
        }
        worker.abort();
        settled().await;

        assert!(polled(Pin::new(&mut first)).await.is_ready(), "{end}");
        assert!(polled(Pin::new(&mut last)).await.is_ready(), "{end}");
        assert_eq!((at_first.saw(), at_last.saw()), (1, 0), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_by_a_caller_who_has_gone() {
    let (service, mut handle) = batched(limits(1).admitted(3).unwrap());
    let [under_way, held, waiting] = calls(&service, [1, 2, 3]);
    let (batch, reply) = next(&mut handle).await.unwrap();

    // It goes on, so it keeps its place; and the queue is looked at when it is done.
    drop((under_way, waiting));
    settled().await;
    assert_eq!(service.admitted(), 3);

    reply.send_response(tenfold(&batch));
    assert_eq!(serve(&mut handle).await, [2]);
    assert_eq!(ended(held).await.unwrap(), 20);
    settled().await;
    assert_eq!(service.admitted(), 0);
    let answers = calls(&service, [4, 5, 6]);
    for n in [4, 5, 6] {
        assert_eq!(serve(&mut handle).await, [n]);
    }
    assert_eq!(all(answers).await, [40, 50, 60]);
}

// Batches at a time

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_begin_before_the_one_before_it_is_done() {
    let (service, mut handle) = batched(limits(1));
    let answers = calls(&service, [1, 2, 3]);
    for n in 1..=3 {
        let (batch, reply) = next(&mut handle).await.unwrap();
        assert_eq!(batch, [n]);
        idle(&mut handle).await;
        reply.send_response(tenfold(&batch));
    }
    assert_eq!(all(answers).await, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn as_many_batches_as_are_allowed_overlap_and_may_overtake_each_other() {
    let limits = limits(1).in_flight(2).unwrap().admitted(3).unwrap();
    let (service, mut handle) = batched(limits);
    let [mut one, two, three] = calls(&service, [1, 2, 3]);
    let (first, first_reply) = next(&mut handle).await.unwrap();
    let (second, second_reply) = next(&mut handle).await.unwrap();
    assert_eq!((&first[..], &second[..]), (&[1][..], &[2][..]));
    idle(&mut handle).await;

    second_reply.send_response(tenfold(&second));
    assert_eq!(ended(two).await.unwrap(), 20);
    assert!(polled(Pin::new(&mut one)).await.is_pending());
    assert_eq!(serve(&mut handle).await, [3]);
    assert_eq!(ended(three).await.unwrap(), 30);

    first_reply.send_response(tenfold(&first));
    assert_eq!(ended(one).await.unwrap(), 10);
}

// Callers that go

#[tokio::test(start_paused = true)]
async fn a_request_without_a_caller_is_skipped_before_its_batch_is_cut() {
    let (service, mut handle) = layered(by_weight(limits(3), 10));
    let [first, one, two, three, four, five] = calls(&service, [10, 4, 3, 3, 2, 1]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [10]);
    // The first of the batch, which is held over, and one in the middle.
    drop((one, three));

    reply.send_response(tenfold(&batch));
    // They take up neither count nor weight.
    assert_eq!(serve(&mut handle).await, [3, 2, 1]);
    assert_eq!(all([first, two, four, five]).await, [100, 30, 20, 10]);
}

#[tokio::test(start_paused = true)]
async fn those_who_have_gone_weigh_nothing() {
    let (service, mut handle) = layered(by_weight(limits(100), 10));
    let [one, gone, two] = calls(&service, [4, 9, 6]);
    drop(gone);
    assert_eq!(serve(&mut handle).await, [4, 6]);
    assert_eq!(all([one, two]).await, [40, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_nobody_is_not_sent() {
    let (service, mut handle) = batched(limits(3));
    for _ in 0..3 {
        drop(calls(&service, [1, 2, 3, 4, 5]));
        idle(&mut handle).await;
        assert_eq!(service.admitted(), 0);
    }
    let [answer] = calls(&service, [6]);
    assert_eq!(serve(&mut handle).await, [6]);
    assert_eq!(ended(answer).await.unwrap(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_batch_was_cut_goes_on_without_its_caller() {
    for stage in ["waits for readiness", "under way"] {
        let (service, mut handle) = batched(limits(10));
        handle.allow(0);
        let [one, two, three] = calls(&service, [1, 2, 3]);
        settled().await;
        if stage == "under way" {
            handle.allow(1);
            settled().await;
        }
        drop(two);
        settled().await;
        handle.allow(1);

        assert_eq!(serve(&mut handle).await, [1, 2, 3], "{stage}");
        assert_eq!(all([one, three]).await, [10, 30], "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_finished_though_all_its_callers_have_gone() {
    let done = Arc::new(Mutex::new(Vec::<u32>::new()));
    let inner = {
        let done = Arc::clone(&done);
        service_fn(move |batch: Vec<u32>| {
            let done = Arc::clone(&done);
            async move {
                sleep(ms(100)).await;
                done.lock().unwrap().extend(&batch);
                Ok::<_, Infallible>(tenfold(&batch))
            }
        })
    };
    let service = BatchLayer::new(limits(10)).layer(inner);
    let answers = calls(&service, [1, 2]);
    settled().await;
    drop((answers, service));

    sleep(ms(200)).await;
    assert_eq!(*done.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_ends_the_waiting_of_one_caller_only() {
    let (service, mut handle) = batched(limits(10));
    let impatient = resilient::timeout::Timeout::new(service.clone(), ms(100)).oneshot(1);
    let impatient = tokio::spawn(impatient);
    let patient = tokio::spawn(service.oneshot(2));

    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [1, 2]);
    let error = ended(impatient).await.unwrap().unwrap_err();
    assert!(error.is::<resilient::timeout::Elapsed>(), "{error}");

    reply.send_response(tenfold(&batch));
    assert_eq!(ended(patient).await.unwrap().unwrap(), 20);
}

// What does not end well

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_batch_is_that_of_each_caller_with_its_cause() {
    let (service, mut handle) = batched(limits(10));
    let answers = calls(&service, [1, 2, 3]);
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_error(Failed("whole batch"));
    for answer in answers {
        let error = ended(answer).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the batch of the request failed as a whole"
        );
        assert_eq!(cause(&error), &Failed("whole batch"));
        let kept: BatchFailed = error.downcast_ref::<BatchFailed>().unwrap().clone();
        drop(error);
        assert_eq!(cause(&kept.into()), &Failed("whole batch"));
    }
    let [answer] = calls(&service, [4]);
    assert_eq!(serve(&mut handle).await, [4]);
    assert_eq!(ended(answer).await.unwrap(), 40);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_that_of_its_batch_and_the_next_asks_again() {
    let (service, mut handle) = batched(limits(2));
    for round in 0..3 {
        handle.send_error(Failed("not ready"));
        let [one, two, three] = calls(&service, [1, 2, 3]);
        for answer in [one, two] {
            let error = ended(answer).await.unwrap_err();
            assert!(error.is::<BatchFailed>(), "{error}");
            assert_eq!(cause(&error), &Failed("not ready"), "round {round}");
        }
        assert_eq!(serve(&mut handle).await, [3], "round {round}");
        assert_eq!(ended(three).await.unwrap(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_to_the_callers_of_its_batch_and_to_nobody_else() {
    let (mock, mut handle) = mock::pair::<Vec<u32>, Vec<Result<u32, Failed>>>();
    let inner = mock.map_response(|answers| match answers[..] {
        [] => panic!("on purpose"),
        _ => answers,
    });
    let service = BatchLayer::new(limits(2).in_flight(2).unwrap()).layer(inner);
    let [lost, too, beside, as_well, after] = calls(&service, [1, 2, 3, 4, 5]);
    let (_, panics) = next(&mut handle).await.unwrap();
    let (batch, reply) = next(&mut handle).await.unwrap();

    panics.send_response(Vec::new());
    for lost in [lost, too] {
        let error = ended(lost).await.unwrap_err();
        assert!(error.is::<Lost>(), "{error}");
        assert_eq!(
            error.to_string(),
            "the batch of the request ended without an answer to it"
        );
    }
    // The flight is over, too.
    assert_eq!(serve(&mut handle).await, [5]);
    assert_eq!(ended(after).await.unwrap(), 50);
    reply.send_response(tenfold(&batch));
    assert_eq!(all([beside, as_well]).await, [30, 40]);
}

#[tokio::test(start_paused = true)]
async fn who_is_left_without_an_answer_is_lost() {
    let (service, mut handle) = batched(limits(10));
    let [one, two, three] = calls(&service, [1, 2, 3]);
    let (_, reply) = next(&mut handle).await.unwrap();
    reply.send_response(vec![Ok(10)]);

    assert_eq!(ended(one).await.unwrap(), 10);
    for answer in [two, three] {
        let error = ended(answer).await.unwrap_err();
        assert!(error.is::<Lost>(), "{error}");
    }

    // An answer too many is nobody's.
    let [one] = calls(&service, [1]);
    let (_, reply) = next(&mut handle).await.unwrap();
    reply.send_response(vec![Ok(10), Ok(20)]);
    assert_eq!(ended(one).await.unwrap(), 10);
    let [two] = calls(&service, [2]);
    assert_eq!(serve(&mut handle).await, [2]);
    assert_eq!(ended(two).await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_call_nothing_is_done_and_nobody_waits_in_vain() {
    let inner = service_fn(|_: Vec<u32>| -> std::future::Ready<Reply> { panic!("on purpose") });
    let service = BatchLayer::new(limits(2)).layer(inner);
    let before = calls(&service, [1, 2, 3]);
    for answer in before {
        assert!(ended(answer).await.unwrap_err().is::<Lost>());
    }
    for _ in 0..50 {
        let [after] = calls(&service, [4]);
        assert!(ended(after).await.unwrap_err().is::<Lost>());
    }
    assert_eq!(service.admitted(), 0);
}

#[test]
fn what_is_cut_off_by_the_end_of_its_runtime_is_lost() {
    let inner = service_fn(|_: Vec<u32>| pending::<Reply>());
    let other = runtime();
    let service = {
        let _inside = other.enter();
        BatchLayer::new(limits(1)).layer(inner)
    };
    let [under_way, waiting] = calls(&service, [1, 2]);
    other.block_on(settled());
    drop(other);

    let [late] = calls(&service, [3]);
    for answer in [under_way, waiting, late] {
        let error = runtime().block_on(answer).unwrap_err();
        assert!(error.is::<Lost>(), "{error}");
    }
    assert_eq!(service.admitted(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_unless_the_worker_runs() {
    let (mock, mut handle) = mock::pair();
    let (service, worker) = Batch::pair(mock, limits(10));
    let [mut answer] = calls(&service, [1]);
    idle(&mut handle).await;
    assert!(polled(Pin::new(&mut answer)).await.is_pending());

    let run = tokio::spawn(worker.run());
    assert_eq!(serve(&mut handle).await, [1]);
    assert_eq!(ended(answer).await.unwrap(), 10);
    drop(service);
    ended(run).await.unwrap();

    let (mock, _handle) = mock::pair::<Vec<u32>, Vec<Result<u32, Failed>>>();
    let (service, worker) = Batch::<u32, u32>::pair(mock, limits(10));
    let [before] = calls(&service, [1]);
    drop(worker);
    let [after] = calls(&service, [2]);
    for answer in [before, after] {
        assert!(ended(answer).await.unwrap_err().is::<Lost>());
    }
}

// Ends

#[tokio::test(start_paused = true)]
async fn the_worker_ends_with_the_last_clone_when_what_waits_is_answered() {
    let (service, mut handle) = layered(by_weight(limits(2), 10));
    let clone = service.clone();
    // The last one is held over by then.
    let answers = calls(&service, [1, 2, 3, 8]);
    drop(service);
    assert_eq!(serve(&mut handle).await, [1, 2]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [3]);
    drop(clone);
    settled().await;

    reply.send_response(tenfold(&batch));
    assert_eq!(serve(&mut handle).await, [8]);
    assert_eq!(all(answers).await, [10, 20, 30, 80]);
    assert!(
        next(&mut handle).await.is_none(),
        "the inner service is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn the_worker_stays_as_long_as_there_is_a_clone() {
    let (service, mut handle) = batched(limits(2));
    let clone = service.clone();
    drop(service);
    idle(&mut handle).await;
    let [answer] = calls(&clone, [1]);
    drop(clone);
    assert_eq!(serve(&mut handle).await, [1]);
    assert_eq!(ended(answer).await.unwrap(), 10);
    assert!(next(&mut handle).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_at_any_point_leave_nothing_behind() {
    for point in ["waits", "cut, and not ready", "under way"] {
        let token = Arc::new(());
        let (service, mut handle) = tokens(&token);
        if point == "cut, and not ready" {
            handle.allow(0);
        }
        // The second is held over.
        let answers = [(); 3].map(|()| service.clone().call(Arc::clone(&token)));
        if point != "waits" {
            settled().await;
        }
        drop((answers, service));
        handle.allow(1);

        let mut batches = 0;
        while let Some((_, reply)) = next(&mut handle).await {
            reply.send_response(vec![Ok(())]);
            batches += 1;
        }
        settled().await;
        assert_eq!(batches, usize::from(point != "waits"), "{point}");
        assert_eq!(Arc::strong_count(&token), 1, "{point}");
    }
}

#[test]
fn a_runtime_that_goes_at_any_point_leaves_nothing_behind() {
    for point in ["waits", "cut, and not ready", "under way", "answered"] {
        let token = Arc::new(());
        let other = runtime();
        let (service, mut handle) = {
            let _inside = other.enter();
            tokens(&token)
        };
        if point == "cut, and not ready" {
            handle.allow(0);
        }
        let answers = [(); 3].map(|()| service.clone().call(Arc::clone(&token)));
        if point != "waits" {
            other.block_on(settled());
        }
        if point == "answered" {
            let (_, reply) = other.block_on(next(&mut handle)).unwrap();
            reply.send_response(vec![Ok(())]);
            other.block_on(settled());
        }

        drop(other);
        // What the mocked service has got is not the layer's any more.
        drop(handle);
        assert_eq!(Arc::strong_count(&token), 1, "{point}");
        assert_eq!(service.admitted(), 0, "{point}");
        let lost = answers
            .into_iter()
            .map(|answer| runtime().block_on(answer))
            .filter(Result::is_err)
            .count();
        assert_eq!(lost, if point == "answered" { 2 } else { 3 }, "{point}");
    }
}

// Counting

#[tokio::test(start_paused = true)]
async fn the_tracker_counts_batches_and_waits_for_the_last() {
    let tracker = Tracker::new();
    let layer = BatchLayer::new(limits(2).in_flight(2).unwrap()).tracked(tracker.clone());
    let (service, mut handle) = layered(layer);
    assert_eq!(tracker.in_flight(), 0);
    let answers = calls(&service, [1, 2, 3, 4]);
    let (first, first_reply) = next(&mut handle).await.unwrap();
    let (second, second_reply) = next(&mut handle).await.unwrap();
    assert_eq!(tracker.in_flight(), 2, "batches, not requests");

    // Nobody else waits for them.
    drop((answers, service));
    let mut closing = Box::pin(tracker.close_and_wait());
    settled().await;
    assert!(polled(closing.as_mut()).await.is_pending());
    second_reply.send_response(tenfold(&second));
    settled().await;
    assert_eq!(tracker.in_flight(), 1);
    assert!(polled(closing.as_mut()).await.is_pending());

    first_reply.send_error(Failed(if first == [1, 2] { "first" } else { "?" }));
    ended(closing).await;
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn neither_waiting_nor_readiness_nor_a_panic_is_counted() {
    let tracker = Tracker::new();
    let (mock, mut handle) = mock::pair::<Vec<u32>, Vec<Result<u32, Failed>>>();
    let inner = mock.map_response(|answers| match answers[..] {
        [] => resume_unwind(Box::new("on purpose")),
        _ => answers,
    });
    let service = BatchLayer::new(limits(1))
        .tracked(tracker.clone())
        .layer(inner);
    handle.allow(0);
    let answers = calls(&service, [1, 2]);
    settled().await;
    assert_eq!(tracker.in_flight(), 0);

    handle.allow(1);
    let (_, reply) = next(&mut handle).await.unwrap();
    assert_eq!(tracker.in_flight(), 1);
    reply.send_response(Vec::new());
    settled().await;
    assert_eq!(tracker.in_flight(), 0);
    drop(answers);
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_batch_goes_to_the_very_instance_that_was_ready() {
    for in_flight in 1..=2 {
        let (service, mut handle) = batched(limits(10).in_flight(in_flight).unwrap());
        for round in 0..3 {
            handle.allow(0);
            let [answer] = calls(&service, [round]);
            idle(&mut handle).await;
            handle.allow(1);
            // The mock panics if it was never asked.
            assert_eq!(serve(&mut handle).await, [round]);
            assert_eq!(ended(answer).await.unwrap(), 10 * round);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clones_share_a_queue_and_services_of_one_layer_do_not() {
    let layer = BatchLayer::new(limits(10).admitted(2).unwrap());
    let (one, mut handle) = layered(layer.clone());
    let (other, mut other_handle) = layered(layer);
    let clone = one.clone();

    let answers = [calls(&one, [1]), calls(&clone, [2])];
    assert_eq!((one.admitted(), clone.admitted()), (2, 2));
    assert_eq!(other.admitted(), 0);
    let [apart] = calls(&other, [3]);
    let [refused] = calls(&clone, [4]);
    assert!(ended(refused).await.unwrap_err().is::<Full>());

    assert_eq!(serve(&mut handle).await, [1, 2]);
    assert_eq!(serve(&mut other_handle).await, [3]);
    assert_eq!(all(answers.into_iter().flatten()).await, [10, 20]);
    assert_eq!(ended(apart).await.unwrap(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_layer_has_its_limits_its_weights_and_its_tracker() {
    let tracker = Tracker::new();
    let limits = limits(2).in_flight(2).unwrap();
    let layer = by_weight(limits, 10).tracked(tracker.clone()).clone();
    let (service, mut handle) = layered(layer);
    let _answers = calls(&service, [1, 2, 3, 8]);
    let (batch, _reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [1, 2]);
    let (batch, _reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [3]);
    assert_eq!(tracker.in_flight(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_below_tries_the_same_batch_again() {
    let (mock, mut handle) = mock::pair();
    let service = BatchLayer::new(limits(2)).layer(Retry::new(policy(ms(0), 1), mock));
    let answers = calls(&service, [1, 2, 3]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [1, 2]);
    reply.send_error(Failed("once"));
    assert_eq!(serve(&mut handle).await, [1, 2]);
    assert_eq!(serve(&mut handle).await, [3]);
    assert_eq!(all(answers).await, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_above_makes_a_new_request() {
    let (service, mut handle) = batched(limits(2));
    let again = tokio::spawn(Retry::new(policy(ms(0), 1), service.clone()).oneshot(1));
    settled().await;
    let [waiting] = calls(&service, [2]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, [1]);
    reply.send_response(vec![Err(Failed("once"))]);
    // Of the next batch, behind those who waited already.
    assert_eq!(serve(&mut handle).await, [2, 1]);
    assert_eq!(ended(again).await.unwrap().unwrap(), 10);
    assert_eq!(ended(waiting).await.unwrap(), 20);
}

#[tokio::test]
async fn in_a_router_all_routes_and_connections_share_one_service() {
    let (mock, mut handle) = mock::pair::<Vec<String>, Vec<Result<String, Failed>>>();
    let site = Site::new(BatchLayer::new(limits(10)).layer(mock));
    let [mut one, mut other] = client::two_connections(site.router()).await;

    for round in 0..3 {
        let [first] = calls(&site.service, ["first".to_owned()]);
        let (batch, reply) = next(&mut handle).await.unwrap();
        assert_eq!(batch, ["first"]);
        one.send("/wall").await;
        arrived(&site.service, 2).await;
        other.send("/roof").await;
        arrived(&site.service, 3).await;
        reply.send_response(vec![Ok("done".to_owned())]);
        assert_eq!(ended(first).await.unwrap(), "done");

        let (batch, reply) = next(&mut handle).await.unwrap();
        assert_eq!(batch, ["/wall", "/roof"], "round {round}");
        reply.send_response(vec![Ok("a wall".to_owned()), Err(Failed("no roof"))]);
        assert_eq!(one.answer().await, (200, "a wall".to_owned()));
        let failed = Failed("no roof").to_string();
        assert_eq!(other.answer().await, (500, failed));
    }

    let fails = async {
        let (_, reply) = next(&mut handle).await.unwrap();
        reply.send_error(Failed("whole batch"));
    };
    let (answer, ()) = tokio::join!(one.get("/roof"), fails);
    let failed = "the batch of the request failed as a whole";
    assert_eq!(answer, (500, failed.to_owned()));
}

#[tokio::test]
async fn in_a_router_a_hang_up_skips_what_waits_and_cuts_nothing_off() {
    let tracker = Tracker::new();
    let (mock, mut handle) = mock::pair::<Vec<String>, Vec<Result<String, Failed>>>();
    let layer = BatchLayer::new(limits(10)).tracked(tracker.clone());
    let site = Site::new(layer.layer(mock));
    let [mut under_way, mut staying] = client::two_connections(site.router()).await;
    let [mut waiting, _] = client::two_connections(site.router()).await;

    under_way.send("/wall").await;
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, ["/wall"]);
    waiting.send("/wall").await;
    arrived(&site.service, 2).await;
    staying.send("/roof").await;
    arrived(&site.service, 3).await;

    for leaving in [under_way, waiting] {
        drop(leaving);
        ended(site.gone.notified()).await;
    }
    assert_eq!(tracker.in_flight(), 1, "the handler is gone, not its batch");

    reply.send_response(vec![Ok("for nobody".to_owned())]);
    let (batch, reply) = next(&mut handle).await.unwrap();
    assert_eq!(batch, ["/roof"]);
    reply.send_response(vec![Ok("a roof".to_owned())]);
    assert_eq!(staying.answer().await, (200, "a roof".to_owned()));
    assert_eq!(site.service.admitted(), 0);
}

// Whatever happens

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_request_is_answered_once_by_its_own_answer_or_was_given_up(
        requests in 1_usize..6, most in 1_usize..20, admitted in 1_usize..30, in_flight in 1_usize..4,
        callers in prop::collection::vec(any_caller(), 1..60),
        turns in prop::collection::vec(any_turn(), 1..10),
    ) {
        let limits = limits(requests).admitted(admitted).unwrap().in_flight(in_flight).unwrap();
        let run = runtime().block_on(run(limits, admitted, most, callers, turns));
        run.check(requests, most, in_flight);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_each_caller_gets_its_own_answer() {
    let under_way = Arc::new(AtomicUsize::new(0));
    let inner = service_fn(move |batch: Vec<u32>| {
        let under_way = Arc::clone(&under_way);
        async move {
            assert!(batch.len() <= 8);
            assert!(under_way.fetch_add(1, Ordering::SeqCst) < 2);
            yield_now().await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(tenfold(&batch))
        }
    });
    let service = BatchLayer::new(limits(8).in_flight(2).unwrap()).layer(inner);

    let callers = (0..40).map(|caller| {
        let service = service.clone();
        tokio::spawn(async move {
            for n in 1_000 * caller..1_000 * caller + 250 {
                let answer = service.clone().oneshot(n);
                match n % 5 {
                    // It gives up at once, or soon.
                    0 => drop(patient(answer, n % 3).await),
                    _ => assert_eq!(answer.await.unwrap(), 10 * n),
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        ended(caller).await.unwrap();
    }
    ended(async {
        while service.admitted() > 0 {
            yield_now().await;
        }
    })
    .await;
}

/// What a caller of the random run does.
#[derive(Clone, Debug)]
struct Caller {
    weight: usize,
    /// Turns that pass before it calls.
    comes: u32,
    /// Turns that it waits, if it is not patient.
    goes: Option<u32>,
    /// Its request is refused by the inner service.
    refused: bool,
}

fn any_caller() -> impl Strategy<Value = Caller> {
    let goes = prop::option::weighted(0.3, 0_u32..12);
    (0_usize..25, 0_u32..30, goes, prop::bool::weighted(0.2)).prop_map(
        |(weight, comes, goes, refused)| Caller {
            weight,
            comes,
            goes,
            refused,
        },
    )
}

/// What the inner service of the random run does with a batch.
#[derive(Clone, Debug)]
struct Turn {
    /// So often it is asked in vain whether it is ready.
    busy: u32,
    takes: u32,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    /// There are so many answers at most.
    Short(usize),
    NotReady,
    Failed,
    Panics,
}

fn any_turn() -> impl Strategy<Value = Turn> {
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        1 => (0_usize..4).prop_map(Fate::Short),
        1 => Just(Fate::NotReady),
        1 => Just(Fate::Failed),
        1 => Just(Fate::Panics),
    ];
    (0_u32..3, 0_u32..6, fate).prop_map(|(busy, takes, fate)| Turn { busy, takes, fate })
}

/// A request of the random run.
#[derive(Clone, Debug)]
struct Request {
    /// In the order of the calls.
    n: u32,
    weight: usize,
    refused: bool,
    _token: Arc<()>,
}

/// How a call of the random run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Answered(u32),
    Refused(u32),
    Full,
    Failed,
    NotReady,
    Lost,
    GivenUp,
}

impl End {
    fn of(result: Result<u32, BoxError>) -> Self {
        let error = match result {
            Ok(answer) => return Self::Answered(answer),
            Err(error) => error,
        };
        if let Some(&RefusedAs(n)) = error.downcast_ref() {
            Self::Refused(n)
        } else if error.is::<Full>() {
            Self::Full
        } else if error.is::<Lost>() {
            Self::Lost
        } else {
            match cause(&error) {
                Failed("not ready") => Self::NotReady,
                _ => Self::Failed,
            }
        }
    }
}

/// What became of a random run.
struct Run {
    ends: HashMap<u32, End>,
    batches: Vec<(Vec<Request>, Fate)>,
    most_under_way: usize,
}

async fn run(
    limits: Limits,
    places: usize,
    most: usize,
    callers: Vec<Caller>,
    turns: Vec<Turn>,
) -> Run {
    let token = Arc::new(());
    let tracker = Tracker::new();
    let log = Log::default();
    let inner = Random {
        turns,
        turn: 0,
        asked: 0,
        ready: false,
        log: Arc::clone(&log),
        _token: Arc::clone(&token),
    };
    let service = BatchLayer::new(limits)
        .weighing(most, |request: &Request| request.weight)
        .tracked(tracker.clone())
        .layer(inner);

    let called = Arc::new(AtomicUsize::new(0));
    let calls = callers.into_iter().map(|caller| {
        let (mut service, called, token) = (service.clone(), called.clone(), token.clone());
        tokio::spawn(async move {
            for _ in 0..caller.comes {
                yield_now().await;
            }
            let n = called.fetch_add(1, Ordering::Relaxed) as u32;
            let full = service.admitted() == places;
            let response = service.call(Request {
                n,
                weight: caller.weight,
                refused: caller.refused,
                _token: token,
            });
            drop(service);
            let result = match caller.goes {
                Some(turns) => patient(response, turns).await,
                None => Some(ended(response).await),
            };
            let end = result.map_or(End::GivenUp, End::of);
            assert!(end == End::GivenUp || full == (end == End::Full), "{end:?}");
            (n, end)
        })
    });
    let calls: Vec<_> = calls.collect();
    let mut ends = HashMap::new();
    for call in calls {
        let (n, end) = ended(call).await.expect("no panic");
        ends.insert(n, end);
    }

    settled().await;
    assert_eq!(service.admitted(), 0, "every place is given back");
    drop(service);
    ended(tracker.close_and_wait()).await;
    settled().await;
    let log = std::mem::take(&mut *log.lock().expect("no panic"));
    assert_eq!(log.under_way, 0);
    let kept: usize = log.batches.iter().map(|(batch, _)| batch.len()).sum();
    assert_eq!(Arc::strong_count(&token), 1 + kept, "nothing is left");
    Run {
        ends,
        batches: log.batches,
        most_under_way: log.most_under_way,
    }
}

impl Run {
    fn check(&self, requests: usize, most: usize, in_flight: usize) {
        assert!(self.most_under_way <= in_flight);
        let mut told = HashMap::new();
        let mut order = Vec::new();
        for (batch, fate) in &self.batches {
            let weight: usize = batch.iter().map(|request| request.weight).sum();
            assert!((1..=requests).contains(&batch.len()), "{batch:?}");
            assert!(weight <= most || batch.len() == 1, "{batch:?}");
            for (i, request) in batch.iter().enumerate() {
                order.push(request.n);
                let answered = match fate {
                    Fate::Answered => true,
                    Fate::Short(answers) => i < *answers,
                    _ => false,
                };
                let end = match fate {
                    _ if answered && request.refused => End::Refused(request.n),
                    _ if answered => End::Answered(10 * request.n),
                    Fate::Failed => End::Failed,
                    _ => End::Lost,
                };
                told.insert(request.n, end);
            }
        }
        assert!(order.is_sorted_by(|a, b| a < b), "each once: {order:?}");
        for (n, &end) in &self.ends {
            match (end, told.get(n)) {
                // It was skipped, or there was nobody to tell.
                (End::GivenUp, _) => {}
                (End::Full | End::NotReady, told) => assert_eq!(told, None, "{n}"),
                (end, told) => assert_eq!(Some(&end), told, "{n}"),
            }
        }
    }
}

#[derive(Default)]
struct Protocol {
    batches: Vec<(Vec<Request>, Fate)>,
    under_way: usize,
    most_under_way: usize,
}

type Log = Arc<Mutex<Protocol>>;

/// Takes its turns, one for each batch, again and again.
struct Random {
    turns: Vec<Turn>,
    turn: usize,
    asked: u32,
    ready: bool,
    log: Log,
    _token: Arc<()>,
}

impl Service<Vec<Request>> for Random {
    type Response = Vec<Result<u32, RefusedAs>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let turn = &self.turns[self.turn % self.turns.len()];
        if self.asked < turn.busy {
            self.asked += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if turn.fate == Fate::NotReady {
            (self.turn, self.asked) = (self.turn + 1, 0);
            return Poll::Ready(Err(Failed("not ready").into()));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Vec<Request>) -> Self::Future {
        assert!(self.ready, "never asked");
        let turn = self.turns[self.turn % self.turns.len()].clone();
        (self.turn, self.asked, self.ready) = (self.turn + 1, 0, false);
        let log = Arc::clone(&self.log);
        let mut protocol = log.lock().expect("no panic");
        protocol.batches.push((batch.clone(), turn.fate));
        protocol.under_way += 1;
        protocol.most_under_way = protocol.most_under_way.max(protocol.under_way);
        drop(protocol);

        Box::pin(async move {
            for _ in 0..turn.takes {
                yield_now().await;
            }
            log.lock().expect("no panic").under_way -= 1;
            let answers = batch.into_iter().map(|request| match request {
                Request { refused, n, .. } if refused => Err(RefusedAs(n)),
                Request { n, .. } => Ok(10 * n),
            });
            match turn.fate {
                Fate::Answered | Fate::NotReady => Ok(answers.collect()),
                Fate::Short(most) => Ok(answers.take(most).collect()),
                Fate::Failed => Err(Failed("whole batch").into()),
                // Without a message.
                Fate::Panics => resume_unwind(Box::new("on purpose")),
            }
        })
    }
}

/// What the handlers share: the service, and not the layer.
#[derive(Clone)]
struct Site {
    service: Batch<String, String>,
    /// Told of each handler that is dropped, finished or not.
    gone: Arc<Notify>,
}

impl Site {
    fn new(service: Batch<String, String>) -> Self {
        Self {
            service,
            gone: Arc::default(),
        }
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/wall", get(build))
            .route("/roof", get(build))
            .with_state(self.clone())
    }
}

async fn build(State(site): State<Site>, uri: Uri) -> Result<String, (StatusCode, String)> {
    let _on_drop = OnDrop(site.gone);
    let answer = site.service.oneshot(uri.to_string()).await;
    answer.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Waits until so many requests wait or are under way.
async fn arrived<Q, A>(service: &Batch<Q, A>, admitted: usize) {
    ended(async {
        while service.admitted() < admitted {
            yield_now().await;
        }
    })
    .await;
}

/// Sees how many places are taken when a caller is told of its end.
struct Witness {
    service: Batch<u32, u32>,
    saw: AtomicUsize,
}

impl Witness {
    fn of(service: &Batch<u32, u32>, caller: &mut ResponseFuture<u32>) -> Arc<Self> {
        let witness = Arc::new(Self {
            service: service.clone(),
            saw: AtomicUsize::new(usize::MAX),
        });
        let waker = Waker::from(Arc::clone(&witness));
        let told = Pin::new(caller).poll(&mut Context::from_waker(&waker));
        assert!(told.is_pending());
        witness
    }

    fn saw(&self) -> usize {
        self.saw.load(Ordering::Relaxed)
    }
}

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        self.saw.store(self.service.admitted(), Ordering::Relaxed);
    }
}

type Reply = Result<Vec<Result<u32, Failed>>, Infallible>;
type Numbers = mock::Handle<Vec<u32>, Vec<Result<u32, Failed>>>;
type Tokens = mock::Handle<Vec<Arc<()>>, Vec<Result<(), Failed>>>;

/// A number whose batch panics in the call.
const PANIC_OF_CALL: u32 = 13;

fn limits(requests: usize) -> Limits {
    Limits::new(requests).expect("a limit")
}

/// Numbers weigh what they are.
fn by_weight(limits: Limits, most: usize) -> BatchLayer<u32> {
    BatchLayer::new(limits).weighing(most, |&n: &u32| n as usize)
}

fn batched(limits: Limits) -> (Batch<u32, u32>, Numbers) {
    layered(BatchLayer::new(limits))
}

fn layered(layer: BatchLayer<u32>) -> (Batch<u32, u32>, Numbers) {
    let (mock, handle) = mock::pair();
    (layer.layer(mock), handle)
}

/// Batches of one token, on a service that holds one as well.
fn tokens(token: &Arc<()>) -> (Batch<Arc<()>, ()>, Tokens) {
    let (mock, handle) = mock::pair();
    let held = Arc::clone(token);
    let inner = mock.map_request(move |batch| {
        let _held = &held;
        batch
    });
    let layer = BatchLayer::new(limits(10)).weighing(1, |_| 1);
    (layer.layer(inner), handle)
}

/// Makes the calls, one after the other, and waits for none.
fn calls<Q, A, const N: usize>(service: &Batch<Q, A>, requests: [Q; N]) -> [ResponseFuture<A>; N] {
    requests.map(|request| service.clone().call(request))
}

/// The answers, all of them good.
async fn all(answers: impl IntoIterator<Item = ResponseFuture<u32>>) -> Vec<u32> {
    let mut all = Vec::new();
    for answer in answers {
        all.push(ended(answer).await.expect("an answer"));
    }
    all
}

/// Answers the next batch, and tells what it was.
async fn serve(handle: &mut Numbers) -> Vec<u32> {
    let (batch, reply) = next(handle).await.expect("a batch");
    reply.send_response(tenfold(&batch));
    batch
}

fn tenfold(batch: &[u32]) -> Vec<Result<u32, Failed>> {
    batch.iter().map(|n| Ok(10 * n)).collect()
}

/// Waits until everybody else does. Time is paused.
async fn settled() {
    sleep(ms(1)).await;
}

/// Checks that the mocked service gets nothing more, though everybody had their turn.
async fn idle<T: fmt::Debug, U>(handle: &mut mock::Handle<T, U>) {
    settled().await;
    match polled(pin!(handle.next_request())).await {
        Poll::Pending => {}
        Poll::Ready(request) => panic!("{:?}", request.map(|(request, _)| request)),
    }
}

/// The output of `future`, if it comes before so many turns are over.
async fn patient<F: Future>(future: F, turns: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..turns {
        if let Poll::Ready(output) = polled(future.as_mut()).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// The cause of a failure of a whole batch.
fn cause(error: &BoxError) -> &Failed {
    let failed = error.downcast_ref::<BatchFailed>();
    let source = failed.and_then(Error::source);
    source
        .and_then(|source| source.downcast_ref())
        .unwrap_or_else(|| panic!("{error:?}"))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// The error of one request, which tells of which.
#[derive(Debug, PartialEq)]
struct RefusedAs(u32);

impl fmt::Display for RefusedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} is refused on purpose", self.0)
    }
}

impl std::error::Error for RefusedAs {}
