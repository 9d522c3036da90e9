//! What a ledger on disk costs as it grows: to start, to keep in memory, and for each transfer.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use splitdim::store::{Disk, Put, Store, Write};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Outcome;
use crate::ledger;
use crate::pair::{Measurement, Side};
use crate::report::{grouped, mebibytes, median, with_range};
use crate::server::Server;
use crate::settings::Settings;
use crate::subject::DATA_PARENT;
use crate::usage::{Memory, Tick};
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
    let tick = Tick::of_this_system()?;
    for records in RECORDS {
        let mut ledgers = Vec::new();
        for accounts in ACCOUNTS {
            eprintln!("{NAME}: {accounts} people, {records} records");
            ledgers.push(Grown::start(accounts, records, settings.seconds)?);
        }
        for _ in 0..settings.pairs {
            for ledger in &mut ledgers {
                ledger.measured.push(ledger.side.measure(tick)?);
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
    address: SocketAddr,
    side: Side,
    started: Duration,
    /// In memory when it had started.
    at_first: Memory,
    measured: Vec<Measurement>,
}

impl Grown {
    /// Fills it, starts it, and warms it up for measurements of so many seconds.
    fn start(accounts: u32, records: u32, seconds: u64) -> Outcome<Self> {
        let data = TempDir::new_in(DATA_PARENT)?;
        fill(&data, accounts, records)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
        command.args(["--listen", "127.0.0.1:0", "--log-format", "text", "--data"]);
        command.arg(data.path());
        let begun = Instant::now();
        let server = Server::start("splitdim", &mut command, Some(data))?;
        let started = begun.elapsed();
        let address = server.address;
        let side = Side {
            servers: vec![server],
            run: Run {
                url: format!("http://{address}/api/transfer"),
                connections: 64,
                seconds,
                requests: Requests::Transfers(accounts),
            },
        };
        let at_first = side.memory()?;
        side.warm_up()?;
        Ok(Self {
            accounts,
            records,
            address,
            side,
            started,
            at_first,
            measured: Vec::new(),
        })
    }

    /// The medians, and the processor time over that of `other`, turn by turn.
    fn line(&self, other: &Self) -> Outcome<String> {
        let at_last = self.side.memory()?;
        let median_of =
            |value: fn(&Measurement) -> f64| median(self.measured.iter().map(value).collect());
        let turns = self.measured.iter().zip(&other.measured);
        let ratios = turns.map(|(this, other)| this.cpu_per_request() / other.cpu_per_request());
        Ok(format!(
            "| {} | {} | {} | {:.1} | {} | {:.1} | {:.1} | {} |",
            grouped(self.records.into()),
            grouped(self.accounts.into()),
            self.started.as_millis(),
            mebibytes(self.at_first.resident),
            grouped(median_of(|turn| turn.counts.rate).round() as u64),
            median_of(Measurement::cpu_per_request),
            mebibytes(at_last.resident),
            with_range(ratios.collect()),
        ))
    }

    fn stop(self) -> Outcome<()> {
        ledger::count_balanced(self.address)?;
        self.side.stop()
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
