//! The binary `kvstore`: settings, store, listener, run; or a backup command.

use std::process::ExitCode;

use resilient::detach::Tracker;
use splitdim::config::EXIT_USAGE;
use splitdim::config::kvstore::{Settings, Task};
use splitdim::kv::spawn_embedded;
use splitdim::kvstore::{HttpFaults, app, backup};
use splitdim::process::{self, Failure};
use splitdim::serve;
use splitdim::store::{Disk, Memory};
use splitdim::telemetry::LogFormat;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Task::from_process() {
        Ok(Task::Serve(settings)) => process::run(
            "kvstore",
            settings.log_format,
            settings.threads,
            run(settings),
        ),
        Ok(Task::Command(command)) => {
            process::run("kvstore", LogFormat::Text, 1, backup::run(command))
        }
        Err(mistakes) => process::fail("kvstore", &mistakes, EXIT_USAGE),
    }
}

async fn run(settings: Settings) -> Result<(), Failure> {
    let (place, (store, writing)) = match &settings.data {
        Some(data) => (
            data.display().to_string(),
            spawn_embedded(Disk::open(data)?)?,
        ),
        None => ("memory only".to_owned(), spawn_embedded(Memory::new())?),
    };
    let listener = process::listen(&settings.listen).await?;
    let stop = serve::stop_signal()?;
    let faults = settings.fault_injection.then(HttpFaults::new);
    tracing::info!(
        address = %listener.local_addr()?, data = place, threads = settings.threads,
        "kvstore is listening"
    );
    if faults.is_some() {
        tracing::warn!(
            "FAULT INJECTION IS ON: anybody can make requests fail by /api/fault; this is for experiments only"
        );
    }
    let server = serve::run(
        listener,
        app(store, faults),
        Tracker::new(),
        settings.limits,
        stop,
    );
    serve::until_written(server, Some(writing)).await?;
    tracing::info!("stopped");
    Ok(())
}
