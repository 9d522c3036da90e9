//! The settings of the binary `splitdim`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::patience::{self, PatienceArguments};
use super::{Mistakes, values};
use crate::ledger::Name;
use crate::pipeline::{Correction, Options, Repair};
use crate::serve::Limits;
use crate::telemetry::LogFormat;
use crate::web::{Resets, Token};

/// Keeps track of who owes whom in a group of people.
///
/// Durations are seconds, or have a unit: 500ms, 60s, 10m.
#[derive(Debug, Parser)]
#[command(name = "splitdim", version)]
struct Arguments {
    /// Where the ledger is: local (in this process), or kvstore, resilientkvstore or transactionalkvstore (in a kvstore
    /// server)
    #[arg(
        long,
        env = "KVSTORE_MODE",
        global = true,
        value_name = "MODE",
        default_value = LOCAL
    )]
    mode: String,
    /// The key-value store, in the modes that use one
    #[arg(
        long,
        env = "KVSTORE_ADDR",
        global = true,
        value_name = "HOST:PORT",
        default_value = "localhost:8081"
    )]
    addr: String,
    /// Where to listen
    #[arg(
        long,
        env = "SPLITDIM_LISTEN",
        value_name = "HOST:PORT",
        default_value = "0.0.0.0:8080"
    )]
    listen: String,
    /// Where to serve metrics and probes to operators; not served if it is not set
    #[arg(long, env = "SPLITDIM_OPS_LISTEN", value_name = "HOST:PORT")]
    ops_listen: Option<String>,
    /// The directory of the ledger, in local mode
    #[arg(
        long,
        env = "SPLITDIM_DATA",
        global = true,
        value_name = "DIRECTORY",
        default_value = "splitdim-data"
    )]
    data: PathBuf,
    /// Keep the ledger in memory only, in local mode: it is gone when the process ends
    #[arg(
        long, env = "SPLITDIM_IN_MEMORY", value_name = "true|false", default_value = "false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    in_memory: String,
    /// Who may reset the ledger: open (everybody), token (whoever shows the token that SPLITDIM_RESET_TOKEN holds), off
    #[arg(
        long,
        env = "SPLITDIM_RESET",
        value_name = "open|token|off",
        default_value = "open"
    )]
    reset: String,
    /// How the log is written, on stderr
    #[arg(
        long,
        env = "SPLITDIM_LOG_FORMAT",
        global = true,
        value_name = "text|json",
        default_value = "text"
    )]
    log_format: String,
    /// How long requests and transfers may take to finish after SIGTERM
    #[arg(
        long,
        env = "SPLITDIM_GRACE_PERIOD",
        value_name = "DURATION",
        default_value = "580s"
    )]
    grace_period: String,
    /// How long a connection stays open on which nothing is answered, 5s at least
    #[arg(
        long,
        env = "SPLITDIM_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s"
    )]
    idle_timeout: String,
    /// How many connections may be open; the longest idle one makes room for another
    #[arg(
        long,
        env = "SPLITDIM_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value = "4096"
    )]
    max_connections: String,
    /// Threads that serve requests; 0 is as many as there are cores
    #[arg(
        long,
        env = "SPLITDIM_THREADS",
        value_name = "NUMBER",
        default_value = "0"
    )]
    threads: String,
    #[command(flatten)]
    patience: PatienceArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is wrong with the ledger; with --apply, mend it
    Repair {
        /// Finish open transfers, do what the other flags say, and lift the quarantine if the ledger
        /// is whole then
        #[arg(long)]
        apply: bool,
        /// Set every balance to what the records of transfers say: only where none was imported
        #[arg(long, requires = "apply")]
        from_records: bool,
        /// Change a balance, as in --book "John Smith=-250"; may be given more than once. All balances must sum to
        /// zero then
        #[arg(long, value_name = "NAME=AMOUNT", requires = "apply")]
        book: Vec<String>,
    },
}

/// Holds the token of `--reset token`.
const RESET_TOKEN: &str = "SPLITDIM_RESET_TOKEN";

const LOCAL: &str = "local";

const KVSTORE_MODES: [(&str, Protocol); 3] = [
    ("kvstore", Protocol::Saga),
    ("resilientkvstore", Protocol::Saga),
    ("transactionalkvstore", Protocol::Transaction),
];

/// The settings of `splitdim`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the ledger is.
    pub mode: Mode,
    /// Where to listen, `host:port`.
    pub listen: String,
    /// Where to serve operators, `host:port`; `None` for nowhere.
    pub ops_listen: Option<String>,
    /// Who may reset the ledger.
    pub resets: Resets,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What clients are allowed.
    pub limits: Limits,
    /// Threads that serve requests.
    pub threads: usize,
    /// How transfers are made.
    pub options: Options,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Serve.
    Serve,
    /// Show what is wrong with the ledger.
    Diagnose,
    /// Mend it.
    Repair(Repair),
}

/// Where the ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In this process, on disk.
    Local {
        /// Its directory.
        data: PathBuf,
    },
    /// In this process, in memory only.
    InMemory,
    /// In a `kvstore` server.
    Kvstore {
        /// The name by which the mode was chosen.
        name: &'static str,
        /// The server, `host:port`.
        address: String,
        /// How a transfer is written.
        protocol: Protocol,
    },
}

/// How a transfer is written into a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One put after the other.
    Saga,
    /// In one transaction.
    Transaction,
}

impl Settings {
    /// The settings that the command line and the environment tell.
    ///
    /// # Errors
    ///
    /// [`Mistakes`] names every setting that cannot be.
    pub fn from_process() -> Result<Self, Mistakes> {
        Self::new(super::read(), env::var_os(RESET_TOKEN))
    }

    fn new(arguments: Arguments, reset_token: Option<OsString>) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let in_memory = values::boolean(&arguments.in_memory);
        let in_memory = in_memory.and_then(|wish| in_memory_in(&arguments.mode, wish));
        let in_memory = mistakes.note("--in-memory", in_memory);
        let mode = match &*arguments.mode {
            LOCAL if in_memory == Some(true) => Some(Mode::InMemory),
            LOCAL => Some(Mode::Local {
                data: arguments.data,
            }),
            other => match KVSTORE_MODES.into_iter().find(|(name, _)| *name == other) {
                Some((name, protocol)) => {
                    let address = mistakes.note("--addr", values::server(&arguments.addr));
                    address.map(|address| Mode::Kvstore {
                        name,
                        address,
                        protocol,
                    })
                }
                None => mistakes.note(
                    "--mode",
                    Err(format!(
                        "{other:?} is no mode; use {LOCAL}, {}",
                        KVSTORE_MODES.map(|(name, _)| name).join(", ")
                    )),
                ),
            },
        };
        let listeners = values::listeners(&mut mistakes, &arguments.listen, arguments.ops_listen);
        let resets = match arguments.command {
            None => mistakes.note("--reset", resets(&arguments.reset, reset_token)),
            // Beside a server that is told by flags, it has the token and not what that is for.
            Some(_) => Some(Resets::Off),
        };
        let log_format = mistakes.note("--log-format", values::log_format(&arguments.log_format));
        let limits = values::limits(
            &mut mistakes,
            &arguments.grace_period,
            &arguments.idle_timeout,
            &arguments.max_connections,
        );
        let threads = mistakes.note("--threads", values::number(&arguments.threads, 0..=1024));
        let options = patience::options(&arguments.patience, &mut mistakes);
        let task = task(arguments.command, &mut mistakes);
        let settings = (|| {
            let (listen, ops_listen) = listeners?;
            // Only `local` heeds it, but nonsense is a mistake in every mode.
            in_memory?;
            Some(Self {
                mode: mode?,
                listen,
                ops_listen,
                resets: resets?,
                log_format: log_format?,
                limits: limits?,
                threads: values::threads(threads?),
                options: options?,
                task: task?,
            })
        })();
        settings.ok_or(mistakes)
    }
}

fn task(command: Option<Command>, mistakes: &mut Mistakes) -> Option<Task> {
    let Some(Command::Repair {
        apply,
        from_records,
        book,
    }) = command
    else {
        return Some(Task::Serve);
    };
    if !apply {
        return Some(Task::Diagnose);
    }
    let corrections = book
        .iter()
        .map(|text| mistakes.note("--book", correction(text)));
    let corrections = corrections.collect::<Option<Vec<_>>>()?;
    Some(Task::Repair(Repair {
        from_records,
        corrections,
    }))
}

/// Whether the ledger is kept in memory, which only `local` has to say.
fn in_memory_in(mode: &str, wish: bool) -> Result<bool, String> {
    match KVSTORE_MODES.iter().any(|(name, _)| *name == mode) && wish {
        true => Err(format!(
            "with --mode {mode} the ledger is in the kvstore; use --mode local, or leave it out"
        )),
        false => Ok(wish),
    }
}

/// Who may reset. The token comes from the environment only: command lines are no secret.
fn resets(wish: &str, token: Option<OsString>) -> Result<Resets, String> {
    let token = token.filter(|token| !token.is_empty());
    match (wish, token) {
        ("open", None) => Ok(Resets::Open),
        ("off", None) => Ok(Resets::Off),
        // Whoever sets a token believes that nobody resets without it.
        ("open" | "off", Some(_)) => Err(format!(
            "{RESET_TOKEN} is set, but {wish} asks nobody for it; use --reset token, or unset it"
        )),
        ("token", None) => Err(format!("token needs {RESET_TOKEN}, which is not set")),
        ("token", Some(token)) => {
            let token = token.to_str().and_then(Token::new);
            let token = token.ok_or(format!(
                "{RESET_TOKEN} must have visible ASCII characters only, and no spaces"
            ))?;
            Ok(Resets::Token(token))
        }
        (other, _) => Err(format!("{other:?} is none of open, token, off")),
    }
}

fn correction(text: &str) -> Result<Correction, String> {
    let usage =
        || format!("{text:?} is no correction; write NAME=AMOUNT, as in \"John Smith=-250\"");
    let (person, by) = text.rsplit_once('=').ok_or_else(usage)?;
    let person = Name::new(person).map_err(|error| format!("the name in {text:?} {error}"))?;
    let by = by.parse().map_err(|_| usage())?;
    Ok(Correction { person, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, Mistakes> {
        Settings::new(
            Arguments::parse_from(["splitdim"].iter().chain(arguments)),
            None,
        )
    }

    #[test]
    fn flags_are_taken() {
        let settings = settings(&[
            "--listen",
            "127.0.0.1:0",
            "--in-memory",
            "--grace-period",
            "1500ms",
        ])
        .unwrap();
        assert_eq!(settings.mode, Mode::InMemory);
        assert_eq!(settings.listen, "127.0.0.1:0");
        assert_eq!(settings.limits.grace_period.as_millis(), 1500);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let mistakes = settings(&[
            "--mode=remote",
            "--listen=8080",
            "--in-memory=maybe",
            "--log-format=xml",
            "--grace-period=soon",
            "--idle-timeout=0",
            "--max-connections=0",
            "--threads=-1",
            "--ops-listen=9090",
            "--reset=never",
        ]);
        let sentences = mistakes.unwrap_err().to_string();
        for flag in [
            "--mode",
            "--listen",
            "--in-memory",
            "--log-format",
            "--grace-period",
            "--idle-timeout",
            "--max-connections",
            "--threads",
            "--ops-listen",
            "--reset",
        ] {
            assert!(
                sentences.contains(flag),
                "{flag} is missing in:\n{sentences}"
            );
        }
    }

    #[test]
    fn a_plain_number_is_seconds() {
        assert_eq!(
            settings(&["--idle-timeout", "7"])
                .unwrap()
                .limits
                .idle_timeout
                .as_secs(),
            7
        );
    }

    #[test]
    fn an_address_cannot_serve_clients_and_operators() {
        let mistakes = settings(&["--listen=localhost:9090", "--ops-listen=localhost:9090"]);
        let sentence = mistakes.unwrap_err().to_string();
        assert!(sentence.starts_with("--ops-listen: "), "{sentence}");
        assert!(sentence.contains("where --listen is"), "{sentence}");
        // Any port that is free is another one each time.
        for [clients, operators] in [
            ["localhost:0", "localhost:0"],
            ["localhost:9090", "localhost:9091"],
            ["localhost:9090", ""],
        ] {
            let arguments = ["--listen", clients, "--ops-listen", operators];
            assert!(settings(&arguments).is_ok(), "{arguments:?}");
        }
    }

    #[test]
    fn only_a_local_ledger_is_kept_in_memory() {
        for (mode, _) in KVSTORE_MODES {
            let mistakes = settings(&["--in-memory", "--mode", mode]);
            let sentence = mistakes.unwrap_err().to_string();
            assert!(sentence.starts_with("--in-memory: "), "{sentence}");
            assert!(sentence.contains(mode), "{sentence}");
            assert!(settings(&["--in-memory=false", "--mode", mode]).is_ok());
        }
    }

    #[test]
    fn whoever_waits_for_an_answer_is_not_idle() {
        let idle_timeout = |text| settings(&["--idle-timeout", text]);
        assert!(idle_timeout("5s").is_ok());
        let sentence = idle_timeout("4999ms").unwrap_err().to_string();
        assert_eq!(sentence, "--idle-timeout: \"4999ms\" is less than 5s.");
    }

    #[test]
    fn a_year_is_not_longer_than_a_year() {
        let grace_period = |text| settings(&["--grace-period", text]);
        assert!(grace_period("1y").is_ok());
        let sentence = grace_period("1y 1s").unwrap_err().to_string();
        assert!(sentence.contains("longer than a year"), "{sentence}");
    }

    #[test]
    fn a_token_that_nobody_is_asked_for_is_a_mistake() {
        let resets = |wish, token: &str| super::resets(wish, Some(token.into()));
        for wish in ["open", "off"] {
            let mistake = resets(wish, "s3cret").unwrap_err();
            assert!(mistake.contains("--reset token"), "{mistake}");
            assert!(!mistake.contains("s3cret"), "{mistake}");
        }
        assert_eq!(resets("open", ""), Ok(Resets::Open));
        assert_eq!(resets("off", ""), Ok(Resets::Off));
    }

    #[test]
    fn a_token_is_needed_where_resets_need_one() {
        let resets = |token: Option<&str>| super::resets("token", token.map(OsString::from));
        let token = Token::new("s3cret").unwrap();
        assert_eq!(resets(Some("s3cret")), Ok(Resets::Token(token)));
        for (token, part) in [
            (None, "not set"),
            (Some(""), "not set"),
            (Some("two words"), "visible"),
        ] {
            let mistake = resets(token).unwrap_err();
            assert!(mistake.contains(part), "{mistake}");
            assert!(!mistake.contains("two words"), "{mistake}");
        }
    }
}
