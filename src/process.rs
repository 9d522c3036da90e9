//! What the binaries begin and end with.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::runtime;

use crate::config::EXIT_USAGE;
use crate::serve::Limits;
use crate::telemetry::{self, LogFormat};

/// Why a binary ends early: a sentence for whoever started it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Runs `work` to its end, and the tasks that it spawns on one thread, with a log; the status to exit with.
pub fn run(
    program: &str,
    log_format: LogFormat,
    work: impl Future<Output = Result<(), Failure>>,
) -> ExitCode {
    if let Err(mistake) = telemetry::start(log_format) {
        return fail(program, &mistake, EXIT_USAGE);
    }
    let runtime = match runtime::Builder::new_multi_thread()
        // Those that serve requests beside it are the work's to start: `serve::EventLoops`.
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(program, &format!("cannot start the runtime: {error}"), 1),
    };
    match runtime.block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(program, &failure, 1),
    }
}

/// Tells `failure` on stderr; the status to exit with.
pub fn fail(program: &str, failure: &impl Display, status: u8) -> ExitCode {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{program}: {failure}");
    ExitCode::from(status)
}

/// Files that a process needs beside connections: its store, its log; and the connections of its operators.
const OTHER_FILES: usize = 128;

/// Those that each event loop waits by.
const FILES_OF_A_THREAD: usize = 4;

/// Lets this process open as many files as the system allows; what `limits` are then, on so many `threads`, and with
/// so many connections of its own `to_store`: a connection for which there is no file waits before the door, and nobody
/// is cut for it.
pub fn within_open_files(limits: Limits, threads: usize, to_store: usize) -> Limits {
    let open_files = rlimit::increase_nofile_limit(u64::MAX).or_else(|error| {
        tracing::warn!(%error, "the limit of open files could not be raised");
        rlimit::Resource::NOFILE.get_soft()
    });
    let open_files = open_files.map_or(usize::MAX, |files| files.try_into().unwrap_or(usize::MAX));
    let room = open_files.saturating_sub(OTHER_FILES + threads * FILES_OF_A_THREAD);
    // Where there are few, each side has half of them.
    let room = (room - to_store.min(room / 2)).max(1);
    if room < limits.max_connections {
        tracing::warn!(
            open_files,
            max_connections = room,
            wanted = limits.max_connections,
            "fewer connections may be open than --max-connections says; raise the hard limit of open files"
        );
    }
    Limits {
        max_connections: limits.max_connections.min(room),
        ..limits
    }
}

/// Listens on `address`.
///
/// # Errors
///
/// A sentence that names the address.
pub async fn listen(address: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await;
    Ok(listener.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => "stop what listens there, or choose another address",
            _ => "choose an address of this machine, and a port that you may listen on",
        };
        format!("cannot listen on {address}: {error}; {advice}")
    })?)
}

/// Listens on `address`, if there is one.
///
/// # Errors
///
/// A sentence that names the address.
pub async fn listen_if(address: Option<&str>) -> Result<Option<TcpListener>, Failure> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

/// Where `listener` listens, if there is one.
#[must_use]
pub fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
}
