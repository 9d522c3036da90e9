//! The binary `splitdim`: settings, store, listener, run.

use std::process::ExitCode;

use resilient::detach::Tracker;
use splitdim::config::EXIT_USAGE;
use splitdim::config::splitdim::{Mode, Settings};
use splitdim::kv::{KvClient, KvService, Writing, spawn_embedded};
use splitdim::pipeline::{Ledger, Patience};
use splitdim::process::{self, Failure};
use splitdim::store::{Disk, Memory};
use splitdim::{http, serve};

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
    } = open(settings.mode)?;
    let listener = process::listen(&settings.listen).await?;
    let stop = serve::stop_signal()?;
    tracing::info!(
        address = %listener.local_addr()?, mode, data = place, threads = settings.threads,
        "splitdim is listening"
    );
    let running = Tracker::new();
    let ledger = Ledger::transactional(store, Patience::default(), running.clone());
    let server = serve::run(listener, http::app(ledger), running, settings.limits, stop);
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
}

fn open(mode: Mode) -> Result<Open, Failure> {
    Ok(match mode {
        Mode::Local { data } => {
            let (store, writing) = spawn_embedded(Disk::open(&data)?)?;
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: data.display().to_string(),
            }
        }
        Mode::InMemory => {
            let (store, writing) = spawn_embedded(Memory::new())?;
            Open {
                store,
                writing: Some(writing),
                mode: "local",
                place: "memory only".into(),
            }
        }
        Mode::Kvstore { name, address } => {
            let store = KvService::new(KvClient::new(&address, KvClient::TIMEOUT)?);
            Open {
                store,
                writing: None,
                mode: name,
                place: format!("kvstore at {address}"),
            }
        }
    })
}
