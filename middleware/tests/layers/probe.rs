//! What [`Probe`] promises: it sees what happens to a service, and changes nothing of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::common::client;
use crate::common::failing::Failed;
use crate::common::owed;
use crate::common::waiting::{ended, polled};
use axum::Router;
use axum::routing::get;
use resilient::testing::probe::{Handle, Probe, ProbeLayer, Seen};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

// Readiness

#[tokio::test]
async fn a_call_after_readiness_is_in_order() {
    let handle = Handle::strict();
    let mut service = Probe::new(doubling(), handle.clone());
    for n in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(n).await, Ok(2 * n));
    }
    assert_eq!((handle.seen().calls, handle.seen().unready), (3, 0));
}

#[tokio::test]
async fn readiness_asked_twice_is_as_good_as_once() {
    let handle = Handle::strict();
    let mut service = Probe::new(doubling(), handle.clone());
    service.ready().await.unwrap();
    assert_eq!(service.ready().await.unwrap().call(1).await, Ok(2));
}

#[tokio::test]
async fn a_call_without_readiness_is_counted_and_made_all_the_same() {
    let handle = Handle::new();
    let mut service = Probe::new(doubling(), handle.clone());
    assert_eq!(service.call(1).await, Ok(2));
    assert_eq!((handle.seen().calls, handle.seen().unready), (1, 1));
}

#[tokio::test]
async fn readiness_is_used_up_by_a_call() {
    let handle = Handle::new();
    let mut service = Probe::new(doubling(), handle.clone());
    assert!(service.ready().await.unwrap().call(1).await.is_ok());
    assert_eq!(handle.seen().unready, 0);
    assert!(service.call(1).await.is_ok());
    assert_eq!(handle.seen().unready, 1);
}

#[tokio::test]
async fn readiness_of_the_original_is_none_of_its_clone_and_the_other_way_round() {
    let handle = Handle::new();
    let mut original = Probe::new(doubling(), handle.clone());
    original.ready().await.unwrap();
    let mut clone = original.clone();
    assert!(clone.call(1).await.is_ok());
    assert_eq!(handle.seen().unready, 1);
    assert!(original.call(1).await.is_ok());
    assert_eq!(handle.seen().unready, 1);
}

#[tokio::test]
async fn readiness_that_became_pending_or_failed_is_none() {
    for later in [Poll::Pending, Poll::Ready(Err(Failed("not ready")))] {
        let handle = Handle::new();
        let moods = VecDeque::from([Poll::Ready(Ok(())), later]);
        let mut service = Probe::new(Moody(moods), handle.clone());
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(service.poll_ready(&mut cx), Poll::Ready(Ok(())));
        assert_ne!(service.poll_ready(&mut cx), Poll::Ready(Ok(())));
        assert_eq!(service.call(()).await, Ok(()));
        assert_eq!(handle.seen().unready, 1);
    }
}

#[tokio::test]
#[should_panic(expected = "called without having been ready")]
async fn a_strict_probe_panics_when_it_is_called_without_readiness() {
    let _ = Probe::new(doubling(), Handle::strict()).call(1).await;
}

#[tokio::test]
async fn a_strict_probe_has_counted_the_call_that_it_panicked_for() {
    let handle = Handle::strict();
    let mut service = Probe::new(doubling(), handle.clone());
    let call = std::panic::AssertUnwindSafe(|| drop(service.call(1)));
    assert!(std::panic::catch_unwind(call).is_err());
    let seen = handle.seen();
    assert_eq!((seen.calls, seen.unready, seen.in_flight), (1, 1, 0));
}

// Calls and instances

#[tokio::test]
async fn calls_are_counted_while_they_are_under_way() {
    let (mock, mut mocked) = mock::pair();
    let handle = Handle::new();
    let mut service = Probe::new(mock, handle.clone());
    let one = service.ready().await.unwrap().call("one");
    let other = service.ready().await.unwrap().call("other");
    assert_eq!(handle.seen().in_flight, 2);

    for (call, left) in [(one, 1), (other, 0)] {
        ended(mocked.next_request())
            .await
            .unwrap()
            .1
            .send_response("answer");
        ended(call).await.unwrap();
        assert_eq!(handle.seen().in_flight, left);
    }
    let _third = service.ready().await.unwrap().call("third");
    assert_eq!(
        (handle.seen().in_flight, handle.seen().most_in_flight),
        (1, 2)
    );
    assert_eq!(handle.seen().dropped, 0);
}

#[tokio::test]
async fn a_call_has_ended_when_it_is_ready_even_if_it_is_kept() {
    let handle = Handle::new();
    let mut call = Box::pin(Probe::new(doubling(), handle.clone()).call(1));
    assert!(polled(call.as_mut()).await.is_ready());
    assert_eq!(handle.seen().in_flight, 0);
    drop(call);
    assert_eq!((handle.seen().in_flight, handle.seen().dropped), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_or_panics_before_its_end_is_counted_as_dropped() {
    let handle = Handle::new();
    let mut service = Probe::new(
        service_fn(async |panics: bool| match panics {
            true => panic!("on purpose"),
            false => std::future::pending::<Result<(), Infallible>>().await,
        }),
        handle.clone(),
    );
    drop(service.ready().await.unwrap().call(false));
    assert_eq!((handle.seen().in_flight, handle.seen().dropped), (0, 1));

    let mut call = Box::pin(service.ready().await.unwrap().call(false));
    assert!(polled(call.as_mut()).await.is_pending());
    assert_eq!((handle.seen().in_flight, handle.seen().dropped), (1, 1));
    drop(call);
    assert_eq!((handle.seen().in_flight, handle.seen().dropped), (0, 2));

    let call = service.ready().await.unwrap().call(true);
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert_eq!((handle.seen().in_flight, handle.seen().dropped), (0, 3));
}

#[tokio::test]
async fn instances_are_counted_while_they_live_and_clones_for_good() {
    let handle = Handle::new();
    assert_eq!(handle.seen(), Seen::default());
    let one = Probe::new((), handle.clone());
    let clones = [one.clone(), one.clone()];
    assert_eq!((handle.seen().instances, handle.seen().clones), (3, 2));
    drop(clones);
    assert_eq!((handle.seen().instances, handle.seen().clones), (1, 2));
    one.into_inner();
    assert_eq!((handle.seen().instances, handle.seen().clones), (0, 2));
}

#[tokio::test]
async fn services_of_one_layer_count_together_and_others_apart() {
    let (ours, others) = (Handle::new(), Handle::new());
    let layer = ProbeLayer::new(ours.clone());
    let mut services = [layer.layer(doubling()), layer.clone().layer(doubling())];
    let mut apart = Probe::new(doubling(), others.clone());
    for service in services.iter_mut().chain([&mut apart]) {
        assert!(service.ready().await.unwrap().call(1).await.is_ok());
    }
    assert_eq!((ours.seen().calls, others.seen().calls), (2, 1));
    assert_eq!((ours.seen().instances, others.seen().instances), (2, 1));
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    owed::calls_go_to_the_instance_that_was_ready(ProbeLayer::new(Handle::strict())).await;
}

#[tokio::test]
async fn an_error_of_readiness_passes_through() {
    owed::errors_of_readiness_pass(ProbeLayer::new(Handle::new()));
}

#[tokio::test]
async fn answers_and_errors_pass_as_they_are() {
    let original: Arc<str> = "answer".into();
    let answer = Arc::clone(&original);
    let answering = service_fn(move |()| std::future::ready(Ok::<_, Failed>(Arc::clone(&answer))));
    let passed = Probe::new(answering, Handle::new()).oneshot(()).await;
    assert!(Arc::ptr_eq(&passed.unwrap(), &original));

    let failing = service_fn(async |()| Err::<(), _>(Failed("below")));
    assert_eq!(
        Probe::new(failing, Handle::new()).oneshot(()).await,
        Err(Failed("below"))
    );
}

#[tokio::test]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let mut service = Probe::new(Some("inner"), Handle::new());
    assert_eq!(service.get_ref(), &Some("inner"));
    *service.get_mut() = None;
    assert_eq!(service.into_inner(), None);
}

#[tokio::test]
async fn in_a_router_all_routes_and_connections_count_together() {
    let handle = Handle::strict();
    let router = Router::new()
        .route("/one", get(async || "one"))
        .route("/other", get(async || "other"))
        .layer(ProbeLayer::new(handle.clone()));
    let [mut first, mut second] = client::two_connections(router).await;
    for connection in [&mut first, &mut second] {
        for name in ["one", "other"] {
            let answer = connection.get(&format!("/{name}")).await;
            assert_eq!(answer, (200, name.to_owned()));
        }
    }
    assert_eq!((handle.seen().calls, handle.seen().in_flight), (4, 0));
}

/// Is ready or not, as it was told.
struct Moody(VecDeque<Poll<Result<(), Failed>>>);

impl Service<()> for Moody {
    type Response = ();
    type Error = Failed;
    type Future = std::future::Ready<Result<(), Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.0.pop_front().expect("no more moods")
    }

    fn call(&mut self, (): ()) -> Self::Future {
        std::future::ready(Ok(()))
    }
}

fn doubling() -> impl Service<u32, Response = u32, Error = Infallible, Future: Send> + Clone {
    service_fn(async |n: u32| Ok(2 * n))
}
