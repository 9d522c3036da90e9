//! The log, and what a line of it says of the request that it belongs to.

mod context;
mod line;
mod trace;

use std::error::Error;
use std::{fmt, io};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, JsonFields};

pub use context::{Context, Id, Within, carried, current, enter, within};
pub use trace::{TRACEPARENT, TRACESTATE, Trace};

use line::Lines;

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
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // A line that cannot be written is lost. It would be reported to stderr, too, by a macro that panics.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            log.with_ansi(is_terminal)
                .event_format(Lines::text(format::format().with_ansi(is_terminal)))
                .init();
        }
        LogFormat::Json => log
            .fmt_fields(JsonFields::new())
            .event_format(Lines::json(format::json()))
            .init(),
    }
    Ok(())
}

/// An error with everything that caused it, as a line of the log wants it.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
