//! What [`Compensate`] promises: a plan is made as a whole, or nothing of it remains, or it is said
//! that neither is certain.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common::client;
use crate::common::failing::{Failed, policy};
use crate::common::waiting::{ended, ms, next, polled};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use resilient::compensate::{Compensate, CompensateLayer, Outcome, Standing, Step};
use resilient::detach::{Detach, Tracker};
use resilient::testing::network::{Delays, Network, Odds, Percent};
use resilient::testing::probe::{Handle, Probe};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tower::limit::ConcurrencyLimit;
use tower::retry::Retry;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock;

use Deed::{Fence, Look, Make, Undo};
use Standing::{Made, Never};

// Forward

#[tokio::test]
async fn steps_are_made_in_order_and_nothing_else_is_sent() {
    for length in 0..=5 {
        let site = Site::default();
        assert_eq!(site.run(plan(length)).await, Outcome::Done);
        assert_eq!(site.log(), plan(length));
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_is_sent_when_the_one_before_it_was_answered_and_no_earlier() {
    let (mut steps, _undos, outcome) = watched(plan(2));
    let (request, reply) = next(&mut steps).await.unwrap();
    assert_eq!(request, Make(1));
    assert!(
        timeout(ms(60_000), steps.next_request()).await.is_err(),
        "the second step was sent before the first was answered"
    );
    reply.send_response(Made);
    let (request, reply) = next(&mut steps).await.unwrap();
    assert_eq!(request, Make(2));
    reply.send_response(Made);
    assert!(matches!(ended(outcome).await.unwrap(), Ok(Outcome::Done)));
}

// Back

#[tokio::test]
async fn when_a_step_never_happens_the_ones_before_it_are_undone_last_first_and_none_is_fenced() {
    for (length, failing) in places() {
        let site = Site::default().answers(Make(failing), [Ok(Never)]);
        let outcome = site.run(plan(length)).await;

        assert_eq!(outcome, Outcome::Undone { cause: None });
        let undos = (1..failing).rev().map(Undo);
        let expected: Vec<_> = (1..=failing).map(Make).chain(undos).collect();
        assert_eq!(site.log(), expected, "step {failing} of {length}");
    }
}

#[tokio::test]
async fn when_a_step_fails_it_is_fenced_before_the_ones_before_it_are_undone() {
    for (length, failing) in places() {
        let site = Site::default().answers(Make(failing), [Err(Failed("step"))]);
        let outcome = site.run(plan(length)).await;

        let cause = Some(Failed("step"));
        assert_eq!(outcome, Outcome::Undone { cause });
        let back = [Fence(failing)]
            .into_iter()
            .chain((1..failing).rev().map(Undo));
        let expected: Vec<_> = (1..=failing).map(Make).chain(back).collect();
        assert_eq!(site.log(), expected, "step {failing} of {length}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_passed_over() {
    let site = Site::default().answers(Make(5), [Ok(Never)]);
    let outcome = site
        .run(vec![Look(1), Make(2), Look(3), Look(4), Make(5)])
        .await;
    assert_eq!(outcome, Outcome::Undone { cause: None });
    assert_eq!(site.log()[5..], [Undo(2)]);
}

#[tokio::test]
async fn any_answer_to_an_undo_is_good() {
    for answer in [Made, Never] {
        let site = Site::default()
            .answers(Make(3), [Ok(Never)])
            .answers(Undo(2), [Ok(answer)]);
        assert_eq!(site.run(plan(3)).await, Outcome::Undone { cause: None });
        assert_eq!(site.log()[3..], [Undo(2), Undo(1)]);
    }
}

// In doubt

#[tokio::test]
async fn a_step_whose_fence_finds_it_made_is_made_and_the_plan_goes_on() {
    for (length, failing) in places() {
        let site = Site::default()
            .answers(Make(failing), [Err(Failed("answer lost"))])
            .answers(Fence(failing), [Ok(Made)]);
        assert_eq!(site.run(plan(length)).await, Outcome::Done);

        let mut expected = plan(length);
        expected.insert(failing as usize, Fence(failing));
        assert_eq!(site.log(), expected, "step {failing} of {length}");
    }
}

#[tokio::test]
async fn a_step_whose_fence_found_it_made_is_undone_with_the_others() {
    let site = Site::default()
        .answers(Make(2), [Err(Failed("answer lost"))])
        .answers(Fence(2), [Ok(Made)])
        .answers(Make(3), [Ok(Never)]);
    assert_eq!(site.run(plan(3)).await, Outcome::Undone { cause: None });
    assert_eq!(site.log()[4..], [Undo(2), Undo(1)]);
}

#[tokio::test]
async fn when_the_fence_fails_too_nothing_is_undone_and_the_step_is_named() {
    for (length, failing) in places() {
        let site = Site::default()
            .answers(Make(failing), [Err(Failed("step"))])
            .answers(Fence(failing), [Err(Failed("fence"))]);
        let outcome = site.run(plan(length)).await;

        let doubt = Outcome::Unknown {
            step: Make(failing),
            cause: Failed("step"),
            fence: Failed("fence"),
        };
        assert_eq!(outcome, doubt);
        let expected: Vec<_> = (1..=failing).map(Make).chain([Fence(failing)]).collect();
        assert_eq!(site.log(), expected, "step {failing} of {length}");
    }
}

#[tokio::test]
async fn an_undo_that_fails_is_the_last() {
    for (answer, cause) in [
        (Ok(Never), None),
        (Err(Failed("step")), Some(Failed("step"))),
    ] {
        let site = Site::default()
            .answers(Make(4), [answer])
            .answers(Undo(2), [Err(Failed("undo"))]);
        let outcome = site.run(plan(4)).await;

        let undo = Failed("undo");
        assert_eq!(outcome, Outcome::Stuck { cause, undo });
        let log = site.log();
        assert_eq!(log[log.len() - 2..], [Undo(3), Undo(2)]);
    }
}

// With other layers

#[tokio::test(start_paused = true)]
async fn undos_and_fences_are_tried_again_below_and_steps_are_not() {
    let site = Site::default()
        .answers(Make(3), [Err(Failed("step"))])
        .answers(Fence(3), [Err(Failed("fence"))])
        .answers(Undo(2), [Err(Failed("once")), Err(Failed("twice"))]);
    let service = Compensate::new(site.clone(), Retry::new(policy(ms(1), 9), site.clone()));

    let cause = Some(Failed("step"));
    assert_eq!(
        service.oneshot(plan(3)).await,
        Ok(Outcome::Undone { cause })
    );
    assert_eq!(
        site.log()[2..],
        [
            Make(3),
            Fence(3),
            Fence(3),
            Undo(2),
            Undo(2),
            Undo(2),
            Undo(1)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn under_detach_a_caller_that_goes_at_any_point_leaves_no_plan_in_the_middle() {
    // Three steps, the fence of the fourth, and three undos.
    for requests in 0..=7 {
        let tracker = Tracker::new();
        let gate = Arc::new(Semaphore::new(requests));
        let site = Site {
            gate: Some(Arc::clone(&gate)),
            ..Site::default().answers(Make(4), [Err(Failed("step"))])
        };
        let plans = Compensate::new(site.clone(), site.clone());
        let caller = Detach::new(plans, tracker.clone()).oneshot(plan(4));
        assert!(timeout(ms(1), caller).await.is_err());
        assert!(site.log().len() <= requests + 1, "it is in the middle");

        gate.add_permits(100);
        ended(tracker.close_and_wait()).await;
        assert_eq!(
            site.log()[4..],
            [Fence(4), Undo(3), Undo(2), Undo(1)],
            "the caller went after {requests} requests"
        );
    }
}

#[tokio::test]
async fn a_plan_holds_one_place_of_a_limited_service_at_a_time_and_none_at_its_end() {
    let site = Site::default().answers(Make(3), [Err(Failed("step"))]);
    let limited = ConcurrencyLimit::new(site.clone(), 1);
    // Steps, fences and undos share the only place; so does the next plan.
    let mut service = Compensate::new(limited.clone(), limited);
    for plan in [plan(3), plan(0), plan(2)] {
        // An instance that is ready keeps a place to itself until it is called.
        let mut caller = service.clone();
        let outcome = ended(async { caller.ready().await?.call(plan).await });
        assert!(outcome.await.is_ok());
    }
    assert!(ended(service.ready()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn over_a_bad_network_a_plan_comes_to_what_its_outcome_says() {
    let (mut done, mut undone, mut unknown, mut stuck) = (0, 0, 0, 0);
    for seed in 0..1_000 {
        // The last step of every other plan is refused for good.
        let books = Books::refusing((seed % 2 == 0).then_some(4));
        let percent = Percent {
            refused: 5,
            lost: 10,
            unanswered: 10,
            doubled: 10,
            late: 10,
        };
        let delays = Delays {
            before: ms(0)..=ms(50),
            after: ms(0)..=ms(50),
            late_by: ms(0)..=ms(5_000),
        };
        let odds = Odds::new(percent, delays, seed).unwrap();
        let failed = |_: &Deed| Failed("network");
        let wire = Network::new(books.clone(), odds, failed, failed);
        let service = Compensate::new(wire.clone(), Retry::new(policy(ms(1), 1), wire));

        let outcome = service.oneshot(plan(4)).await.unwrap();
        sleep(ms(60_000)).await; // for whatever was late
        let made = books.made();
        match outcome {
            Outcome::Done => {
                assert_eq!(made, [1, 2, 3, 4], "seed {seed}");
                done += 1;
            }
            Outcome::Undone { .. } => {
                assert!(made.is_empty(), "seed {seed}: {made:?} remain");
                undone += 1;
            }
            Outcome::Unknown { step, .. } => {
                let Make(doubted) = step else {
                    panic!("seed {seed}: {step:?}")
                };
                let certain: Vec<_> = (1..doubted).collect();
                let others: Vec<_> = made.into_iter().filter(|&n| n != doubted).collect();
                assert_eq!(others, certain, "seed {seed}");
                unknown += 1;
            }
            Outcome::Stuck { .. } => stuck += 1,
        }
    }
    for (kind, count) in [
        ("done", done),
        ("undone", undone),
        ("unknown", unknown),
        ("stuck", stuck),
    ] {
        assert!(count > 20, "{count} plans were {kind}: too few to tell");
    }
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn each_call_goes_to_the_very_instance_that_was_ready() {
    let (undo, _undos) = mock::pair::<Deed, Standing>();
    let (mut service, mut handle) = mock::spawn_layer(CompensateLayer::new(undo));
    for round in 0..3 {
        handle.allow(0);
        assert!(service.poll_ready().is_pending(), "round {round}");
        handle.allow(1);
        assert!(
            matches!(service.poll_ready(), Poll::Ready(Ok(()))),
            "round {round}"
        );
        // There is readiness for one call: another instance would wait for ever.
        let outcome = tokio::spawn(service.call(vec![Make(round)]));
        let (request, reply) = next(&mut handle).await.unwrap();
        assert_eq!(request, Make(round));
        reply.send_response(Made);
        assert!(matches!(ended(outcome).await.unwrap(), Ok(Outcome::Done)));
    }
}

#[tokio::test]
async fn readiness_is_asked_for_before_every_request() {
    let site = Site::default()
        .answers(Make(2), [Err(Failed("step"))])
        .answers(Fence(2), [Ok(Made)])
        .answers(Make(4), [Err(Failed("step"))]);
    let (steps, undos) = (Handle::new(), Handle::new());
    let mut service = Compensate::new(
        Probe::new(site.clone(), steps.clone()),
        Probe::new(site, undos.clone()),
    );
    for _ in 0..3 {
        let outcome = ended(service.ready().await.unwrap().call(plan(4))).await;
        assert!(outcome.is_ok());
    }
    assert_eq!((steps.seen().calls, steps.seen().unready), (12, 0));
    assert_eq!((undos.seen().calls, undos.seen().unready), (5, 0));
    assert_eq!(
        (steps.seen().most_in_flight, undos.seen().most_in_flight),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_passes_through_and_nothing_was_sent() {
    let (undo, mut undos) = mock::pair::<Deed, Standing>();
    let (mut service, mut handle) =
        mock::spawn_layer::<Deed, Standing, _>(CompensateLayer::new(undo));
    handle.send_error(Failed("not ready"));
    let Poll::Ready(Err(error)) = service.poll_ready::<Vec<Deed>>() else {
        panic!("no error")
    };
    assert_eq!(error.downcast_ref(), Some(&Failed("not ready")));
    assert!(handle.poll_request().is_pending());
    assert!(undos.poll_request().is_pending());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_in_the_middle_is_the_error_of_the_step_that_waited_for_it() {
    let (mut steps, mut undos, outcome) = watched(plan(2));
    let (_, reply) = next(&mut steps).await.unwrap();
    steps.send_error(Failed("not ready"));
    reply.send_response(Made);

    for request in [Fence(2), Undo(1)] {
        let (sent, reply) = next(&mut undos).await.unwrap();
        assert_eq!(sent, request);
        reply.send_response(Never);
    }
    let Ok(Outcome::Undone { cause: Some(cause) }) = ended(outcome).await.unwrap() else {
        panic!("not undone")
    };
    assert_eq!(cause.downcast_ref(), Some(&Failed("not ready")));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_for_a_fence_or_an_undo_is_its_error() {
    let (mut steps, mut undos, outcome) = watched(plan(2));
    next(&mut steps).await.unwrap().1.send_response(Made);
    undos.send_error(Failed("not ready"));
    next(&mut steps).await.unwrap().1.send_error(Failed("step"));
    let Ok(Outcome::Unknown { cause, fence, .. }) = ended(outcome).await.unwrap() else {
        panic!("not unknown")
    };
    assert_eq!(cause.downcast_ref(), Some(&Failed("step")));
    assert_eq!(fence.downcast_ref(), Some(&Failed("not ready")));

    let (mut steps, mut undos, outcome) = watched(plan(2));
    next(&mut steps).await.unwrap().1.send_response(Made);
    undos.send_error(Failed("not ready"));
    next(&mut steps).await.unwrap().1.send_response(Never);
    let Ok(Outcome::Stuck { cause: None, undo }) = ended(outcome).await.unwrap() else {
        panic!("not stuck")
    };
    assert_eq!(undo.downcast_ref(), Some(&Failed("not ready")));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_at_any_point_releases_everything() {
    // Two steps, the fence of the third, and two undos.
    for answered in 0..=5 {
        let gate = Arc::new(Semaphore::new(answered));
        let site = Site {
            gate: Some(Arc::clone(&gate)),
            ..Site::default().answers(Make(3), [Err(Failed("step"))])
        };
        let (steps, undos) = (Handle::strict(), Handle::strict());
        let mut service = Compensate::new(
            Probe::new(site.clone(), steps.clone()),
            Probe::new(site.clone(), undos.clone()),
        );
        let mut response = Box::pin(service.ready().await.unwrap().call(plan(3)));
        assert!(polled(response.as_mut()).await.is_pending());
        let (step, undo) = (steps.seen(), undos.seen());
        assert_eq!(
            (step.calls + undo.calls) as usize,
            answered + 1,
            "it is in the middle"
        );
        assert_eq!(step.in_flight + undo.in_flight, 1);
        drop(response);

        for (of, seen) in [("steps", steps.seen()), ("undos", undos.seen())] {
            assert_eq!(seen.in_flight, 0, "{answered} answered, {of}");
            assert_eq!(seen.instances, 1, "{answered} answered, {of}");
        }
        gate.add_permits(100);
        sleep(ms(60_000)).await;
        assert_eq!(
            site.log().len(),
            answered,
            "nothing goes on without the caller"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_that_waits_for_readiness_releases_it() {
    let (mut steps, mut undos, outcome) = watched(plan(2));
    let (_, reply) = next(&mut steps).await.unwrap();
    steps.allow(0);
    reply.send_response(Made);
    sleep(ms(1)).await;
    outcome.abort();
    assert!(next(&mut steps).await.is_none(), "a service is still held");
    assert!(next(&mut undos).await.is_none(), "a service is still held");
}

#[tokio::test]
async fn a_call_that_is_never_polled_sends_nothing() {
    let site = Site::default();
    let mut service = Compensate::new(site.clone(), site.clone());
    drop(service.ready().await.unwrap().call(plan(3)));
    assert_eq!(site.log(), []);
}

#[tokio::test]
#[should_panic(expected = "polled after it was ready")]
async fn an_ended_plan_does_not_go_on_when_it_is_polled_again() {
    let site = Site::default()
        .answers(Make(1), [Err(Failed("step"))])
        .answers(Fence(1), [Err(Failed("fence"))]);
    let mut response = Box::pin(Compensate::new(site.clone(), site.clone()).call(plan(3)));
    assert!(polled(response.as_mut()).await.is_ready());
    let _ = polled(response.as_mut()).await;
}

#[tokio::test(start_paused = true)]
async fn clones_and_services_of_one_layer_make_their_plans_apart() {
    let gate = Arc::new(Semaphore::new(0));
    let site = Site {
        gate: Some(Arc::clone(&gate)),
        ..Site::default().answers(Make(2), [Ok(Never)])
    };
    let layer = CompensateLayer::new(site.clone());
    let (one, other) = (layer.layer(site.clone()), layer.clone().layer(site.clone()));
    let calls = [
        tokio::spawn(one.clone().oneshot(vec![Make(1), Make(2)])),
        tokio::spawn(one.oneshot(vec![Make(11), Make(12)])),
        tokio::spawn(other.oneshot(vec![Make(21), Make(22)])),
    ];
    sleep(ms(1)).await;
    gate.add_permits(100);

    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(ended(call).await.unwrap().unwrap());
    }
    assert_eq!(
        outcomes,
        [
            Outcome::Undone { cause: None },
            Outcome::Done,
            Outcome::Done
        ]
    );
    let undone: Vec<_> = site
        .log()
        .into_iter()
        .filter(|deed| matches!(deed, Undo(_)))
        .collect();
    assert_eq!(undone, [Undo(1)]);
}

#[tokio::test]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let mut service = Compensate::new(Some("inner"), "undo");
    assert_eq!(service.get_ref(), &Some("inner"));
    *service.get_mut() = None;
    assert_eq!(service.into_inner(), None);
}

#[tokio::test]
async fn in_a_router_each_request_is_a_plan_of_its_own_on_every_route_and_connection() {
    let site = Site::default().answers(
        Make(2),
        [Ok(Made), Ok(Never), Ok(Made), Err(Failed("step"))],
    );
    let router = Router::new()
        .route("/one/{n}", get(make))
        .route("/other/{n}", get(make))
        .layer((
            MapRequestLayer::new(|request: Request| {
                let path = request.uri().path().split('/').nth(1).unwrap_or_default();
                (1..=3)
                    .map(|n| Sent(format!("/{path}/{n}"), Make(n)))
                    .collect::<Vec<_>>()
            }),
            MapResponseLayer::new(|outcome| match outcome {
                Outcome::<Sent, _, Failed>::Done => "done".into_response(),
                Outcome::Undone { .. } => (StatusCode::CONFLICT, "undone").into_response(),
                _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }),
            CompensateLayer::new(site.clone().map_request(|Sent(_, deed)| deed)),
            MapResponseLayer::new(|response: Response| match response.status() {
                StatusCode::OK => Made,
                _ => Never,
            }),
            MapRequestLayer::new(|Sent(path, _)| {
                let mut request = Request::new(Body::empty());
                *request.uri_mut() = path.parse::<Uri>().expect("a path");
                request
            }),
        ))
        .with_state(site.clone());

    let [mut one, mut other] = client::two_connections(router).await;
    for connection in [&mut one, &mut other] {
        assert_eq!(connection.get("/one/0").await, (200, "done".to_owned()));
        assert_eq!(connection.get("/other/0").await, (409, "undone".to_owned()));
    }
    let undone = site.log().iter().filter(|&deed| *deed == Undo(1)).count();
    assert_eq!(
        undone, 2,
        "the undos of all routes and connections go to one service"
    );
}

/// A request of these tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Deed {
    Make(u32),
    /// A step that leaves nothing to take back.
    Look(u32),
    Fence(u32),
    Undo(u32),
}

impl Step for Deed {
    fn fence(&self) -> Self {
        match *self {
            Make(n) | Look(n) => Fence(n),
            Fence(_) | Undo(_) => unreachable!("only steps are fenced"),
        }
    }

    fn undo(&self) -> Option<Self> {
        match *self {
            Make(n) => Some(Undo(n)),
            Look(_) => None,
            Fence(_) | Undo(_) => unreachable!("only steps are undone"),
        }
    }
}

/// A deed with the path that it goes to.
#[derive(Clone)]
struct Sent(String, Deed);

impl Step for Sent {
    fn fence(&self) -> Self {
        Self(self.0.clone(), self.1.fence())
    }

    fn undo(&self) -> Option<Self> {
        Some(Self(self.0.clone(), self.1.undo()?))
    }
}

/// Steps 1 to `length`.
fn plan(length: u32) -> Vec<Deed> {
    (1..=length).map(Make).collect()
}

/// Every step of plans of up to 5 steps, as the length of the plan and the number of the step.
fn places() -> impl Iterator<Item = (u32, u32)> {
    (1..=5).flat_map(|length| (1..=length).map(move |step| (length, step)))
}

type Answer = Result<Standing, Failed>;

/// Notes what it is asked for, and answers as it was told. Clones are the same.
#[derive(Clone, Default)]
struct Site {
    log: Arc<Mutex<Vec<Deed>>>,
    answers: Arc<Mutex<HashMap<Deed, VecDeque<Answer>>>>,
    /// A permit lets one request through, and is used up by it.
    gate: Option<Arc<Semaphore>>,
}

impl Site {
    /// `deed` is answered so, one answer a time, before it is answered well.
    fn answers(self, deed: Deed, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.answers
            .lock()
            .expect("no panic")
            .insert(deed, answers.into_iter().collect());
        self
    }

    async fn run(&self, plan: Vec<Deed>) -> Outcome<Deed, Failed, Failed> {
        let probe = || Probe::new(self.clone(), Handle::strict());
        let service = Compensate::new(probe(), probe());
        ended(service.oneshot(plan)).await.expect("always ready")
    }

    async fn answer(self, deed: Deed) -> Answer {
        if let Some(gate) = &self.gate {
            gate.acquire().await.expect("an open semaphore").forget();
        }
        self.log.lock().expect("no panic").push(deed);
        let mut answers = self.answers.lock().expect("no panic");
        match answers.get_mut(&deed).and_then(VecDeque::pop_front) {
            Some(answer) => answer,
            None => Ok(match deed {
                Make(_) | Look(_) => Made,
                Fence(_) | Undo(_) => Never,
            }),
        }
    }

    /// What was let through.
    fn log(&self) -> Vec<Deed> {
        self.log.lock().expect("no panic").clone()
    }
}

impl Service<Deed> for Site {
    type Response = Standing;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, deed: Deed) -> Self::Future {
        Box::pin(self.clone().answer(deed))
    }
}

async fn make(State(site): State<Site>, uri: Uri) -> StatusCode {
    let n = uri.path().rsplit('/').next().and_then(|n| n.parse().ok());
    match site.answer(Make(n.expect("a number"))).await {
        Ok(Made) => StatusCode::OK,
        _ => StatusCode::CONFLICT,
    }
}

/// Remembers of every step whether it was made or called off, so that it can be asked twice.
#[derive(Clone)]
struct Books {
    standings: Arc<Mutex<HashMap<u32, Standing>>>,
}

impl Books {
    /// Books in which `refused` is called off from the beginning.
    fn refusing(refused: Option<u32>) -> Self {
        let standings = refused.map(|n| (n, Never)).into_iter().collect();
        Self {
            standings: Arc::new(Mutex::new(standings)),
        }
    }

    fn answer(&self, deed: Deed) -> Standing {
        let mut standings = self.standings.lock().expect("no panic");
        match deed {
            Make(n) | Look(n) => *standings.entry(n).or_insert(Made),
            Fence(n) => *standings.entry(n).or_insert(Never),
            Undo(n) => {
                standings.insert(n, Never);
                Never
            }
        }
    }

    /// The steps that stand.
    fn made(&self) -> Vec<u32> {
        let standings = self.standings.lock().expect("no panic");
        let mut made: Vec<_> = standings
            .iter()
            .filter_map(|(&n, &standing)| (standing == Made).then_some(n))
            .collect();
        made.sort_unstable();
        made
    }
}

impl Service<Deed> for Books {
    type Response = Standing;
    type Error = Failed;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, deed: Deed) -> Self::Future {
        std::future::ready(Ok(self.answer(deed)))
    }
}

type Watched = tokio::task::JoinHandle<
    Result<Outcome<Deed, tower::BoxError, tower::BoxError>, tower::BoxError>,
>;

/// Runs `plan` on mocked services, for the steps and for fences and undos.
fn watched(
    plan: Vec<Deed>,
) -> (
    mock::Handle<Deed, Standing>,
    mock::Handle<Deed, Standing>,
    Watched,
) {
    let (service, steps) = mock::pair();
    let (undo, undos) = mock::pair();
    let outcome = tokio::spawn(Compensate::new(service, undo).oneshot(plan));
    (steps, undos, outcome)
}
