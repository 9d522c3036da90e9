//! What does each layer cost around a service that does nothing, and a whole transfer around a store in
//! memory: time, and allocations?
//!
//! `cargo bench --bench layers` prints a Markdown table: the median of several rounds, one call at a time on
//! one thread. Only compare figures of one run.
#![expect(
    clippy::print_stdout,
    reason = "the table is the output of this program"
)]
#![expect(clippy::unwrap_used, reason = "a measurement that fails is none")]

use std::convert::Infallible;
use std::future::Ready;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use resilient::batch::{BatchLayer, Limits};
use resilient::compensate::{Compensate, Standing, Step};
use resilient::detach::{Detach, Tracker};
use resilient::quarantine::{Handle, Quarantine, Quarantined};
use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
use resilient::timeout::{Elapsed, Timeout};
use splitdim::kv::{KvService, spawn_embedded};
use splitdim::ledger::{Amount, Name, Transfer};
use splitdim::pipeline::{Ledger, Options};
use splitdim::store::Memory;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::retry::Retry;
use tower::retry::budget::TpsBudget;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use uuid::Uuid;

const ROUNDS: usize = 7;
const CALLS: u32 = 20_000;

fn main() {
    // Cargo says `--bench` to a benchmark, but not when it runs everything as tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing measured: use `cargo bench --bench layers`");
        return;
    }
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    println!("| Around a service that does nothing | ns | Allocations | Bytes |");
    println!("|---|--:|--:|--:|");
    layer(&runtime, "nothing", noop());
    layer(&runtime, "boxed (tower)", BoxCloneSyncService::new(noop()));
    let second = Duration::from_secs(1);
    layer(&runtime, "timeout", Timeout::new(noop(), second));
    layer(
        &runtime,
        "timeout (tower)",
        tower::timeout::Timeout::new(noop(), second),
    );
    layer(
        &runtime,
        "quarantine",
        Quarantine::new(noop(), Handle::new()),
    );
    layer(
        &runtime,
        "retry, nothing fails",
        Retry::new(policy(), noop()),
    );
    layer(&runtime, "detach", Detach::new(noop(), Tracker::new()));
    let batches = runtime.block_on(async {
        let batch = BatchLayer::new(Limits::new(64).unwrap());
        batch.layer(service_fn(|calls: Vec<()>| {
            let answers: Vec<_> = calls.into_iter().map(Ok::<_, Failure>).collect();
            ready(Ok::<_, Failure>(answers))
        }))
    });
    layer(&runtime, "batch, one call alone", batches);
    let mut plans = Compensate::new(making(), making());
    row(&runtime, "compensate, a plan of two steps", async || {
        let plan = vec![Leg, Leg];
        let _ = plans.ready().await.unwrap().call(plan).await.unwrap();
    });
    println!("\n| A whole transfer, store in memory | ns | Allocations | Bytes |");
    println!("|---|--:|--:|--:|");
    pipeline(&runtime, "in one transaction", Ledger::transactional);
    pipeline(&runtime, "in single puts", Ledger::saga);
}

#[derive(Debug)]
struct Failure;

impl From<Elapsed> for Failure {
    fn from(_: Elapsed) -> Self {
        Self
    }
}

impl From<Quarantined> for Failure {
    fn from(_: Quarantined) -> Self {
        Self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failure {}

/// One of two steps that are made at once.
#[derive(Clone)]
struct Leg;

impl Step for Leg {
    fn fence(&self) -> Self {
        Self
    }

    fn undo(&self) -> Option<Self> {
        Some(Self)
    }
}

#[derive(Clone)]
struct ByResult;

impl<Request, Response, Error> Classify<Request, Response, Error> for ByResult {
    fn classify(&self, _: &Request, result: &Result<Response, Error>) -> Class {
        match result {
            Ok(_) => Class::Done,
            Err(_) => Class::NotDone,
        }
    }
}

fn policy() -> Policy<ByResult> {
    let backoff = Backoff::new(Duration::from_millis(150), Duration::from_secs(2), 1.0, 6);
    let budget = Arc::new(TpsBudget::new(Duration::from_secs(1), 5, 1.0));
    Policy::new(ByResult, backoff.unwrap(), Conflicts::default()).budget(budget)
}

fn noop() -> impl Service<(), Response = (), Error = Failure, Future = Ready<Result<(), Failure>>>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(|()| ready(Ok(())))
}

fn making() -> impl Service<Leg, Response = Standing, Error = Infallible, Future: Send> + Clone {
    service_fn(|_: Leg| ready(Ok(Standing::Made)))
}

fn layer<S>(runtime: &Runtime, name: &str, mut service: S)
where
    S: Service<(), Response = (), Error: Into<BoxError>>,
{
    row(runtime, name, async || {
        let ready = service.ready().await;
        let answer = ready.map_err(Into::into).unwrap().call(()).await;
        answer.map_err(Into::into).unwrap();
    });
}

/// Measures `call`, and prints a row.
fn row(runtime: &Runtime, name: &str, mut call: impl AsyncFnMut()) {
    let mut times = Vec::new();
    for _ in 0..=ROUNDS {
        times.push(runtime.block_on(async {
            let begun = Instant::now();
            for _ in 0..CALLS {
                call().await;
            }
            begun.elapsed() / CALLS
        }));
    }
    // The first round warms up.
    let median = median(times.split_off(1)).as_nanos();
    // What a runtime allocates itself, it does for many calls, as here.
    let allocated = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..CALLS {
                call().await;
            }
        });
    });
    let each = |total: u64| total as f64 / f64::from(CALLS);
    println!(
        "| {name} | {median} | {:.1} | {:.0} |",
        each(allocated.count_total),
        each(allocated.bytes_total)
    );
}

fn pipeline(runtime: &Runtime, name: &str, ledger: fn(KvService, Options, Tracker) -> Ledger) {
    let (ledger, _writing) = runtime.block_on(async {
        let (store, writing) = spawn_embedded(Memory::new());
        (ledger(store, Options::default(), Tracker::new()), writing)
    });
    let person = |number: u32| Name::new(&format!("p{}", number % 1000)).unwrap();
    let mut number = 0;
    row(runtime, name, async || {
        number += 1;
        let amount = Amount::new(1).unwrap();
        let transfer = Transfer::new(person(number), person(number + 1), amount).unwrap();
        ledger.transfer(Uuid::now_v7(), transfer).await.unwrap();
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
