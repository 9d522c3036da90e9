//! The load: wrk, and what it says of the answers.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Outcome;
use crate::process::Process;

/// wrk ends by itself; past its time and this much more something is wrong.
const GRACE: Duration = Duration::from_secs(20);

/// Builds the transfers.
const TRANSFER_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/transfer.lua");

/// Builds gets and puts.
const KVSTORE_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/kvstore.lua");

/// One run of wrk.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// What is asked.
    pub(crate) url: String,
    /// How many ask at the same time.
    pub(crate) connections: u32,
    /// For how long.
    pub(crate) seconds: u64,
    /// What is asked there.
    pub(crate) requests: Requests,
}

/// What the requests of a run are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requests {
    /// The same GET again and again.
    Same,
    /// Transfers among so many people.
    Transfers(u32),
    /// Gets of so many keys.
    Gets(u32),
    /// Puts of so many keys.
    Puts(u32),
}

/// What wrk has counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    /// Requests that were answered, all of them well.
    pub(crate) requests: u64,
    /// The same per second.
    pub(crate) rate: f64,
    /// Half were answered within this time.
    pub(crate) p50: Duration,
    /// 99 of 100 were answered within this time.
    pub(crate) p99: Duration,
}

/// Makes sure that there is a wrk.
///
/// # Errors
///
/// There is none; the message says how to get it.
pub(crate) fn find() -> Outcome<()> {
    match Command::new("wrk").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err("wrk is missing; install it: apt-get install wrk (Debian, Ubuntu)".into())
        }
        Err(error) => Err(format!("cannot run wrk: {error}").into()),
    }
}

impl Run {
    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// Also if a single request failed: a server is not fast at what it refuses. A request that is never
    /// answered is in none of wrk's counts; it shows when the server cannot end.
    pub(crate) fn measure(&self) -> Outcome<Counts> {
        let mut wrk = Process::spawn("wrk", &mut self.command())?;
        // What wrk prints fits into the pipe: reading it after the end cannot block it.
        wrk.wait_within(Duration::from_secs(self.seconds) + GRACE)?;
        let mut printed = String::new();
        if let Some(mut stdout) = wrk.child().stdout.take() {
            stdout.read_to_string(&mut printed)?;
        }
        parse(&printed).map_err(|error| format!("wrk on {}: {error}", self.url).into())
    }

    fn command(&self) -> Command {
        let mut command = Command::new("wrk");
        command
            .args(["-t1", "--latency"])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", self.seconds))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        match self.requests {
            Requests::Same => command.arg(&self.url),
            Requests::Transfers(people) => command
                .args(["-s", TRANSFER_SCRIPT, &self.url, "--"])
                .arg(people.to_string()),
            Requests::Gets(keys) => command
                .args(["-s", KVSTORE_SCRIPT, &self.url, "--", "get"])
                .arg(keys.to_string()),
            Requests::Puts(keys) => command
                .args(["-s", KVSTORE_SCRIPT, &self.url, "--", "put"])
                .arg(keys.to_string()),
        };
        command
    }
}

/// Reads wrk's report, of which these lines count (the two of failures are there only if something failed):
///
/// ```text
///      50%    1.23ms
///      99%    1.94ms
///   242393 requests in 5.01s, 17.34MB read
///   Socket errors: connect 0, read 3, write 0, timeout 0
///   Non-2xx or 3xx responses: 12
/// Requests/sec:  48430.31
/// ```
fn parse(printed: &str) -> Outcome<Counts> {
    let (mut requests, mut rate, mut p50, mut p99) = (None, None, None, None);
    for line in printed.lines().map(str::trim) {
        if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            return Err(line.into());
        } else if let Some(duration) = line.strip_prefix("50%") {
            p50 = parse_duration(duration.trim());
        } else if let Some(duration) = line.strip_prefix("99%") {
            p99 = parse_duration(duration.trim());
        } else if let Some(count) = line.strip_prefix("Requests/sec:") {
            rate = count.trim().parse().ok();
        } else if let Some((count, _)) = line.split_once(" requests in ") {
            requests = count.parse().ok();
        }
    }
    match (requests, rate, p50, p99) {
        (Some(requests), Some(rate), Some(p50), Some(p99)) if requests > 0 => Ok(Counts {
            requests,
            rate,
            p50,
            p99,
        }),
        (Some(0), ..) => Err("no request was answered".into()),
        _ => Err(format!("cannot read its report:\n{printed}").into()),
    }
}

/// `630.00us`, `1.94ms`, `1.02s`.
fn parse_duration(text: &str) -> Option<Duration> {
    // Longest first: all of them end in `s`.
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (number, seconds) = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}
