//! The subject: the real binaries, as they are installed.

use std::process::Command;

use tempfile::TempDir;

use crate::Outcome;
use crate::server::Server;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    /// Splitdim with a ledger of its own.
    Splitdim(Storage),
    /// Splitdim in this mode, on a kvstore that keeps its data on disk.
    SplitdimOnKvstore(&'static str),
    /// A kvstore alone.
    Kvstore(Storage),
}

/// Where the data is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Storage {
    /// `--in-memory`: gone when the process ends.
    Memory,
    /// `--data`: everything that was answered is on disk.
    Disk,
}

/// Where the data directories are made: below the build's target directory, because the system's temporary
/// directory is often kept in memory, where a sync costs nothing.
pub(crate) const DATA_PARENT: &str = env!("CARGO_TARGET_TMPDIR");

impl Subject {
    /// The program that is asked.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Splitdim(_) | Self::SplitdimOnKvstore(_) => "splitdim",
            Self::Kvstore(_) => "kvstore",
        }
    }

    /// Whether it has a ledger whose balances can be looked at.
    pub(crate) fn has_ledger(self) -> bool {
        !matches!(self, Self::Kvstore(_))
    }

    /// Starts its processes, with nothing in them. The first is the one that is asked.
    pub(crate) fn start(self) -> Outcome<Vec<Server>> {
        self.start_with(&[])
    }

    /// The same, the first with further arguments.
    pub(crate) fn start_with(self, arguments: &[&str]) -> Outcome<Vec<Server>> {
        match self {
            Self::Splitdim(storage) => Ok(vec![splitdim(arguments, Some(storage))?]),
            Self::Kvstore(storage) => Ok(vec![kvstore(storage, arguments)?]),
            Self::SplitdimOnKvstore(mode) => {
                // Counts its requests.
                let kvstore = kvstore(Storage::Disk, &["--fault-injection"])?;
                let address = kvstore.address.to_string();
                let on_it = ["--mode", mode, "--addr", &address];
                Ok(vec![
                    splitdim(&[&on_it, arguments].concat(), None)?,
                    kvstore,
                ])
            }
        }
    }
}

fn splitdim(arguments: &[&str], storage: Option<Storage>) -> Outcome<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
    command.args(arguments);
    start("splitdim", command, storage)
}

fn kvstore(storage: Storage, arguments: &[&str]) -> Outcome<Server> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvstore"));
    command.args(arguments);
    start("kvstore", command, Some(storage))
}

fn start(name: &'static str, mut command: Command, storage: Option<Storage>) -> Outcome<Server> {
    command.args(["--listen", "127.0.0.1:0", "--log-format", "text"]);
    let data = match storage {
        None => None,
        Some(Storage::Memory) => {
            command.arg("--in-memory");
            None
        }
        Some(Storage::Disk) => {
            let data = TempDir::new_in(DATA_PARENT)
                .map_err(|error| format!("no data directory in {DATA_PARENT}: {error}"))?;
            command.arg("--data").arg(data.path());
            Some(data)
        }
    };
    Server::start(name, &mut command, data)
}
