//! The commands of `kvstore` that write and read backups.

mod translog;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use crate::config::kvstore::Command;
use crate::kv::{Kv, KvClient, KvService, Listed, Range};
use crate::process::Failure;
use crate::store::{self, Backend, Disk, Dump, DumpWriter};
use crate::telemetry::Chain;

/// How long a running server may take to send everything.
const EXPORT_WITHIN: Duration = Duration::from_secs(600);

/// Carries out `command`.
///
/// # Errors
///
/// A sentence that says what failed.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Export {
            addr: Some(address),
            ..
        } => export_running(&address).await,
        Command::Export { addr: None, data } => export_directory(&data),
        Command::Import { file, data } => {
            let dump =
                Dump::read(open(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
            fill(&data, dump)
        }
        Command::ImportTranslog {
            file,
            data,
            lenient,
        } => import_translog(&file, &data, lenient),
    }
}

async fn export_running(address: &str) -> Result<(), Failure> {
    let unreadable = |error| format!("cannot read {address}: {}", Chain(&error));
    let client = KvClient::new(address, EXPORT_WITHIN / 4)?;
    let listed = Kv::new(KvService::new(client))
        .list(Range::default(), None)
        .await;
    let Listed::Entries(mut entries, stamp) = listed.map_err(unreadable)? else {
        return Err("the server claims that nothing has changed since nothing".into());
    };
    let mut writer = DumpWriter::new(
        BufWriter::new(io::stdout().lock()),
        stamp.unwrap_or_default(),
    )?;
    while let Some(page) = entries.next_page().await {
        for entry in &page.map_err(unreadable)? {
            writer.entry(entry)?;
        }
    }
    say(&format!("exported {} entries", writer.finish()?))
}

fn export_directory(data: &Path) -> Result<(), Failure> {
    // Opening would make an empty store where there is none.
    if !Disk::is_in(data) {
        return Err(format!("there is no store in {}; check --data", data.display()).into());
    }
    let disk = Disk::open(data)?;
    let snapshot = disk.newest().snapshot();
    let entries = store::dump(&snapshot, BufWriter::new(io::stdout().lock()))?;
    say(&format!("exported {entries} entries"))
}

fn import_translog(file: &Path, data: &Path, lenient: bool) -> Result<(), Failure> {
    let replayed =
        translog::replay(open(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    for complaint in &replayed.complaints {
        say(&format!("{}: {complaint}", file.display()))?;
    }
    let complaints = replayed.complaints.len();
    if complaints > 0 && !lenient {
        return Err(format!(
            "{complaints} lines of {} are not as they should be; nothing was imported (--lenient imports the rest)",
            file.display()
        )
        .into());
    }
    fill(data, replayed.dump)
}

fn fill(data: &Path, dump: Dump) -> Result<(), Failure> {
    let entries = dump.entries.len();
    let mut disk = Disk::open(data)?;
    let stamp =
        store::restore(&mut disk, dump).map_err(|error| format!("{}: {error}", data.display()))?;
    say(&format!(
        "imported {entries} entries into {}; its epoch is {}",
        data.display(),
        stamp.epoch
    ))
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened =
        File::open(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(Box::new(BufReader::new(opened)))
}

/// Tells on stderr: stdout may be the export.
fn say(message: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stderr(), "kvstore: {message}")?)
}
