//! The binary `splitdim`: settings, store, listener, run.

use std::process::ExitCode;
use std::time::Duration;

use resilient::detach::Tracker;
use splitdim::config::EXIT_USAGE;
use splitdim::config::splitdim::{Mode, Puts, Settings, Task};
use splitdim::kv::{KvClient, KvService, Writing, spawn_embedded};
use splitdim::pipeline::{Ledger, Options};
use splitdim::process::{self, Failure};
use splitdim::store::{Disk, Memory};
use splitdim::{http, repair, serve};

/// How long open transfers are finished after everything else has ended.
const LAST_ROUND: Duration = Duration::from_secs(10);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Settings::from_process() {
        Ok(settings) => process::run(
            "splitdim",
            settings.log_format,
            settings.threads,
            run(settings),
        ),
        Err(mistakes) => process::fail("splitdim", &mistakes, EXIT_USAGE),
    }
}

async fn run(settings: Settings) -> Result<(), Failure> {
    let Open {
        store,
        writing,
        mode,
        place,
        puts,
    } = open(settings.mode, &settings.options)?;
    let running = Tracker::new();
    let mut options = settings.options;
    if writing.is_some() {
        // A store in this process answers for certain, however slow its disk is.
        options.patience.attempt_within = None;
        options.is_shared = false;
    }
    let ledger = match puts {
        Puts::Together => Ledger::transactional(store, options, running.clone()),
        Puts::Single => Ledger::saga(store, options, running.clone()),
    };
    match settings.task {
        Task::Serve => {}
        Task::Diagnose => return repair::show(&ledger.diagnose().await?),
        Task::Repair(repair) => return repair::show(&ledger.repair(&repair).await?),
    }
    let listener = process::listen(&settings.listen).await?;
    let stop = serve::stop_signal()?;
    tracing::info!(
        address = %listener.local_addr()?, mode, data = place, threads = settings.threads,
        "splitdim is listening"
    );
    // Before anybody is served.
    ledger.follow_quarantine().await;
    let tending = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.tend().await }
    });
    let app = http::app(ledger.clone());
    let server = async move {
        let served = serve::run(listener, app, running, settings.limits, stop).await;
        tending.abort();
        // It ends as cancelled, and lets go of the store: the writer ends when everybody has.
        let _ = tending.await;
        ledger.settle_down(LAST_ROUND).await;
        served
    };
    serve::until_written(server, writing).await?;
    tracing::info!("stopped");
    Ok(())
}

/// An open store.
struct Open {
    store: KvService,
    /// The end of writing, where this process writes itself.
    writing: Option<Writing>,
    mode: &'static str,
    place: String,
    puts: Puts,
}

fn open(mode: Mode, options: &Options) -> Result<Open, Failure> {
    Ok(match mode {
        Mode::Local { data } => {
            let (store, writing) = spawn_embedded(Disk::open(&data)?)?;
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: data.display().to_string(),
                puts: Puts::Together,
            }
        }
        Mode::InMemory => {
            let (store, writing) = spawn_embedded(Memory::new())?;
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: "memory only".into(),
                puts: Puts::Together,
            }
        }
        Mode::Kvstore {
            name,
            address,
            puts,
        } => {
            let attempt_within = options.patience.attempt_within.unwrap_or(KvClient::TIMEOUT);
            let store = KvService::new(KvClient::new(&address, attempt_within)?);
            Open {
                store,
                writing: None,
                mode: name,
                place: format!("kvstore at {address}"),
                puts,
            }
        }
    })
}
