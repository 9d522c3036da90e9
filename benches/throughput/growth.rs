//! What a ledger on disk costs as it grows: to start, to keep in memory, and for each transfer.

use std::process::Command;
use std::time::Duration;

use splitdim::store::{Disk, Put, Store, Write};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::Outcome;
use crate::ledger;
use crate::report::{grouped, mebibytes};
use crate::server::Server;
use crate::settings::Settings;
use crate::subject::DATA_PARENT;
use crate::usage::{self, Tick};
use crate::wrk::{Requests, Run};

/// What `BENCH_ONLY` calls it.
pub(crate) const NAME: &str = "growth";

const ACCOUNTS: [u32; 3] = [10, 1_000, 100_000];
const RECORDS: [u32; 3] = [0, 100_000, 1_000_000];

/// How many keys are written at once while a ledger is filled.
const FILL: usize = 10_000;

/// Measures ledgers of all sizes; a line of the table each.
pub(crate) fn table(settings: &Settings) -> Outcome<String> {
    let mut lines = vec![
        "| People | Records | Start ms | RSS MiB | Requests/s | CPU µs/request | RSS MiB after |"
            .to_owned(),
        "|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for accounts in ACCOUNTS {
        for records in RECORDS {
            lines.push(measure(accounts, records, settings)?);
        }
    }
    Ok(lines.join("\n") + "\n")
}

fn measure(accounts: u32, records: u32, settings: &Settings) -> Outcome<String> {
    eprintln!("{NAME}: {accounts} people, {records} records");
    let data = TempDir::new_in(DATA_PARENT)?;
    fill(&data, accounts, records)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
    command.args(["--listen", "127.0.0.1:0", "--log-format", "text", "--data"]);
    command.arg(data.path());
    let begun = Instant::now();
    let server = Server::start("splitdim", &mut command, Some(data))?;
    let started = begun.elapsed();
    let at_first = usage::memory(server.id())?;

    let tick = Tick::of_this_system()?;
    let run = |seconds| Run {
        url: format!("http://{}/api/transfer", server.address),
        connections: 64,
        seconds,
        requests: Requests::Transfers(accounts),
    };
    run(1).measure()?;
    let mut measured = Vec::new();
    for _ in 0..settings.pairs {
        let before = tick.cpu_time(server.id())?;
        let counts = run(settings.seconds).measure()?;
        let cpu = tick.cpu_time(server.id())?.saturating_sub(before);
        measured.push((
            cpu.as_secs_f64() * 1e6 / counts.requests as f64,
            counts.rate,
        ));
    }
    // The one in the middle by what a request cost: the machine has other guests.
    measured.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (cpu, rate) = measured[measured.len() / 2];
    let at_last = usage::memory(server.id())?;
    ledger::count_balanced(server.address)?;
    server.stop()?;
    Ok(format!(
        "| {} | {} | {} | {:.1} | {} | {cpu:.1} | {:.1} |",
        grouped(accounts.into()),
        grouped(records.into()),
        milliseconds(started),
        mebibytes(at_first.resident),
        grouped(rate.round() as u64),
        mebibytes(at_last.resident),
    ))
}

fn milliseconds(duration: Duration) -> u128 {
    duration.as_millis()
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
