//! What [`Network`] promises: each fate as it is described, and the same seed the same run.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::common::client;
use crate::common::waiting::{ended, ms};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use proptest::prelude::*;
use resilient::detach::{Detach, Tracker};
use resilient::testing::SplitMix64;
use resilient::testing::network::{
    Delays, Fate, Happening, Network, NetworkLayer, Odds, Percent, Script,
};
use resilient::testing::probe::{Handle, Probe};
use tokio::time::{Instant, sleep, timeout};
use tower::util::rng::Rng as _;
use tower::util::{BoxCloneSyncService, MapRequestLayer, MapResponseLayer};
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_test::mock;

use Fate::{Doubled, Fine, Late, Lost, Refused, Unanswered};

const EVERY_FATE: [Fate; 6] = [Fine, Refused, Lost, Unanswered, Doubled, Late];

// Fates

#[tokio::test(start_paused = true)]
async fn what_is_fine_arrives_and_is_answered() {
    let run = send(Fine).await;
    assert_eq!(run.arrivals, [10]);
    assert_eq!((run.answer, run.answered_at), (Ok(1), 10 + 5 + 100));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_does_not_arrive_and_the_caller_can_tell() {
    let run = send(Refused).await;
    assert_eq!(run.arrivals, []);
    assert_eq!(
        (run.answer, run.answered_at),
        (Err("7 refused".to_owned()), 110)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_does_not_arrive() {
    let run = send(Lost).await;
    assert_eq!(run.arrivals, []);
    assert_eq!(
        (run.answer, run.answered_at),
        (Err("7 lost".to_owned()), 110)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_unanswered_arrives_and_its_answer_is_lost() {
    let run = send(Unanswered).await;
    assert_eq!(run.arrivals, [10]);
    assert_eq!(
        (run.answer, run.answered_at),
        (Err("7 lost".to_owned()), 10 + 5 + 100)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_doubled_arrives_twice_and_the_second_answer_comes_back() {
    let run = send(Doubled).await;
    assert_eq!(run.arrivals, [10, 15]);
    assert_eq!((run.answer, run.answered_at), (Ok(2), 10 + 5 + 5 + 100));
}

#[tokio::test(start_paused = true)]
async fn what_is_late_arrives_after_its_caller_got_an_error() {
    let run = send(Late).await;
    assert_eq!(run.arrivals, [110 + 1_000]);
    assert_eq!(
        (run.answer, run.answered_at),
        (Err("7 lost".to_owned()), 110)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_late_by_nothing_arrives_after_its_caller_got_an_error_all_the_same() {
    let server = Server::default();
    let mut service = network(&server, |_: &u32| Happening::new(Late));
    assert!(service.call(7).await.is_err());
    assert_eq!(server.log(), [0; 0]);
    sleep(ms(1)).await;
    assert_eq!(server.log(), [7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_overtaken_by_what_was_sent_after_it() {
    let server = Server::default();
    let mut service = network(&server, |&n: &u32| {
        happening(if n == 1 { Late } else { Fine })
    });
    assert!(service.call(1).await.is_err());
    assert_eq!(service.call(2).await, Ok(1));
    sleep(ms(10_000)).await;
    assert_eq!(server.log(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_way_overtakes_a_longer_one() {
    let server = Server::default();
    let mut service = network(&server, |&n: &u32| Happening {
        before: ms(n.into()),
        ..Happening::new(Fine)
    });
    let calls = [30, 10, 20].map(|n| tokio::spawn(service.call(n)));
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(server.log(), [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn without_delays_no_time_passes() {
    for fate in EVERY_FATE {
        let start = Instant::now();
        let server = Server {
            work: Duration::ZERO,
            ..Server::default()
        };
        let _ = network(&server, move |_: &u32| Happening::new(fate))
            .call(7)
            .await;
        assert_eq!(start.elapsed(), Duration::ZERO, "{fate:?}");
    }
}

// The script

#[tokio::test(start_paused = true)]
async fn clones_and_services_of_one_layer_are_clients_of_one_network() {
    let server = Server::default();
    let mut sent = 0;
    let script = move |_: &u32| {
        sent += 1;
        Happening::new(if sent % 2 == 0 { Refused } else { Fine })
    };
    let layer = NetworkLayer::new(script, refused as Error, lost as Error);
    let (one, other) = (
        layer.layer(server.clone()),
        layer.clone().layer(server.clone()),
    );
    for (n, service) in [one.clone(), one.clone(), one, other.clone(), other]
        .into_iter()
        .enumerate()
    {
        let answer = service.oneshot(n as u32).await;
        assert_eq!(answer.is_ok(), n % 2 == 0, "request {n}");
    }
    assert_eq!(server.log(), [0, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_script_reaches_its_caller_and_nobody_else() {
    let server = Server::default();
    let mut service = network(&server, |&n: &u32| match n {
        0 => panic!("on purpose"),
        _ => Happening::new(Fine),
    });
    let mut clone = service.clone();
    let caller = tokio::spawn(async move { clone.call(0).await });
    assert!(caller.await.unwrap_err().is_panic());
    assert_eq!(service.call(1).await, Ok(1));
}

// Odds

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_run() {
    let first = run_by_chance(1).await;
    assert_eq!(run_by_chance(1).await, first);
    assert_ne!(run_by_chance(2).await, first);
}

#[test]
fn fates_come_as_often_as_was_asked_for() {
    let percent = Percent {
        refused: 5,
        lost: 10,
        unanswered: 15,
        doubled: 20,
        late: 25,
    };
    let counts = count(percent, 100_000);
    for (fate, expected) in EVERY_FATE.iter().zip([25, 5, 10, 15, 20, 25]) {
        let share = counts[fate] as f64 / 1_000.0;
        assert!(
            (share - f64::from(expected)).abs() < 1.0,
            "{share} % are {fate:?}, and not {expected} %"
        );
    }
}

#[test]
fn a_hundred_percent_is_always_and_none_is_never() {
    assert_eq!(count(Percent::default(), 10_000)[&Fine], 10_000);
    for (fate, percent) in each_alone(100) {
        assert_eq!(count(percent, 10_000)[&fate], 10_000, "{fate:?}");
    }
}

#[test]
fn delays_are_spread_over_their_ranges() {
    let delays = Delays {
        before: ms(10)..=ms(20),
        after: ms(5)..=ms(5),
        late_by: ms(0)..=ms(1_000),
    };
    let mut odds = Odds::new(Percent::default(), delays.clone(), 1).unwrap();
    let drawn: Vec<Happening> = (0..10_000).map(|_| odds.next(&())).collect();
    for (range, of) in [
        (delays.before, (|h| h.before) as fn(&Happening) -> Duration),
        (delays.after, |h| h.after),
        (delays.late_by, |h| h.late_by),
    ] {
        let (start, end) = (*range.start(), *range.end());
        let drawn = || drawn.iter().map(of);
        assert!(drawn().all(|delay| range.contains(&delay)));
        let margin = (end - start) / 100;
        assert!(drawn().any(|delay| delay <= start + margin));
        assert!(drawn().any(|delay| delay >= end - margin));
        let mean = drawn().sum::<Duration>() / 10_000;
        assert!(mean.abs_diff((start + end) / 2) <= margin);
    }
}

#[test]
fn a_change_of_delays_leaves_the_fates_as_they_were() {
    let percent = Percent {
        lost: 50,
        ..Percent::default()
    };
    let slow = Delays {
        before: ms(1)..=ms(9),
        ..Delays::default()
    };
    let fates = |delays| {
        let mut odds = Odds::new(percent, delays, 1).unwrap();
        (0..100).map(|_| odds.next(&()).fate).collect::<Vec<_>>()
    };
    assert_eq!(fates(slow), fates(Delays::default()));
}

#[test]
fn odds_that_cannot_be_are_an_error() {
    for (fate, percent) in each_alone(101) {
        let error = Odds::new(percent, Delays::default(), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the percentages must not exceed 100 together",
            "{fate:?}"
        );
    }
    let together = |late| Percent {
        refused: 20,
        lost: 20,
        unanswered: 20,
        doubled: 20,
        late,
    };
    assert!(Odds::new(together(20), Delays::default(), 1).is_ok());
    assert!(Odds::new(together(21), Delays::default(), 1).is_err());

    let reversed = ms(2)..=ms(1);
    for delays in [
        Delays {
            before: reversed.clone(),
            ..Delays::default()
        },
        Delays {
            after: reversed.clone(),
            ..Delays::default()
        },
        Delays {
            late_by: reversed,
            ..Delays::default()
        },
    ] {
        let error = Odds::new(Percent::default(), delays, 1).unwrap_err();
        assert_eq!(error.to_string(), "a delay must not end before it starts");
    }
}

proptest! {
    #[test]
    fn no_range_is_left_or_panics(
        seed: u64,
        ends in any::<(u64, u32, u64, u32)>()
            .prop_map(|(s, n, t, m)| [Duration::new(s, n % 1_000_000_000), Duration::new(t, m % 1_000_000_000)]),
    ) {
        let range = ends[0].min(ends[1])..=ends[0].max(ends[1]);
        let delays = Delays { before: range.clone(), ..Delays::default() };
        let drawn = Odds::new(Percent::default(), delays, seed).unwrap().next(&()).before;
        prop_assert!(range.contains(&drawn));
    }
}

#[test]
fn a_seed_gives_the_published_numbers() {
    let mut random = SplitMix64::new(1_234_567);
    let numbers: Vec<u64> = (0..5).map(|_| random.next_u64()).collect();
    assert_eq!(
        numbers,
        [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ]
    );
}

// The caller hangs up

#[tokio::test(start_paused = true)]
async fn a_request_that_was_never_polled_is_not_sent_whatever_its_fate() {
    for fate in EVERY_FATE {
        let server = Server::default();
        drop(network(&server, move |_: &u32| Happening::new(fate)).call(7));
        sleep(ms(10_000)).await;
        assert_eq!(server.log(), [0; 0], "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_its_caller_hangs_up_does_not_arrive() {
    for fate in [Fine, Unanswered, Doubled] {
        let server = Server::default();
        let call = network(&server, move |_: &u32| happening(fate)).call(7);
        assert!(timeout(ms(9), call).await.is_err());
        sleep(ms(10_000)).await;
        assert_eq!(server.log(), [0; 0], "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_when_its_caller_hangs_up_is_dropped_unless_it_is_detached() {
    for fate in [Fine, Unanswered, Doubled] {
        let server = Server::default();
        let (plain, detached) = (Handle::strict(), Handle::strict());
        let inner = Probe::new(server.clone(), plain.clone());
        let call = Network::new(inner, move |_: &u32| happening(fate), refused, lost).call(7);
        assert!(timeout(ms(12), call).await.is_err());
        assert_eq!(plain.seen().dropped, 1, "{fate:?}");

        let tracker = Tracker::new();
        let inner = Detach::new(Probe::new(server, detached.clone()), tracker.clone())
            .map_err(|error| error.to_string());
        let call = Network::new(inner, move |_: &u32| happening(fate), refused, lost).call(7);
        assert!(timeout(ms(12), call).await.is_err());
        ended(tracker.close_and_wait()).await;
        assert_eq!(
            (detached.seen().calls, detached.seen().dropped),
            (1, 0),
            "{fate:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_late_arrives_even_if_its_caller_hangs_up_counted_from_then_on() {
    let start = Instant::now();
    let server = Server::default();
    let call = network(&server, |_: &u32| happening(Late)).call(7);
    assert!(timeout(ms(50), call).await.is_err());
    sleep(ms(10_000)).await;
    assert_eq!(server.arrivals(start), [50 + 1_000]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_at_any_point_releases_everything() {
    for fate in EVERY_FATE {
        // Before the first poll, under way, in the service, on the way back.
        for waited in [None, Some(ms(5)), Some(ms(12)), Some(ms(50))] {
            let handle = Handle::strict();
            let inner = Probe::new(Server::default(), handle.clone());
            let mut service = Network::new(inner, move |_: &u32| happening(fate), refused, lost);
            let call = service.call(7);
            match waited {
                None => drop(call),
                Some(waited) => assert!(timeout(waited, call).await.is_err()),
            }
            if fate == Late {
                sleep(ms(10_000)).await; // it is still to arrive
            }
            let seen = handle.seen();
            assert_eq!(
                (seen.in_flight, seen.instances),
                (0, 1),
                "{fate:?}, dropped after {waited:?}"
            );
        }
    }
}

// What every layer owes

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_whenever_a_request_arrives() {
    for (fate, arrivals) in EVERY_FATE.into_iter().zip([1, 0, 0, 1, 2, 1]) {
        let handle = Handle::new();
        let inner = Probe::new(Server::default(), handle.clone());
        let mut service = Network::new(inner, move |_: &u32| happening(fate), refused, lost);
        for _ in 0..3 {
            let _ = service.ready().await.unwrap().call(7).await;
        }
        sleep(ms(10_000)).await;
        let seen = handle.seen();
        assert_eq!((seen.calls, seen.unready), (3 * arrivals, 0), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_keeps_what_arrives_waiting() {
    let (mock, mut handle) = mock::pair::<u32, u32>();
    handle.allow(0);
    let mut service = Network::new(mock, |_: &u32| Happening::new(Fine), boxed, boxed);
    let answer = tokio::spawn(service.call(7));
    assert!(timeout(ms(60_000), handle.next_request()).await.is_err());
    handle.allow(1);
    let (request, reply) = ended(handle.next_request()).await.unwrap();
    assert_eq!(request, 7);
    reply.send_response(8);
    assert_eq!(ended(answer).await.unwrap().unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_the_answer() {
    let (mock, mut handle) = mock::pair::<u32, u32>();
    handle.send_error("not ready");
    let mut service = Network::new(mock, |_: &u32| Happening::new(Fine), boxed, boxed);
    let error = service.ready().await.unwrap().call(7).await.unwrap_err();
    assert_eq!(error.to_string(), "not ready");
}

#[tokio::test(start_paused = true)]
async fn answers_and_errors_of_the_service_pass_as_they_are() {
    let (mock, mut handle) = mock::pair::<u32, Arc<str>>();
    let mut service = Network::new(mock, |_: &u32| happening(Fine), boxed, boxed);

    let original: Arc<str> = "answer".into();
    let answer = tokio::spawn(service.call(7));
    let (_, reply) = ended(handle.next_request()).await.unwrap();
    reply.send_response(Arc::clone(&original));
    assert!(Arc::ptr_eq(
        &ended(answer).await.unwrap().unwrap(),
        &original
    ));

    let answer = tokio::spawn(service.call(7));
    let (_, reply) = ended(handle.next_request()).await.unwrap();
    reply.send_error("broken");
    let error = ended(answer).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn the_type_can_be_erased() {
    let server = Server::default();
    let odds = Odds::new(Percent::default(), Delays::default(), 1).unwrap();
    let service = BoxCloneSyncService::new(network(&server, odds));
    assert_eq!(service.clone().oneshot(7).await, Ok(1));
    assert_eq!(service.oneshot(7).await, Ok(2));
}

#[tokio::test]
async fn the_inner_service_can_be_seen_changed_and_taken_back() {
    let mut service = Network::new(Some("inner"), (), (), ());
    assert_eq!(service.get_ref(), &Some("inner"));
    *service.get_mut() = None;
    assert_eq!(service.into_inner(), None);
}

#[tokio::test]
async fn in_a_router_all_routes_and_connections_have_one_network() {
    let mut sent = 0;
    let script = move |_: &String| {
        sent += 1;
        Happening::new(if sent % 3 == 0 { Refused } else { Fine })
    };
    let refused = |path: &String| -> BoxError { format!("{path} refused").into() };
    let router = Router::new()
        .route("/one", get(async || "one"))
        .route("/other", get(async || "other"))
        .layer((
            axum::error_handling::HandleErrorLayer::new(async |error: BoxError| {
                (StatusCode::BAD_GATEWAY, error.to_string())
            }),
            // A request with a body cannot be cloned.
            MapRequestLayer::new(|request: Request| request.uri().path().to_owned()),
            NetworkLayer::new(script, refused, refused),
            tower::util::MapErrLayer::new(BoxError::from),
            MapRequestLayer::new(|path: String| {
                let mut request = Request::new(axum::body::Body::empty());
                *request.uri_mut() = path.parse().expect("a path");
                request
            }),
            MapResponseLayer::new(|response: Response| response.into_response()),
        ));
    let [mut first, mut second] = client::two_connections(router).await;
    let mut answers = Vec::new();
    for connection in [&mut first, &mut second] {
        for path in ["/one", "/other", "/one"] {
            answers.push(connection.get(path).await.0);
        }
    }
    assert_eq!(answers, [200, 200, 502, 200, 200, 502]);
}

/// What became of one request, 7, in milliseconds from its sending.
struct Run {
    arrivals: Vec<u128>,
    answer: Result<u32, String>,
    answered_at: u128,
}

/// Sends a request to a server that works for 5 ms, and waits for whatever is late.
async fn send(fate: Fate) -> Run {
    let start = Instant::now();
    let server = Server::default();
    let mut service = network(&server, move |_: &u32| happening(fate));
    let answer = service.call(7).await;
    let answered_at = start.elapsed().as_millis();
    sleep(ms(10_000)).await;
    Run {
        arrivals: server.arrivals(start),
        answer,
        answered_at,
    }
}

/// 10 ms there, 100 ms back, a second late.
fn happening(fate: Fate) -> Happening {
    Happening {
        fate,
        before: ms(10),
        after: ms(100),
        late_by: ms(1_000),
    }
}

/// Everything that is seen of 200 requests at once: what arrived when, and what each came to.
async fn run_by_chance(seed: u64) -> (Vec<(u32, u128)>, Vec<Result<u32, String>>) {
    let percent = Percent {
        refused: 10,
        lost: 10,
        unanswered: 10,
        doubled: 10,
        late: 10,
    };
    let delays = Delays {
        before: ms(0)..=ms(100),
        after: ms(0)..=ms(100),
        late_by: ms(0)..=ms(100),
    };
    let start = Instant::now();
    let server = Server::default();
    let mut service = network(
        &server,
        Odds::new(percent, delays, seed).expect("valid odds"),
    );
    let calls: Vec<_> = (0..200).map(|n| tokio::spawn(service.call(n))).collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(ended(call).await.expect("no panic"));
    }
    sleep(ms(10_000)).await;
    let arrivals = server.log().into_iter().zip(server.arrivals(start));
    (arrivals.collect(), answers)
}

/// How often each fate came.
fn count(percent: Percent, requests: usize) -> HashMap<Fate, usize> {
    let mut odds = Odds::new(percent, Delays::default(), 1).expect("valid odds");
    let mut counts = HashMap::new();
    for _ in 0..requests {
        *counts.entry(odds.next(&()).fate).or_default() += 1;
    }
    counts
}

/// For each fate but the good one, `percent` of it and nothing of the others.
fn each_alone(percent: u8) -> [(Fate, Percent); 5] {
    let none = Percent::default();
    [
        (
            Refused,
            Percent {
                refused: percent,
                ..none
            },
        ),
        (
            Lost,
            Percent {
                lost: percent,
                ..none
            },
        ),
        (
            Unanswered,
            Percent {
                unanswered: percent,
                ..none
            },
        ),
        (
            Doubled,
            Percent {
                doubled: percent,
                ..none
            },
        ),
        (
            Late,
            Percent {
                late: percent,
                ..none
            },
        ),
    ]
}

type Error = fn(&u32) -> String;

fn network<X>(server: &Server, script: X) -> Network<Server, X, Error, Error> {
    Network::new(server.clone(), script, refused, lost)
}

fn refused(n: &u32) -> String {
    format!("{n} refused")
}

fn lost(n: &u32) -> String {
    format!("{n} lost")
}

fn boxed(n: &u32) -> BoxError {
    lost(n).into()
}

/// Notes what arrives, works on it for a while, and answers how many there were until then.
#[derive(Clone)]
struct Server {
    log: Arc<Mutex<Vec<(u32, Instant)>>>,
    work: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            log: Arc::default(),
            work: ms(5),
        }
    }
}

impl Server {
    fn log(&self) -> Vec<u32> {
        let log = self.log.lock().expect("no panic");
        log.iter().map(|&(n, _)| n).collect()
    }

    /// In milliseconds.
    fn arrivals(&self, since: Instant) -> Vec<u128> {
        let log = self.log.lock().expect("no panic");
        log.iter()
            .map(|&(_, at)| (at - since).as_millis())
            .collect()
    }
}

impl Service<u32> for Server {
    type Response = u32;
    type Error = String;
    type Future = Pin<Box<dyn Future<Output = Result<u32, String>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, n: u32) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let count = {
                let mut log = server.log.lock().expect("no panic");
                log.push((n, Instant::now()));
                log.len()
            };
            if !server.work.is_zero() {
                sleep(server.work).await;
            }
            Ok(count as u32)
        })
    }
}
