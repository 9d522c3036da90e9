//! What can be set, by environment variables: cargo keeps the arguments for itself.

use std::env;
use std::ffi::OsStr;

use crate::Outcome;
use crate::scenario::{ROWS, Scenario};
use crate::{exactness, growth};

/// How long, how often and what to measure.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `BENCH_SECONDS`: the length of one measurement.
    pub(crate) seconds: u64,
    /// `BENCH_PAIRS`: how often each side of a row is measured.
    pub(crate) pairs: usize,
    /// The rows to measure, in their order in the table: those with `BENCH_ONLY` in their name.
    pub(crate) rows: Vec<&'static Scenario>,
    /// Whether to measure ledgers of many sizes too.
    pub(crate) growth: bool,
    /// Whether to check that ledgers are exact under this load too.
    pub(crate) exactness: bool,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// A number that is none, or below 1; a name that no row has, because a typing mistake should not look like
    /// a benchmark that went well.
    pub(crate) fn from_env() -> Outcome<Self> {
        let only = env::var("BENCH_ONLY").unwrap_or_default();
        Ok(Self {
            seconds: positive("BENCH_SECONDS", 5)?,
            pairs: usize::try_from(positive("BENCH_PAIRS", 5)?)?,
            rows: match &*only {
                growth::NAME | exactness::NAME => Vec::new(),
                part => rows_named(part)?,
            },
            growth: only.is_empty() || only == growth::NAME,
            exactness: only.is_empty() || only == exactness::NAME,
        })
    }
}

fn rows_named(part: &str) -> Outcome<Vec<&'static Scenario>> {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.name.contains(part)).collect();
    if rows.is_empty() {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        let names = names.join("; ");
        return Err(
            format!("BENCH_ONLY={part:?} is part of no row's name; the rows are: {names}").into(),
        );
    }
    Ok(rows)
}

fn positive(name: &str, default: u64) -> Outcome<u64> {
    match env::var_os(name) {
        None => Ok(default),
        Some(text) => parse_positive(&text)
            .ok_or_else(|| format!("{name}={text:?} is no whole number of at least 1").into()),
    }
}

fn parse_positive(text: &OsStr) -> Option<u64> {
    text.to_str()?.parse().ok().filter(|&number| number >= 1)
}
