//! What a ledger on disk costs as it grows: to start, to keep in memory, and for each transfer.

use std::process::Command;
use std::time::Duration;

use splitdim::store::{Disk, Put, Store, Write};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Outcome;
use crate::ledger;
use crate::report::{grouped, mebibytes, median, with_range};
use crate::server::Server;
use crate::settings::Settings;
use crate::subject::DATA_PARENT;
use crate::usage::{self, Memory, Tick};
use crate::wrk::{Requests, Run};

/// What `BENCH_ONLY` calls it.
pub(crate) const NAME: &str = "growth";

const ACCOUNTS: [u32; 3] = [10, 1_000, 100_000];
const RECORDS: [u32; 3] = [0, 100_000, 1_000_000];

/// Which of [`ACCOUNTS`] the others are compared with.
const COMPARED_WITH: usize = 1;

/// How many keys are written at once while a ledger is filled.
const FILL: usize = 10_000;

/// Measures ledgers of all sizes, those with as many records in turn; a line of the table each.
pub(crate) fn table(settings: &Settings) -> Outcome<String> {
    let mut lines = vec![
        "| Records | People | Start ms | RSS MiB | Requests/s | CPU µs/request | RSS MiB after | CPU, 1,000 people = 1 |"
            .to_owned(),
        "|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for records in RECORDS {
        let mut ledgers = Vec::new();
        for accounts in ACCOUNTS {
            eprintln!("{NAME}: {accounts} people, {records} records");
            ledgers.push(Grown::start(accounts, records)?);
        }
        for _ in 0..settings.pairs {
            for ledger in &mut ledgers {
                ledger.measure(settings.seconds)?;
            }
        }
        for ledger in &ledgers {
            lines.push(ledger.line(&ledgers[COMPARED_WITH])?);
        }
        ledgers.into_iter().try_for_each(Grown::stop)?;
    }
    Ok(lines.join("\n") + "\n")
}

/// A ledger of some size, which is served.
struct Grown {
    accounts: u32,
    records: u32,
    server: Server,
    started: Duration,
    /// In memory when it had started.
    at_first: Memory,
    /// The processor time that a request cost each time, in microseconds, and how many came in a second.
    measured: Vec<(f64, f64)>,
}

impl Grown {
    /// Fills it, starts it, and warms it up.
    fn start(accounts: u32, records: u32) -> Outcome<Self> {
        let data = TempDir::new_in(DATA_PARENT)?;
        fill(&data, accounts, records)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
        command.args(["--listen", "127.0.0.1:0", "--log-format", "text", "--data"]);
        command.arg(data.path());
        let begun = Instant::now();
        let server = Server::start("splitdim", &mut command, Some(data))?;
        let ledger = Self {
            accounts,
            records,
            started: begun.elapsed(),
            at_first: usage::memory(server.id())?,
            server,
            measured: Vec::new(),
        };
        ledger.run(1).measure()?;
        Ok(ledger)
    }

    fn run(&self, seconds: u64) -> Run {
        Run {
            url: format!("http://{}/api/transfer", self.server.address),
            connections: 64,
            seconds,
            requests: Requests::Transfers(self.accounts),
        }
    }

    fn measure(&mut self, seconds: u64) -> Outcome<()> {
        let tick = Tick::of_this_system()?;
        let before = tick.cpu_time(self.server.id())?;
        let counts = self.run(seconds).measure()?;
        let cpu = tick.cpu_time(self.server.id())?.saturating_sub(before);
        let cpu = cpu.as_secs_f64() * 1e6 / counts.requests as f64;
        self.measured.push((cpu, counts.rate));
        Ok(())
    }

    /// The medians, and the processor time over that of `other`, turn by turn.
    fn line(&self, other: &Self) -> Outcome<String> {
        let at_last = usage::memory(self.server.id())?;
        let turns = self.measured.iter().zip(&other.measured);
        let ratios = turns.map(|(this, other)| this.0 / other.0).collect();
        Ok(format!(
            "| {} | {} | {} | {:.1} | {} | {:.1} | {:.1} | {} |",
            grouped(self.records.into()),
            grouped(self.accounts.into()),
            self.started.as_millis(),
            mebibytes(self.at_first.resident),
            grouped(median(self.measured.iter().map(|turn| turn.1).collect()).round() as u64),
            median(self.measured.iter().map(|turn| turn.0).collect()),
            mebibytes(at_last.resident),
            with_range(ratios),
        ))
    }

    fn stop(self) -> Outcome<()> {
        ledger::count_balanced(self.server.address)?;
        self.server.stop()
    }
}

/// Fills a ledger as it would be after so many transfers.
fn fill(data: &TempDir, accounts: u32, records: u32) -> Outcome<()> {
    let people = (0..accounts).map(|person| put(format!("p{person}"), "0".to_owned()));
    let records = (0..records).map(|number| {
        // Sorted by time, as ids are.
        let key = format!(
            "!t/0190{:04x}-{:04x}-7000-8000-{:012x}",
            number >> 16,
            number & 0xffff,
            number
        );
        let (sender, receiver) = (number % accounts, (number + 1) % accounts);
        let value = format!(
            r#"{{"result":"done","sender":"p{sender}","receiver":"p{receiver}","amount":5}}"#
        );
        put(key, value)
    });
    let mut puts = people.chain(records).peekable();
    Runtime::new()?.block_on(async {
        let (store, writer) = Store::new(Disk::open(data.path())?);
        let writing = tokio::spawn(writer.run());
        while puts.peek().is_some() {
            let write = Write::Puts {
                puts: puts.by_ref().take(FILL).collect(),
                epoch: None,
            };
            store.write(write).await?;
        }
        drop(store);
        Ok(writing.await??)
    })
}

fn put(key: String, value: String) -> Put {
    Put::new(key, value, 0)
}
