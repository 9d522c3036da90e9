//! The subject: the real splitdim, as it is installed.

use std::process::Command;

use tempfile::TempDir;

use crate::Outcome;
use crate::server::Server;

/// Where splitdim keeps its ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Storage {
    /// `--in-memory`: gone when the process ends.
    Memory,
    /// `--data`: every answered transfer is on disk.
    Disk,
}

/// Where the data directories are made: below the build's target directory, because the system's temporary
/// directory is often kept in memory, where a sync costs nothing.
pub(crate) const DATA_PARENT: &str = env!("CARGO_TARGET_TMPDIR");

/// Starts splitdim with an empty ledger.
pub(crate) fn start(storage: Storage) -> Outcome<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
    command.args(["--listen", "127.0.0.1:0", "--log-format", "text"]);
    let data = match storage {
        Storage::Memory => {
            command.arg("--in-memory");
            None
        }
        Storage::Disk => {
            let data = TempDir::new_in(DATA_PARENT)
                .map_err(|error| format!("no data directory in {DATA_PARENT}: {error}"))?;
            command.arg("--data").arg(data.path());
            Some(data)
        }
    };
    Server::start("splitdim", &mut command, data)
}
