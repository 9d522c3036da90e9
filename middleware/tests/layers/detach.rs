//! What [`Detach`] promises: work that was begun is done, whatever becomes of its caller.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::client;
use crate::common::failing::Failed;
use crate::common::owed;
use crate::common::waiting::{ended, next, polled};
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use resilient::detach::{Detach, DetachLayer, Lost, Tracker};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tower::util::MapFutureLayer;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

// The caller goes, the work stays

#[tokio::test(start_paused = true)]
async fn work_in_the_middle_is_finished_without_its_caller() {
    let tracker = Tracker::new();
    let site = Site::default();
    let mut service = Detach::new(site.clone().into_service(), tracker.clone());

    let mut response = Box::pin(service.call("wall"));
    assert!(polled(response.as_mut()).await.is_pending());
    ended(site.begun.notified()).await;
    drop(response);
    assert_eq!(site.log(), ["wall begun"]);

    site.gate.add_permits(1);
    ended(tracker.close_and_wait()).await;
    assert_eq!(site.log(), ["wall begun", "wall done"]);
}

#[tokio::test(start_paused = true)]
async fn work_is_done_even_if_the_caller_never_waited() {
    let tracker = Tracker::new();
    let site = Site::open();
    let mut service = Detach::new(site.clone().into_service(), tracker.clone());

    drop(service.call("wall"));
    drop(service);

    ended(tracker.close_and_wait()).await;
    assert_eq!(site.log(), ["wall begun", "wall done"]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_cuts_the_waiting_and_not_the_work() {
    let tracker = Tracker::new();
    let site = Site::default();
    let service = Detach::new(site.clone().into_service(), tracker.clone());

    assert!(
        timeout(Duration::from_secs(1), service.oneshot("wall"))
            .await
            .is_err()
    );
    assert_eq!(tracker.in_flight(), 1);

    site.gate.add_permits(1);
    ended(tracker.close_and_wait()).await;
    assert_eq!(site.log(), ["wall begun", "wall done"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_releases_everything_at_the_end_of_its_work() {
    for caller in ["waits", "goes in the middle", "goes at once"] {
        let tracker = Tracker::new();
        let (mock, mut handle) = mock::pair::<Arc<()>, Arc<()>>();
        let mut service = Detach::new(mock, tracker.clone());
        let token = Arc::new(());
        service.ready().await.unwrap();
        let mut response = Box::pin(service.call(Arc::clone(&token)));
        drop(service);
        if caller != "goes at once" {
            assert!(polled(response.as_mut()).await.is_pending());
        }

        let (request, reply) = next(&mut handle).await.unwrap();
        if caller == "waits" {
            reply.send_response(request);
            drop(ended(response).await);
        } else {
            drop(response);
            tokio::task::yield_now().await;
            assert_eq!(tracker.in_flight(), 1, "the caller {caller}");
            // Nobody is left to take the answer.
            reply.send_response(request);
        }

        ended(tracker.close_and_wait()).await;
        assert_eq!(Arc::strong_count(&token), 1, "the caller {caller}");
        assert!(next(&mut handle).await.is_none(), "the caller {caller}");
    }
}

// Counting

#[tokio::test(start_paused = true)]
async fn the_tracker_counts_what_is_under_way() {
    let tracker = Tracker::new();
    let (mock, mut handle) = mock::pair();
    let mut service = Detach::new(mock, tracker.clone());
    assert_eq!(tracker.in_flight(), 0);

    let one = service.ready().await.unwrap().call("one");
    assert_eq!(tracker.in_flight(), 1);
    let other = service.ready().await.unwrap().call("other");
    assert_eq!(tracker.in_flight(), 2);

    for (response, left) in [(one, 1), (other, 0)] {
        next(&mut handle).await.unwrap().1.send_response("answer");
        ended(response).await.unwrap();
        assert_eq!(tracker.in_flight(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_alone_is_not_counted() {
    let tracker = Tracker::new();
    let (mut service, _handle) = mock::spawn_layer::<(), (), _>(DetachLayer::new(tracker.clone()));
    assert!(service.poll_ready().is_ready());
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_last_call_those_included_that_begin_meanwhile() {
    let tracker = Tracker::new();
    let (mock, mut handle) = mock::pair();
    let mut service = Detach::new(mock, tracker.clone());
    let _early = service.ready().await.unwrap().call("early");

    let mut closing = Box::pin(tracker.close_and_wait());
    assert!(polled(closing.as_mut()).await.is_pending());
    let _late = service.ready().await.unwrap().call("late");

    next(&mut handle).await.unwrap().1.send_response("answer");
    while tracker.in_flight() > 1 {
        tokio::task::yield_now().await;
    }
    assert!(polled(closing.as_mut()).await.is_pending());

    next(&mut handle).await.unwrap().1.send_response("answer");
    ended(closing).await;
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_at_once_when_nothing_is_under_way_as_often_as_it_is_asked() {
    let tracker = Tracker::new();
    for _ in 0..2 {
        assert!(
            polled(Box::pin(tracker.close_and_wait()).as_mut())
                .await
                .is_ready()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_to_wait_for_the_last_call_harms_neither_call_nor_tracker() {
    let tracker = Tracker::new();
    let site = Site::default();
    let mut service = Detach::new(site.clone().into_service(), tracker.clone());

    drop(service.call("one"));
    assert!(
        polled(Box::pin(tracker.close_and_wait()).as_mut())
            .await
            .is_pending()
    );
    drop(service.call("other"));
    assert_eq!(tracker.in_flight(), 2);

    site.gate.add_permits(2);
    ended(tracker.close_and_wait()).await;
    assert_eq!(site.log().len(), 4);
}

// What does not end well

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_to_its_caller_and_to_nobody_else() {
    let tracker = Tracker::new();
    let (mock, mut handle) = mock::pair();
    let inner = mock.map_response(|answer| match answer {
        "panic" => panic!("on purpose"),
        answer => answer,
    });
    let mut service = Detach::new(inner, tracker.clone());

    let before = service.ready().await.unwrap().call("before");
    let lost = service.ready().await.unwrap().call("lost");
    let (_, before_reply) = next(&mut handle).await.unwrap();
    next(&mut handle).await.unwrap().1.send_response("panic");

    let error = ended(lost).await.unwrap_err();
    assert!(error.is::<Lost>(), "{error}");
    assert_eq!(error.to_string(), "the detached work panicked");
    assert_eq!(tracker.in_flight(), 1);

    before_reply.send_response("answer");
    assert_eq!(ended(before).await.unwrap(), "answer");
    let after = service.ready().await.unwrap().call("after");
    next(&mut handle).await.unwrap().1.send_response("answer");
    assert_eq!(ended(after).await.unwrap(), "answer");
}

#[tokio::test(start_paused = true)]
async fn a_panic_without_a_caller_still_ends_the_counting() {
    let tracker = Tracker::new();
    let mut service = Detach::new(service_fn(on_purpose), tracker.clone());
    drop(service.call(()));
    assert_eq!(tracker.in_flight(), 1);
    ended(tracker.close_and_wait()).await;
    assert_eq!(tracker.in_flight(), 0);
}

#[test]
fn work_cut_off_by_the_end_of_its_runtime_is_told_from_a_panic() {
    let tracker = Tracker::new();
    let inner = service_fn(|()| pending::<Result<(), Infallible>>());
    let other = runtime();
    let response = {
        let _inside = other.enter();
        Detach::new(inner, tracker.clone()).call(())
    };
    drop(other);

    let error = runtime().block_on(response).unwrap_err();
    assert!(error.is::<Lost>(), "{error}");
    assert_eq!(
        error.to_string(),
        "the detached work was cut off by the end of its runtime"
    );
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_passes_as_it_is() {
    let (mock, mut handle) = mock::pair::<_, ()>();
    let boxed = tokio::spawn(Detach::new(mock, Tracker::new()).oneshot("request"));
    next(&mut handle)
        .await
        .unwrap()
        .1
        .send_error(Failed("boxed below"));
    let error = ended(boxed).await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("boxed below")));

    let inner = service_fn(async |()| Err::<(), _>(Failed("boxed here")));
    let error = Detach::new(inner, Tracker::new())
        .oneshot(())
        .await
        .unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("boxed here")));
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    owed::calls_go_to_the_instance_that_was_ready(DetachLayer::new(Tracker::new())).await;
}

#[tokio::test]
async fn an_error_of_readiness_passes_through() {
    let tracker = Tracker::new();
    owed::errors_of_readiness_pass(DetachLayer::new(tracker.clone()));
    assert_eq!(tracker.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_as_it_is() {
    let original: Arc<str> = "answer".into();
    let (mock, mut handle) = mock::pair();
    let answer = tokio::spawn(Detach::new(mock, Tracker::new()).oneshot("request"));
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

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_and_clones_of_them_count_together_and_others_apart() {
    let (ours, others) = (Tracker::new(), Tracker::new());
    let layer = DetachLayer::new(ours.clone());
    let never = || service_fn(|()| pending::<Result<(), Infallible>>());

    let mut services = [
        layer.layer(never()),
        layer.layer(never()),
        layer.clone().layer(never()),
    ];
    let mut clone = services[0].clone();
    let mut apart = Detach::new(never(), others.clone());
    for service in services.iter_mut().chain([&mut clone, &mut apart]) {
        drop(service.call(()));
    }

    assert_eq!((ours.in_flight(), others.in_flight()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let (mock, _handle) = mock::pair::<(), ()>();
    let mut service = Detach::new(Some(mock), Tracker::new());
    assert!(service.get_ref().is_some());
    *service.get_mut() = None;
    assert!(service.into_inner().is_none());
}

#[tokio::test]
async fn in_a_router_a_hang_up_cuts_nothing_on_any_route_and_connection() {
    let tracker = Tracker::new();
    let site = Site::default();
    let hung_up = Arc::new(Notify::new());
    let router = Router::new()
        .route("/wall", get(build))
        .route("/roof", get(build))
        .layer((
            MapFutureLayer::new(notify_of_the_end(&hung_up)),
            HandleErrorLayer::new(internal_error),
            DetachLayer::new(tracker.clone()),
        ))
        .with_state(site.clone());
    let [mut leaving, mut staying] = client::two_connections(router).await;

    for (connection, path) in [(&mut leaving, "/wall"), (&mut staying, "/roof")] {
        connection.send(path).await;
        ended(site.begun.notified()).await;
    }
    assert_eq!(
        tracker.in_flight(),
        2,
        "one tracker for all routes and connections"
    );

    drop(leaving);
    ended(hung_up.notified()).await;
    assert_eq!(
        tracker.in_flight(),
        2,
        "the server has dropped the handler, but not its work"
    );

    site.gate.add_permits(2);
    assert_eq!(staying.answer().await, (200, "/roof".to_owned()));
    ended(tracker.close_and_wait()).await;
    let mut log = site.log();
    log.sort();
    assert_eq!(
        log,
        ["/roof begun", "/roof done", "/wall begun", "/wall done"]
    );
}

#[tokio::test]
async fn in_a_router_a_panic_is_one_answer_and_the_connection_goes_on() {
    let tracker = Tracker::new();
    let site = Site::open();
    let router = Router::new()
        .route("/wall", get(build))
        .route("/panic", get(on_purpose_handler))
        .layer((
            HandleErrorLayer::new(internal_error),
            DetachLayer::new(tracker.clone()),
        ))
        .with_state(site);
    let [mut one, mut other] = client::two_connections(router).await;

    for _ in 0..2 {
        assert_eq!(
            one.get("/panic").await,
            (500, "the detached work panicked".to_owned())
        );
        assert_eq!(one.get("/wall").await, (200, "/wall".to_owned()));
        assert_eq!(other.get("/wall").await, (200, "/wall".to_owned()));
    }
    assert_eq!(tracker.in_flight(), 0);
}

/// Work in two steps with a gate between them: where it would be cut.
#[derive(Clone)]
struct Site {
    /// Told of each first step.
    begun: Arc<Notify>,
    /// A permit lets one work go on to its second step.
    gate: Arc<Semaphore>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            log: Arc::default(),
        }
    }
}

impl Site {
    /// The gate is open for good.
    fn open() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(1_000)),
            ..Self::default()
        }
    }

    async fn build(self, part: String) {
        self.note(format!("{part} begun"));
        self.begun.notify_one();
        self.gate
            .acquire()
            .await
            .expect("an open semaphore")
            .forget();
        self.note(format!("{part} done"));
    }

    fn into_service(
        self,
    ) -> impl Service<&'static str, Response = (), Error = Infallible, Future: Send + 'static> {
        service_fn(move |part: &str| {
            let work = self.clone().build(part.to_owned());
            async {
                work.await;
                Ok(())
            }
        })
    }

    fn note(&self, event: String) {
        self.log.lock().expect("no panic").push(event);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }
}

async fn build(State(site): State<Site>, uri: Uri) -> String {
    site.build(uri.to_string()).await;
    uri.to_string()
}

async fn on_purpose((): ()) -> Result<(), Infallible> {
    panic!("on purpose")
}

async fn on_purpose_handler() {
    panic!("on purpose")
}

async fn internal_error(error: BoxError) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// Tells `end` when a future is dropped, finished or not.
fn notify_of_the_end<F>(
    end: &Arc<Notify>,
) -> impl Fn(F) -> Pin<Box<dyn Future<Output = F::Output> + Send>> + Clone + use<F>
where
    F: Future + Send + 'static,
{
    struct OnDrop(Arc<Notify>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let end = Arc::clone(end);
    move |future| {
        let on_drop = OnDrop(Arc::clone(&end));
        Box::pin(async move {
            let _on_drop = on_drop;
            future.await
        })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}
