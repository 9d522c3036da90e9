//! What [`Quarantine`] promises: a fuse that one can blow for all, and lift again.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::common::client;
use crate::common::failing::Failed;
use crate::common::owed;
use crate::common::waiting::{ended, next, polled};
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use resilient::quarantine::{Handle, Quarantine, QuarantineLayer, Quarantined};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower::util::MapErrLayer;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

// The fuse

#[tokio::test]
async fn calls_are_refused_with_the_reason_until_the_quarantine_is_lifted() {
    let handle = Handle::new();
    let service = Quarantine::new(double(), handle.clone());
    assert_eq!(handle.reason(), None);
    assert_eq!(service.clone().oneshot(2).await.unwrap(), 4);

    handle.blow("checksum");
    assert_eq!(handle.reason().as_deref(), Some("checksum"));
    for _ in 0..3 {
        let error = service.clone().oneshot(2).await.unwrap_err();
        assert_eq!(reason(&error), "checksum");
        assert_eq!(error.to_string(), "refused, in quarantine: checksum");
    }

    handle.lift();
    assert_eq!(handle.reason(), None);
    assert_eq!(service.oneshot(2).await.unwrap(), 4);
}

#[tokio::test]
async fn a_call_that_is_refused_does_not_reach_the_inner_service() {
    let fuse = Handle::new();
    let (mock, mut handle) = mock::pair::<_, ()>();
    fuse.blow("checksum");
    let error = Quarantine::new(mock, fuse).oneshot("request").await;
    assert_eq!(reason(&error.unwrap_err()), "checksum");
    assert!(next(&mut handle).await.is_none());
}

#[tokio::test]
async fn the_first_reason_stays_until_it_is_lifted() {
    let handle = Handle::new();
    handle.blow("first");
    handle.blow("second".to_owned());
    assert_eq!(handle.reason().as_deref(), Some("first"));

    handle.lift();
    handle.lift();
    handle.blow("third");
    assert_eq!(handle.reason().as_deref(), Some("third"));
    let error = Quarantine::new(double(), handle).oneshot(2).await;
    assert_eq!(reason(&error.unwrap_err()), "third");
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_go_on() {
    let fuse = Handle::new();
    let (mock, mut handle) = mock::pair();
    let mut service = Quarantine::new(mock, fuse.clone());
    let polled_before = service.ready().await.unwrap().call("polled");
    let mut polled_before = Box::pin(polled_before);
    assert!(polled(polled_before.as_mut()).await.is_pending());
    let not_yet_polled = service.ready().await.unwrap().call("not yet polled");

    fuse.blow("checksum");
    for expected in ["polled", "not yet polled"] {
        let (request, reply) = next(&mut handle).await.unwrap();
        assert_eq!(request, expected);
        reply.send_response(request);
    }
    assert_eq!(ended(polled_before).await.unwrap(), "polled");
    assert_eq!(ended(not_yet_polled).await.unwrap(), "not yet polled");
}

#[tokio::test]
async fn what_counts_is_the_moment_of_the_call_and_not_of_readiness() {
    let handle = Handle::new();
    let mut service = Quarantine::new(double(), handle.clone());

    service.ready().await.unwrap();
    handle.blow("checksum");
    assert_eq!(reason(&service.call(2).await.unwrap_err()), "checksum");

    service.ready().await.unwrap();
    handle.lift();
    assert_eq!(service.call(2).await.unwrap(), 4);
}

#[tokio::test]
async fn a_call_that_was_refused_stays_refused() {
    let handle = Handle::new();
    let mut service = Quarantine::new(double(), handle.clone());
    handle.blow("checksum");
    let response = service.ready().await.unwrap().call(2);
    handle.lift();
    assert_eq!(reason(&response.await.unwrap_err()), "checksum");
}

#[tokio::test]
async fn the_error_keeps_its_type() {
    #[derive(Debug, PartialEq)]
    enum Failure {
        Own,
        Refused(Arc<str>),
    }
    impl From<Quarantined> for Failure {
        fn from(refusal: Quarantined) -> Self {
            Self::Refused(Arc::clone(refusal.reason()))
        }
    }
    let handle = Handle::new();
    let inner = service_fn(async |()| Err::<(), _>(Failure::Own));
    let service = Quarantine::new(inner, handle.clone());
    assert_eq!(service.clone().oneshot(()).await, Err(Failure::Own));
    handle.blow("checksum");
    assert_eq!(
        service.oneshot(()).await,
        Err(Failure::Refused("checksum".into()))
    );
}

// Who waits for changes

#[tokio::test(start_paused = true)]
async fn whoever_subscribed_hears_of_each_change_and_of_nothing_else() {
    let handle = Handle::new();
    let mut changes = handle.subscribe();
    assert!(!changes.has_changed().unwrap());

    handle.blow("first");
    ended(changes.changed()).await.unwrap();
    assert_eq!(changes.borrow_and_update().as_deref(), Some("first"));

    handle.blow("second");
    assert!(!changes.has_changed().unwrap(), "the first reason stays");

    handle.lift();
    ended(changes.changed()).await.unwrap();
    assert_eq!(changes.borrow_and_update().as_deref(), None);

    handle.lift();
    assert!(!changes.has_changed().unwrap(), "it was lifted already");
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_whoever_waits_for_it() {
    let handle = Handle::new();
    let mut changes = handle.subscribe();
    let waiting = tokio::spawn(async move {
        let state = changes.wait_for(Option::is_some).await.unwrap();
        state.clone()
    });
    tokio::task::yield_now().await;
    handle.clone().blow("checksum");
    assert_eq!(ended(waiting).await.unwrap().as_deref(), Some("checksum"));
}

#[tokio::test(start_paused = true)]
async fn a_fuse_blown_before_is_seen_by_who_comes_later() {
    let handle = Handle::new();
    handle.blow("checksum");
    let mut changes = handle.subscribe();
    let state = ended(changes.wait_for(Option::is_some)).await.unwrap();
    assert_eq!(state.as_deref(), Some("checksum"));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_nobody_is_left_to_blow_it() {
    let handle = Handle::new();
    let mut changes = handle.subscribe();
    let service = QuarantineLayer::new(handle).layer(double());
    let mut waiting = Box::pin(changes.changed());
    assert!(polled(waiting.as_mut()).await.is_pending());
    drop(service);
    assert!(ended(waiting).await.is_err());
}

// What is reserved

#[tokio::test]
async fn what_readiness_reserved_is_given_back_when_the_call_is_refused() {
    let permits = Arc::new(Semaphore::new(1));
    let handle = Handle::new();
    let limited = Quarantine::new(Limited::new(&permits), handle.clone());
    let (mut one, mut other) = (limited.clone(), limited);

    handle.blow("checksum");
    one.ready().await.unwrap();
    assert_eq!(permits.available_permits(), 0);
    let refused = one.call(());
    assert_eq!(permits.available_permits(), 1, "while the refusal is kept");
    assert_eq!(reason(&refused.await.unwrap_err()), "checksum");

    // Though the first caller stays and does not come again,
    handle.lift();
    assert!(ready(&mut other).await.is_ready());
    other.call(()).await.unwrap();
    assert_eq!(permits.available_permits(), 1);

    // it can.
    assert!(ready(&mut one).await.is_ready());
    one.call(()).await.unwrap();
}

#[tokio::test]
async fn what_readiness_reserved_goes_with_the_call_that_is_made() {
    let permits = Arc::new(Semaphore::new(1));
    let mut service = Quarantine::new(Limited::new(&permits), Handle::new());
    service.ready().await.unwrap();
    let response = service.call(());
    assert_eq!(permits.available_permits(), 0);
    drop(response);
    assert_eq!(permits.available_permits(), 1);
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    owed::calls_go_to_the_instance_that_was_ready(QuarantineLayer::new(Handle::new())).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_inner_service_in_quarantine_and_out_of_it() {
    let fuse = Handle::new();
    let (mut service, mut handle) = mock::spawn_layer(QuarantineLayer::new(fuse.clone()));
    for round in 0..3 {
        fuse.blow("checksum");
        handle.allow(0);
        assert!(service.poll_ready().is_pending(), "round {round}");
        handle.allow(1);
        // A refusal here would be the end of the service.
        assert!(
            matches!(service.poll_ready(), Poll::Ready(Ok(()))),
            "round {round}"
        );
        let error = ended(service.call(round)).await.unwrap_err();
        assert_eq!(reason(&error), "checksum");

        fuse.lift();
        handle.allow(1);
        assert!(
            matches!(service.poll_ready(), Poll::Ready(Ok(()))),
            "round {round}"
        );
        let response = service.call(round);
        let (request, reply) = next(&mut handle).await.unwrap();
        assert_eq!(request, round);
        reply.send_response("answer");
        assert_eq!(ended(response).await.unwrap(), "answer");
    }
}

#[tokio::test]
async fn an_error_of_readiness_passes_through() {
    for blown in [false, true] {
        let fuse = Handle::new();
        if blown {
            fuse.blow("checksum");
        }
        owed::errors_of_readiness_pass(QuarantineLayer::new(fuse));
    }
}

#[tokio::test]
async fn dropping_a_call_at_any_point_releases_everything() {
    for point in ["refused", "before the first poll", "in the call"] {
        let handle = Handle::new();
        let inner = service_fn(async |held: Arc<()>| {
            let _held = held;
            pending::<Result<(), BoxError>>().await
        });
        let mut service = Quarantine::new(inner, handle.clone());
        let request = Arc::new(());
        if point == "refused" {
            handle.blow("checksum");
        }
        let mut response = Box::pin(service.call(Arc::clone(&request)));
        let holders = if point == "refused" { 1 } else { 2 };
        assert_eq!(Arc::strong_count(&request), holders, "{point}");
        if point == "in the call" {
            assert!(polled(response.as_mut()).await.is_pending());
        }
        drop(response);
        assert_eq!(Arc::strong_count(&request), 1, "dropped {point}");
    }
}

#[tokio::test]
async fn services_of_one_fuse_and_clones_of_them_are_refused_together_and_others_are_not() {
    let (ours, others) = (Handle::new(), Handle::default());
    let layer = QuarantineLayer::new(ours.clone());
    let one = layer.layer(double());
    let services = [
        one.clone(),
        one,
        layer.layer(double()),
        layer.clone().layer(double()),
        QuarantineLayer::new(ours.clone()).layer(double()),
    ];
    let apart = Quarantine::new(double(), others.clone());

    ours.blow("checksum");
    for service in services.clone() {
        assert_eq!(reason(&service.oneshot(2).await.unwrap_err()), "checksum");
    }
    assert_eq!(apart.oneshot(2).await.unwrap(), 4);
    assert_eq!(others.reason(), None);

    ours.lift();
    for service in services {
        assert_eq!(service.oneshot(2).await.unwrap(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_of_the_inner_service_pass_as_they_are() {
    let (mock, mut handle) = mock::pair::<&str, Arc<str>>();
    let service = Quarantine::new(mock, Handle::new());

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
        .send_error(Failed("below"));
    let error = ended(answer).await.unwrap().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Failed("below")));
}

#[tokio::test]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let (mock, _handle) = mock::pair::<(), ()>();
    let mut service = Quarantine::new(Some(mock), Handle::new());
    assert!(service.get_ref().is_some());
    *service.get_mut() = None;
    assert!(service.into_inner().is_none());
}

#[tokio::test]
async fn in_a_router_every_route_and_connection_is_refused_and_what_is_under_way_goes_on() {
    let fuse = Handle::new();
    let site = Site::default();
    let router = Router::new()
        .route("/wall", get(build))
        .route("/roof", get(build))
        .layer((
            HandleErrorLayer::new(unavailable),
            QuarantineLayer::new(fuse.clone()),
            MapErrLayer::new(BoxError::from),
        ))
        .with_state(site.clone());
    let [mut one, mut other] = client::two_connections(router).await;

    one.send("/wall").await;
    ended(site.begun.notified()).await;
    fuse.blow("checksum");

    let refused = (503, "refused, in quarantine: checksum".to_owned());
    assert_eq!(ended(other.get("/wall")).await, refused);
    assert_eq!(ended(other.get("/roof")).await, refused);

    site.gate.add_permits(5);
    assert_eq!(ended(one.answer()).await, (200, "/wall".to_owned()));
    assert_eq!(ended(one.get("/wall")).await, refused);
    assert_eq!(ended(one.get("/roof")).await, refused);

    fuse.lift();
    for connection in [&mut one, &mut other] {
        for path in ["/wall", "/roof"] {
            assert_eq!(ended(connection.get(path)).await, (200, path.to_owned()));
        }
    }
    assert_eq!(
        site.gate.available_permits(),
        0,
        "no other call got through"
    );
}

/// Work that waits at a gate.
#[derive(Clone)]
struct Site {
    /// Told of each work that has come to the gate.
    begun: Arc<Notify>,
    /// A permit lets one work go on.
    gate: Arc<Semaphore>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            begun: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }
}

async fn build(State(site): State<Site>, uri: Uri) -> String {
    site.begun.notify_one();
    site.gate
        .acquire()
        .await
        .expect("an open semaphore")
        .forget();
    uri.to_string()
}

async fn unavailable(error: BoxError) -> (StatusCode, String) {
    assert!(error.is::<Quarantined>(), "{error}");
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// Takes a permit when it is asked for readiness, and holds it until its next call has ended.
struct Limited {
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Limited {
    fn new(permits: &Arc<Semaphore>) -> Self {
        Self {
            permits: Arc::clone(permits),
            permit: None,
        }
    }
}

/// A clone has no permit.
impl Clone for Limited {
    fn clone(&self) -> Self {
        Self::new(&self.permits)
    }
}

impl Service<()> for Limited {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

    /// Wakes nobody: these tests look again themselves.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.permit.is_none() {
            self.permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        }
        match self.permit {
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let permit = self.permit.take().expect("ready before it is called");
        Box::pin(async move {
            drop(permit);
            Ok(())
        })
    }
}

fn double() -> impl Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone {
    service_fn(async |n: u32| Ok::<_, BoxError>(2 * n))
}

/// Why the call was refused.
fn reason(error: &BoxError) -> &str {
    let refusal: &Quarantined = error.downcast_ref().expect("a refusal");
    refusal.reason()
}

/// Asks for readiness once.
async fn ready<S: Service<()>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    std::future::poll_fn(|cx| Poll::Ready(service.poll_ready(cx))).await
}
