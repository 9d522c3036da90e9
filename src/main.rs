//! The binary `splitdim`: settings, store, listener, run.

use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use resilient::detach::Tracker;
use splitdim::config::EXIT_USAGE;
use splitdim::config::splitdim::{Mode, Protocol, Settings, Task};
use splitdim::kv::{KvClient, KvError, KvService, Observed, Writing, spawn_observed};
use splitdim::metrics::Metrics;
use splitdim::pipeline::{Ledger, Options};
use splitdim::process::{self, Failure};
use splitdim::serve::EventLoops;
use splitdim::store::{Disk, Memory};
use splitdim::web::{Edge, Readiness};
use splitdim::{http, ops, repair, serve};
use tokio::time::sleep;
use tower::ServiceExt;

// Linked, it is what `malloc` means: see Cargo.toml.
use mimalloc as _;

/// How long open transfers are finished after everything else has ended.
const LAST_ROUND: Duration = Duration::from_secs(10);

/// How long nobody looks after the ledger when that has failed: it may fail again.
const TEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How many connections to a store are open, about, where transfers share transactions: these read 32 cells at a time.
const CONNECTIONS_OF_BATCHES: usize = 64;

fn main() -> ExitCode {
    match Settings::from_process() {
        Ok(settings) => process::run("splitdim", settings.log_format, run(settings)),
        Err(mistakes) => process::fail("splitdim", &mistakes, EXIT_USAGE),
    }
}

async fn run(settings: Settings) -> Result<(), Failure> {
    // Before the store is opened, which may take long: where this is the first process of a container, a signal that
    // nobody catches is lost. Repairs end by themselves.
    let stop = match settings.task {
        Task::Serve => Some(serve::stop_signal()?),
        Task::Diagnose | Task::Repair(_) => None,
    };
    let mut metrics = settings
        .ops_listen
        .is_some()
        .then(|| Metrics::new("splitdim"));
    if let (Task::Diagnose | Task::Repair(_), Mode::Local { data }) = (&settings.task, &settings.mode)
        // Opening would make an empty one, which is whole.
        && !Disk::is_in(data)
    {
        let place = data.display();
        return Err(format!("there is no ledger in {place}; check --mode and --data").into());
    }
    let Open {
        store,
        writing,
        mode,
        place,
        protocol,
        readiness,
    } = open(settings.mode, &settings.options, metrics.as_mut())?;
    let running = Tracker::new();
    let mut options = settings.options;
    if writing.is_some() {
        // A store in this process answers for certain, however slow its disk is.
        options.patience.attempt_within = None;
        options.is_shared = false;
    }
    let ledger = match protocol {
        Protocol::Transaction => Ledger::transactional(store, options, running.clone()),
        Protocol::Saga => Ledger::saga(store, options, running.clone()),
    };
    let Some(stop) = stop else {
        return match settings.task {
            Task::Repair(repair) => repair::show(ledger.repair(&repair).await),
            _ => repair::show(ledger.diagnose().await),
        };
    };
    let to_store = match (&writing, protocol) {
        (Some(_), _) => 0,
        (None, Protocol::Transaction) => CONNECTIONS_OF_BATCHES,
        (None, Protocol::Saga) => options.max_in_flight,
    };
    let limits = process::within_open_files(settings.limits, settings.threads, to_store);
    let listener = process::listen(&settings.listen).await?;
    let operators = process::listen_if(settings.ops_listen.as_deref()).await?;
    let event_loops = EventLoops::start(settings.threads)?;
    let stop = readiness.until(stop);
    tracing::info!(
        address = %listener.local_addr()?, mode, data = place, threads = settings.threads,
        ops = process::address(operators.as_ref()).map(display),
        "splitdim is listening"
    );
    let requests = metrics.as_mut().map(Metrics::requests);
    if let (Some(listener), Some(mut metrics)) = (operators, metrics) {
        metrics.ledger(ledger.metrics());
        ops::spawn(listener, metrics, readiness.clone(), limits);
    }
    // Before anybody is served.
    ledger.follow_quarantine().await;
    let edge = Edge {
        readiness,
        requests,
    };
    let app = http::app(ledger.clone(), settings.resets, edge);
    let server = async move {
        let serving = serve::run(listener, app, &event_loops, running, limits, stop);
        let served = while_tended(&ledger, serving).await;
        ledger.settle_down(LAST_ROUND).await;
        served
    };
    serve::until_written(server, writing).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Looks after `ledger` while `serving` lasts. What this program has wrong must not leave it to itself.
async fn while_tended<T>(ledger: &Ledger, serving: impl Future<Output = T>) -> T {
    let (mut serving, mut pause) = (pin!(serving), Duration::ZERO);
    loop {
        let ledger = ledger.clone();
        let mut tending = tokio::spawn(async move {
            sleep(pause).await;
            ledger.tend().await;
        });
        tokio::select! {
            served = &mut serving => {
                tending.abort();
                // It ends as cancelled, and lets go of the store: the writer ends when everybody has.
                let _ = tending.await;
                return served;
            }
            Err(error) = &mut tending => {
                tracing::error!(%error, "nobody looked after the ledger; that begins anew");
                pause = TEND_AGAIN_AFTER;
            }
        }
    }
}

/// An open store.
struct Open {
    store: KvService,
    /// The end of writing, where this process writes itself.
    writing: Option<Writing>,
    mode: &'static str,
    place: String,
    protocol: Protocol,
    readiness: Readiness,
}

fn open(mode: Mode, options: &Options, metrics: Option<&mut Metrics>) -> Result<Open, Failure> {
    Ok(match mode {
        Mode::Local { data } => {
            let (store, writing) = spawn_observed(Disk::open(&data)?, observed(metrics));
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: data.display().to_string(),
                protocol: Protocol::Transaction,
                readiness: Readiness::at_once(),
            }
        }
        Mode::InMemory => {
            let (store, writing) = spawn_observed(Memory::new(), observed(metrics));
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: "memory only".into(),
                protocol: Protocol::Transaction,
                readiness: Readiness::at_once(),
            }
        }
        Mode::Kvstore {
            name,
            address,
            protocol,
        } => {
            let attempt_within = options.patience.attempt_within.unwrap_or(KvClient::TIMEOUT);
            let readiness = Readiness::once_reached();
            let conflicts = metrics.map(Metrics::conflicts).unwrap_or_default();
            let noted = readiness.clone();
            let store = KvClient::new(&address, attempt_within)?.map_result(move |answer| {
                match &answer {
                    Ok(_) => noted.reached(),
                    Err(KvError::Conflict(_)) => conflicts.count(),
                    Err(_) => {}
                }
                answer
            });
            Open {
                store: KvService::new(store),
                writing: None,
                mode: name,
                place: format!("kvstore at {address}"),
                protocol,
                readiness,
            }
        }
    })
}

/// Has `metrics` tell of a store in this process.
fn observed(metrics: Option<&mut Metrics>) -> Observed {
    metrics.map_or_else(Observed::default, |metrics| Observed {
        commits: Some(metrics.commits()),
        conflicts: Some(metrics.conflicts()),
    })
}
