//! What [`Timeout`] promises: a call ends in time, wherever it would have waited.

use std::future::pending;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::common::client;
use crate::common::failing::Failed;
use crate::common::waiting::{ended, next, polled};
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use resilient::timeout::{Elapsed, Timeout, TimeoutLayer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep};
use tower::util::MapErrLayer;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

const LIMIT: Duration = Duration::from_millis(100);

// What is limited

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_ends_at_the_limit() {
    let (mock, mut handle) = mock::pair::<_, ()>();
    let start = Instant::now();
    let answer = tokio::spawn(Timeout::new(mock, LIMIT).oneshot("request"));
    let _unanswered = next(&mut handle).await.unwrap();

    let error = ended(answer).await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), LIMIT);
    let elapsed: &Elapsed = error.downcast_ref().unwrap();
    assert_eq!(elapsed.after(), LIMIT);
    assert_eq!(elapsed.to_string(), "not answered within 100ms");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_is_part_of_the_time() {
    let (mock, mut handle) = mock::pair::<_, ()>();
    handle.allow(0);
    let start = Instant::now();
    let answer = tokio::spawn(Timeout::new(mock, LIMIT).oneshot("request"));

    let error = ended(answer).await.unwrap().unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(start.elapsed(), LIMIT);
    assert!(
        next(&mut handle).await.is_none(),
        "it was called all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_and_for_the_answer_are_limited_together() {
    let (mock, mut handle) = mock::pair::<_, ()>();
    handle.allow(0);
    let start = Instant::now();
    let answer = tokio::spawn(Timeout::new(mock, LIMIT).oneshot("request"));
    sleep(LIMIT * 3 / 4).await;
    handle.allow(1);
    let _unanswered = next(&mut handle).await.unwrap();

    let error = ended(answer).await.unwrap().unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(start.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn the_time_begins_with_the_call_and_not_with_the_first_look_at_it() {
    let mut service = Timeout::new(taking(LIMIT), LIMIT);
    let response = service.ready().await.unwrap().call(());
    advance(LIMIT / 2).await;
    let start = Instant::now();
    assert!(ended(response).await.unwrap_err().is::<Elapsed>());
    assert_eq!(start.elapsed(), LIMIT / 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_at_the_deadline_counts() {
    for late in [false, true] {
        let mut response = Box::pin(Timeout::new(taking(LIMIT), LIMIT).oneshot(()));
        assert!(polled(response.as_mut()).await.is_pending());
        // Nobody looks before the deadline has come, or has long been past.
        advance(if late { 9 * LIMIT } else { LIMIT }).await;
        assert!(matches!(
            polled(response.as_mut()).await,
            Poll::Ready(Ok(()))
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_a_millisecond_after_the_deadline_does_not() {
    let inner = taking(LIMIT + Duration::from_millis(1));
    let start = Instant::now();
    let error = Timeout::new(inner, LIMIT).oneshot(()).await.unwrap_err();
    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!(start.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn without_any_time_only_an_answer_that_is_there_at_once_counts() {
    let start = Instant::now();
    let at_once = Timeout::new(taking(Duration::ZERO), Duration::ZERO);
    at_once.oneshot(()).await.unwrap();

    let later = Timeout::new(taking(Duration::from_millis(1)), Duration::ZERO);
    let error = later.oneshot(()).await.unwrap_err();
    assert_eq!(error.to_string(), "not answered within 0ns");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_the_reach_of_the_clock_is_none() {
    let years = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    let service = Timeout::new(taking(years), Duration::MAX);
    assert!(service.oneshot(()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_always_has_more_to_do_ends_too() {
    let busy = service_fn(async |()| -> Result<(), BoxError> {
        loop {
            // Ready until the task has used up its turn, and again in the next.
            tokio::task::consume_budget().await;
        }
    });
    let answer = tokio::spawn(Timeout::new(busy, LIMIT).oneshot(()));
    tokio::task::yield_now().await;
    advance(LIMIT).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(answer.is_finished());
    assert!(answer.await.unwrap().unwrap_err().is::<Elapsed>());
}

// Errors

#[tokio::test(start_paused = true)]
async fn the_error_keeps_its_type() {
    #[derive(Debug, PartialEq)]
    enum Failure {
        Own,
        Late(Duration),
    }
    impl From<Elapsed> for Failure {
        fn from(elapsed: Elapsed) -> Self {
            Self::Late(elapsed.after())
        }
    }
    let inner = service_fn(async |takes| {
        sleep(takes).await;
        Err::<(), _>(Failure::Own)
    });
    let service = Timeout::new(inner, LIMIT);
    assert_eq!(service.clone().oneshot(LIMIT / 2).await, Err(Failure::Own));
    assert_eq!(service.oneshot(LIMIT * 2).await, Err(Failure::Late(LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_passes_as_it_is() {
    let (mock, mut handle) = mock::pair::<_, ()>();
    let answer = tokio::spawn(Timeout::new(mock, LIMIT).oneshot("request"));
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_error(Failed("below"));
    let error = ended(answer).await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("below")));
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn it_is_always_ready_and_each_call_goes_to_an_instance_that_was_asked() {
    let (mut service, mut handle) = mock::spawn_layer(TimeoutLayer::new(LIMIT));
    for round in 0..3 {
        handle.allow(0);
        assert!(
            matches!(service.poll_ready(), Poll::Ready(Ok(()))),
            "round {round}"
        );
        // The mock panics if it is called without having been ready.
        let mut response = Box::pin(service.call(round));
        assert!(
            polled(response.as_mut()).await.is_pending(),
            "round {round}"
        );
        handle.allow(1);
        assert!(
            polled(response.as_mut()).await.is_pending(),
            "round {round}"
        );

        let (request, reply) = next(&mut handle).await.unwrap();
        assert_eq!(request, round);
        reply.send_response("answer");
        assert_eq!(ended(response).await.unwrap(), "answer");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_what_the_call_comes_to() {
    let (mut service, mut handle) = mock::spawn_layer::<_, (), _>(TimeoutLayer::new(LIMIT));
    handle.send_error(Failed("not ready"));
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    let error = ended(service.call("request")).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("not ready")));
    assert!(handle.poll_request().is_pending());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_at_any_point_releases_everything() {
    for point in ["before the first poll", "without readiness", "in the call"] {
        let (mock, mut handle) = mock::pair::<Arc<()>, ()>();
        let held = Arc::new(());
        let mut service = Timeout::new(holding(mock, &held), LIMIT);
        let request = Arc::new(());
        if point == "without readiness" {
            handle.allow(0);
        }
        let mut response = Box::pin(service.call(Arc::clone(&request)));
        drop(service);
        if point != "before the first poll" {
            assert!(polled(response.as_mut()).await.is_pending());
        }
        assert_eq!(Arc::strong_count(&held), 2, "{point}");
        let sent = match point {
            "in the call" => next(&mut handle).await,
            _ => None,
        };
        assert_eq!(Arc::strong_count(&request), 2, "{point}");
        drop(response);

        drop(sent);
        assert_eq!(Arc::strong_count(&request), 1, "dropped {point}");
        assert_eq!(Arc::strong_count(&held), 1, "dropped {point}");
        assert!(next(&mut handle).await.is_none(), "dropped {point}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_holds_nothing_even_if_its_future_is_kept() {
    for end in ["answered", "elapsed", "elapsed without readiness"] {
        let (mock, mut handle) = mock::pair::<(), ()>();
        let held = Arc::new(());
        let mut service = Timeout::new(holding(mock, &held), LIMIT);
        if end == "elapsed without readiness" {
            handle.allow(0);
        }
        let mut response = Box::pin(service.call(()));
        drop(service);
        assert!(polled(response.as_mut()).await.is_pending());
        assert_eq!(Arc::strong_count(&held), 2, "{end}");
        if end == "answered" {
            next(&mut handle).await.unwrap().1.send_response(());
        }

        let answer = ended(response.as_mut()).await;
        assert_eq!(answer.is_ok(), end == "answered");
        assert_eq!(Arc::strong_count(&held), 1, "{end}");
        drop(response);
    }
}

#[tokio::test(start_paused = true)]
async fn each_clone_and_each_service_of_a_layer_has_its_own_time() {
    let layer = TimeoutLayer::new(LIMIT);
    let never = || service_fn(|()| pending::<Result<(), BoxError>>());
    let one = layer.layer(never());
    let services = [one.clone(), one, layer.layer(never())];

    let start = Instant::now();
    let mut answers = Vec::new();
    for service in services {
        answers.push(tokio::spawn(async move {
            let error = service.oneshot(()).await.unwrap_err();
            assert!(error.is::<Elapsed>(), "{error}");
            start.elapsed()
        }));
        sleep(LIMIT / 4).await;
    }

    for (n, answer) in (0..).zip(answers) {
        assert_eq!(answer.await.unwrap(), LIMIT + n * LIMIT / 4);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_as_it_is() {
    let original: Arc<str> = "answer".into();
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Timeout::new(mock, LIMIT).oneshot("request"));
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_response(Arc::clone(&original));
    assert!(Arc::ptr_eq(
        &ended(answer).await.unwrap().unwrap(),
        &original
    ));
}

#[tokio::test]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let (mock, _handle) = mock::pair::<(), ()>();
    let mut service = Timeout::new(Some(mock), LIMIT);
    assert!(service.get_ref().is_some());
    *service.get_mut() = None;
    assert!(service.into_inner().is_none());
}

#[tokio::test(start_paused = true)]
async fn in_a_router_late_calls_end_on_every_route_and_connection_and_others_go_on() {
    let gate = Arc::new(Semaphore::new(0));
    let router = Router::new()
        .route("/wall", get(gated))
        .route("/roof", get(gated))
        .layer((
            HandleErrorLayer::new(gateway_timeout),
            TimeoutLayer::new(LIMIT),
            MapErrLayer::new(BoxError::from),
        ))
        .with_state(Arc::clone(&gate));
    let [mut one, mut other] = client::two_connections(router).await;

    let late = (504, "not answered within 100ms".to_owned());
    for path in ["/wall", "/roof"] {
        one.send(path).await;
        other.send(path).await;
        assert_eq!(ended(one.answer()).await, late);
        assert_eq!(ended(other.answer()).await, late);
    }

    gate.add_permits(4);
    for path in ["/wall", "/roof"] {
        assert_eq!(ended(one.get(path)).await, (200, path.to_owned()));
        assert_eq!(ended(other.get(path)).await, (200, path.to_owned()));
    }
    // The calls that were cut off had given up their places in the queue.
    assert_eq!(gate.available_permits(), 0);
}

/// A service that is ready at once and answers after `delay`, without a timer if that is zero.
fn taking(
    delay: Duration,
) -> impl Service<(), Response = (), Error = BoxError, Future: Send> + Clone {
    service_fn(move |()| async move {
        if !delay.is_zero() {
            sleep(delay).await;
        }
        Ok(())
    })
}

/// The same service; it, then each of its calls until the end, holds a clone of `held`.
fn holding<S, Request>(
    inner: S,
    held: &Arc<()>,
) -> impl Service<Request, Response = S::Response, Error = S::Error> + Clone + use<S, Request>
where
    S: Service<Request> + Clone,
{
    let held = Arc::clone(held);
    inner.map_future(move |call: S::Future| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            call.await
        }
    })
}

/// Takes a permit for good before it answers.
async fn gated(State(gate): State<Arc<Semaphore>>, uri: Uri) -> String {
    gate.acquire().await.expect("an open semaphore").forget();
    uri.to_string()
}

async fn gateway_timeout(error: BoxError) -> (StatusCode, String) {
    assert!(error.is::<Elapsed>(), "{error}");
    (StatusCode::GATEWAY_TIMEOUT, error.to_string())
}
