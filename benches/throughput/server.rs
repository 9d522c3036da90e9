//! A server under measurement: a process that says where it listens.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};
use tokio::time::Instant;

use crate::Outcome;
use crate::common::process::operators_in;
use crate::process::{POLL, Process};

/// Within this time a server says where it listens.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Within this time a server ends after SIGTERM, with no connection open.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The lines of its log that go into a message.
const LOG_LINES: usize = 10;

/// A running server; dropping it kills it. Its fields go in their order: first the process, then its files.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it prints. A file, since reading a pipe meanwhile would take time from what is measured.
    log: NamedTempFile,
    /// What it stores.
    data: Option<TempDir>,
}

impl Server {
    /// Starts `command` with nothing of our environment, keeps `data` for as long as it runs, and waits until
    /// it has printed its address.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        data: Option<TempDir>,
    ) -> Outcome<Self> {
        let log = NamedTempFile::new()?;
        // Both are the same open file with one offset, so neither overwrites the other.
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.as_file().try_clone()?)
            .stderr(log.as_file().try_clone()?);
        let mut process = Process::spawn(name, command)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let ended = process.ended()?;
            let printed = fs::read_to_string(log.path())?;
            if let Some(status) = ended {
                return Err(format!("{name} has ended ({status}):\n{}", tail(&printed)).into());
            }
            if let Some(address) = address_in(&printed) {
                return Ok(Self {
                    process,
                    address,
                    log,
                    data,
                });
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "{name} has not printed a 127.0.0.1:PORT within {START_LIMIT:?}:\n{}",
                    tail(&printed)
                )
                .into());
            }
            thread::sleep(POLL);
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it serves its operators, as the line that tells its address says too.
    pub(crate) fn operators(&self) -> Option<SocketAddr> {
        operators_in(&fs::read_to_string(self.log.path()).ok()?)
    }

    /// The last lines that it printed, for a message.
    pub(crate) fn log_tail(&self) -> String {
        fs::read_to_string(self.log.path()).map_or_else(
            |error| format!("(no log: {error})"),
            |printed| tail(&printed),
        )
    }

    /// Ends it by SIGTERM, by force if it does not go.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub(crate) fn stop(self) -> Outcome<()> {
        self.leave().map(drop)
    }

    /// The same, and what it has stored.
    pub(crate) fn leave(mut self) -> Outcome<Option<TempDir>> {
        self.process.terminate()?;
        self.process
            .wait_within(STOP_LIMIT)
            .map_err(|error| format!("SIGTERM: {error}:\n{}", self.log_tail()))?;
        Ok(self.data)
    }
}

fn tail(printed: &str) -> String {
    let lines: Vec<_> = printed.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The first `127.0.0.1:PORT` in a whole line: one that is still being written may lack the last digits.
fn address_in(printed: &str) -> Option<SocketAddr> {
    printed
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .flat_map(|line| line.split("127.0.0.1:").skip(1))
        .find_map(|after| {
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .map_or(after, |end| &after[..end]);
            // Port 0 is the one that it was told, not the one that it got.
            let port = digits.parse().ok().filter(|&port: &u16| port != 0)?;
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        })
}
