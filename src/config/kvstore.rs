//! The settings of the binary `kvstore`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{Mistakes, values};
use crate::serve::Limits;
use crate::telemetry::LogFormat;

/// A versioned key-value store. Without a command, it serves.
///
/// Durations are seconds, or have a unit: 500ms, 60s, 10m.
#[derive(Debug, Parser)]
#[command(name = "kvstore", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Where to listen
    #[arg(
        long,
        env = "KVSTORE_LISTEN",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:8081"
    )]
    listen: String,
    /// Where to serve metrics and probes to operators; not served if it is not set
    #[arg(long, env = "KVSTORE_OPS_LISTEN", value_name = "HOST:PORT")]
    ops_listen: Option<String>,
    /// The directory of the store
    #[arg(
        long,
        env = "KVSTORE_DATA",
        value_name = "DIRECTORY",
        default_value = "kvstore-data"
    )]
    data: PathBuf,
    /// Keep everything in memory only: it is gone when the process ends
    #[arg(
        long, env = "KVSTORE_IN_MEMORY", value_name = "true|false", default_value = "false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    in_memory: String,
    /// Let requests be made to fail by /api/fault: for experiments only
    #[arg(
        long, env = "KVSTORE_FAULT_INJECTION", value_name = "true|false", default_value = "false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    fault_injection: String,
    /// How the log is written, on stderr
    #[arg(
        long,
        env = "KVSTORE_LOG_FORMAT",
        value_name = "text|json",
        default_value = "text"
    )]
    log_format: String,
    /// How long requests may take to finish after SIGTERM
    #[arg(
        long,
        env = "KVSTORE_GRACE_PERIOD",
        value_name = "DURATION",
        default_value = "580s"
    )]
    grace_period: String,
    /// How long a connection stays open on which nothing is answered, 5s at least
    #[arg(
        long,
        env = "KVSTORE_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s"
    )]
    idle_timeout: String,
    /// How many connections may be open; the longest idle one makes room for another
    #[arg(
        long,
        env = "KVSTORE_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "4096"
    )]
    max_connections: String,
    /// Threads that serve requests; 0 is as many as there are cores
    #[arg(
        long,
        env = "KVSTORE_THREADS",
        value_name = "NUMBER",
        default_value = "0"
    )]
    threads: String,
}

/// What can be done besides serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Write everything to stdout, as JSON lines: from a running server, or from a data directory
    Export {
        /// The running server; without it, the data directory is read
        #[arg(long, value_name = "HOST:PORT")]
        addr: Option<String>,
        /// The data directory, which no server may have open
        #[arg(
            long,
            env = "KVSTORE_DATA",
            value_name = "DIRECTORY",
            default_value = "kvstore-data"
        )]
        data: PathBuf,
    },
    /// Fill an empty store from an export, or from the file that a reset left behind
    Import {
        /// The export; - for stdin
        file: PathBuf,
        /// The data directory, which no server may have open
        #[arg(
            long,
            env = "KVSTORE_DATA",
            value_name = "DIRECTORY",
            default_value = "kvstore-data"
        )]
        data: PathBuf,
    },
    /// Fill an empty store from the transaction log of the original store
    ImportTranslog {
        /// The log; - for stdin
        file: PathBuf,
        /// The data directory, which no server may have open
        #[arg(
            long,
            env = "KVSTORE_DATA",
            value_name = "DIRECTORY",
            default_value = "kvstore-data"
        )]
        data: PathBuf,
        /// Import what can be read even if some lines cannot
        #[arg(long)]
        lenient: bool,
    },
}

/// What the binary is to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Serve.
    Serve(Settings),
    /// Something else.
    Command(Command),
}

/// The settings of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the store is; `None` for memory only.
    pub data: Option<PathBuf>,
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where to serve operators, `host:port`; `None` for nowhere.
    pub ops_listen: Option<String>,
    /// Whether requests can be made to fail.
    pub fault_injection: bool,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What clients are allowed.
    pub limits: Limits,
    /// Threads that serve requests.
    pub threads: usize,
}

impl Task {
    /// The task that the command line and the environment tell.
    ///
    /// # Errors
    ///
    /// [`Mistakes`] names every setting that cannot be.
    pub fn from_process() -> Result<Self, Mistakes> {
        let Arguments { command, serve } = super::read();
        match command {
            Some(command) => Ok(Self::Command(command)),
            None => Settings::new(serve).map(Self::Serve),
        }
    }
}

impl Settings {
    fn new(arguments: ServeArguments) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let in_memory = mistakes.note("--in-memory", values::boolean(&arguments.in_memory));
        let listeners = values::listeners(&mut mistakes, &arguments.listen, arguments.ops_listen);
        let log_format = mistakes.note("--log-format", values::log_format(&arguments.log_format));
        let limits = values::limits(
            &mut mistakes,
            &arguments.grace_period,
            &arguments.idle_timeout,
            &arguments.max_connections,
        );
        let threads = mistakes.note("--threads", values::number(&arguments.threads, 0..=1024));
        let settings = (|| {
            let (listen, ops_listen) = listeners?;
            Some(Self {
                data: (!in_memory?).then_some(arguments.data),
                listen,
                ops_listen,
                fault_injection: values::is_set(&arguments.fault_injection),
                log_format: log_format?,
                limits: limits?,
                threads: values::threads(threads?),
            })
        })();
        settings.ok_or(mistakes)
    }
}
