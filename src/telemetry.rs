//! The log.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Writes the log to stderr, as far as `RUST_LOG` wishes; `info` and above if it says nothing.
///
/// # Errors
///
/// A sentence, if `RUST_LOG` cannot be understood.
pub fn start(format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(wish) if !wish.is_empty() => EnvFilter::try_new(&wish)
            .map_err(|error| format!("RUST_LOG is {wish:?}, which is no filter: {error}"))?,
        _ => EnvFilter::new("info"),
    };
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
