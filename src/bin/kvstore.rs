//! The binary `kvstore`: settings, store, listener, run; or a backup command.

use std::process::ExitCode;

use resilient::detach::Tracker;
use splitdim::config::EXIT_USAGE;
use splitdim::config::kvstore::{Settings, Task};
use splitdim::kv::{Observed, spawn_observed};
use splitdim::kvstore::{HttpFaults, app};
use splitdim::metrics::Metrics;
use splitdim::process::{self, Failure};
use splitdim::serve::EventLoops;
use splitdim::store::{Disk, Memory};
use splitdim::telemetry::LogFormat;
use splitdim::web::{Edge, Readiness};
use splitdim::{backup, ops, serve};

// Linked, it is what `malloc` means: see Cargo.toml.
use mimalloc as _;

fn main() -> ExitCode {
    match Task::from_process() {
        Ok(Task::Serve(settings)) => process::run("kvstore", settings.log_format, run(settings)),
        Ok(Task::Command(command)) => {
            process::run("kvstore", LogFormat::Text, backup::run(command))
        }
        Err(mistakes) => process::fail("kvstore", &mistakes, EXIT_USAGE),
    }
}

async fn run(settings: Settings) -> Result<(), Failure> {
    // Before the store is opened, which may take long: where this is the first process of a container, a signal that
    // nobody catches is lost.
    let stop = serve::stop_signal()?;
    let mut metrics = settings
        .ops_listen
        .is_some()
        .then(|| Metrics::new("kvstore"));
    let observed = Observed {
        commits: metrics.as_mut().map(Metrics::commits),
        // Its clients are told of them, and count them.
        conflicts: None,
    };
    let (place, (store, writing)) = match &settings.data {
        Some(data) => (
            data.display().to_string(),
            spawn_observed(Disk::open(data)?, observed),
        ),
        None => (
            "memory only".to_owned(),
            spawn_observed(Memory::new(), observed),
        ),
    };
    let limits = process::within_open_files(settings.limits, settings.threads, 0);
    let listener = process::listen(&settings.listen).await?;
    let operators = process::listen_if(settings.ops_listen.as_deref()).await?;
    let event_loops = EventLoops::start(settings.threads)?;
    let readiness = Readiness::at_once();
    let stop = readiness.until(stop);
    let faults = settings.fault_injection.then(HttpFaults::new);
    tracing::info!(
        address = %listener.local_addr()?, data = place, threads = settings.threads,
        ops = process::address(operators.as_ref()).map(display),
        "kvstore is listening"
    );
    if faults.is_some() {
        tracing::warn!(
            "FAULT INJECTION IS ON: anybody can make requests fail by /api/fault; this is for experiments only"
        );
    }
    let requests = metrics.as_mut().map(Metrics::requests);
    if let (Some(listener), Some(metrics)) = (operators, metrics) {
        ops::spawn(listener, metrics, readiness.clone(), limits);
    }
    let edge = Edge {
        readiness,
        requests,
    };
    let server = serve::run(
        listener,
        app(store, faults, edge),
        &event_loops,
        Tracker::new(),
        limits,
        stop,
    );
    serve::until_written(server, Some(writing)).await?;
    tracing::info!("stopped");
    Ok(())
}
