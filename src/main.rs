//! The binary `splitdim`: settings, log, store, listener, run.

use std::io::Write;
use std::process::ExitCode;

use resilient::detach::Tracker;
use splitdim::config::{EXIT_USAGE, Mode, Settings};
use splitdim::kv::{KvService, embedded};
use splitdim::pipeline::{Ledger, Patience};
use splitdim::store::{Backend, Disk, Fault, Memory, Store};
use splitdim::{http, serve, telemetry};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = match Settings::from_process() {
        Ok(settings) => settings,
        Err(mistakes) => return fail(&mistakes, EXIT_USAGE),
    };
    if let Err(mistake) = telemetry::start(settings.log_format) {
        return fail(&mistake, EXIT_USAGE);
    }
    let runtime = match runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}"), 1),
    };
    match runtime.block_on(run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error, 1),
    }
}

async fn run(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
    let (place, (store, writer)) = match &settings.mode {
        Mode::Local { data } => (data.display().to_string(), open(Disk::open(data)?)?),
        Mode::InMemory => ("memory only".to_owned(), open(Memory::new())?),
    };
    let listener = TcpListener::bind(&settings.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", settings.listen))?;
    let open_files = rlimit::increase_nofile_limit(u64::MAX)?;
    let stop = serve::stop_signal()?;
    tracing::info!(
        address = %listener.local_addr()?, mode = "local", data = place, threads = settings.threads, open_files,
        "splitdim is listening"
    );

    let running = Tracker::new();
    let ledger = Ledger::transactional(store, Patience::default(), running.clone());
    let server = serve::run(listener, http::app(ledger), running, settings.limits, stop);
    serve::until_written(server, writer).await?;
    tracing::info!("stopped");
    Ok(())
}

/// A store over `backend`, and its writer, at work.
fn open<B: Backend>(backend: B) -> Result<(KvService, JoinHandle<Result<(), Fault>>), Fault> {
    let (store, writer) = Store::new(backend)?;
    Ok((embedded(store), tokio::spawn(writer.run())))
}

fn fail(error: &(impl std::fmt::Display + ?Sized), status: u8) -> ExitCode {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "splitdim: {error}");
    ExitCode::from(status)
}
