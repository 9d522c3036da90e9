//! Is the ledger exact under this load? The checker of the tests makes its own transfers among its own people
//! while wrk goes on, looks at the accounts meanwhile, and at the end at everything.
//!
//! It is here and not among the tests since it is about this load, on these binaries, with wrk.

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::Outcome;
use crate::checker;
use crate::common::exact::{self, Journal};
use crate::common::figures::Figures;
use crate::ledger;
use crate::remains::Remains;
use crate::report::grouped;
use crate::scenario::{DISK, MEMORY, TRANSACTIONS};
use crate::server::Server;
use crate::settings::Settings;
use crate::subject::Subject;
use crate::wrk::{Counts, Requests, Run};

/// What `BENCH_ONLY` calls it.
pub(crate) const NAME: &str = "exactness";

const LEDGERS: [(&str, Subject); 3] = [
    ("in memory", MEMORY),
    ("on disk", DISK),
    ("transactionalkvstore", TRANSACTIONS),
];

const CONNECTIONS: u32 = 64;
const PEOPLE: u32 = 1000;

/// Checks each ledger; a line of the table each.
///
/// # Errors
///
/// One is not exact.
pub(crate) fn table(settings: &Settings) -> Outcome<String> {
    let mut lines = vec![
        "| Exact under load | wrk: answered | per second | Checker: done | not applied | unknown | Looks | Made, by metrics | Records on disk |"
            .to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for (name, subject) in LEDGERS {
        eprintln!("{NAME}: {name}");
        lines.push(check(name, subject, settings).map_err(|error| format!("{name}: {error}"))?);
    }
    Ok(lines.join("\n") + "\n")
}

/// Has the checker at work while wrk is, and then compares what is there with what both were told.
fn check(name: &str, subject: Subject, settings: &Settings) -> Outcome<String> {
    let runtime = Runtime::new()?;
    let servers = subject.start_with(&["--ops-listen", "127.0.0.1:0"])?;
    let splitdim = &servers[0];
    let load = Run {
        url: format!("http://{}/api/transfer", splitdim.address),
        connections: CONNECTIONS,
        seconds: settings.seconds,
        requests: Requests::Transfers(PEOPLE),
    };
    let (over, is_over) = oneshot::channel();
    let checking = runtime.spawn(checker::check(splitdim.address, is_over));
    let counts = load.measure()?;
    // If nobody hears it, the checker has ended early, and says why.
    let _ = over.send(());
    let checked = runtime
        .block_on(checking)?
        .map_err(|error| error.to_string())?;

    ledger::wait_for_rest(splitdim.address)?;
    let operators = splitdim.operators().ok_or("it serves no operators")?;
    let figures = runtime.block_on(Figures::of(operators));
    let made = figures.get("splitdim_transfers_total", &[("outcome", "done")]);
    let made = made.ok_or("it does not tell how many transfers it made")? as u64;
    // The metrics count a transfer by what its client was told, whatever became of it.
    is_what_was_told(made, &counts, &checked.told)?;

    let records = match stop(servers)? {
        Some(remains) => {
            is_what_was_told(remains.records, &counts, &checked.journal)?;
            checked.is_in(&remains.balances)?;
            grouped(remains.records)
        }
        None => "–".to_owned(),
    };
    let of = |outcome| grouped(checked.journal.count(outcome) as u64);
    Ok(format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {records} |",
        grouped(counts.requests),
        grouped(counts.rate.round() as u64),
        of(exact::Outcome::Done),
        of(exact::Outcome::NotApplied),
        of(exact::Outcome::Unknown),
        checked.looks,
        grouped(made),
    ))
}

/// Whether so many transfers are those that clients were told of, and perhaps some of which wrk did not wait for
/// the answer when it stopped, one on each of its connections.
fn is_what_was_told(made: u64, counts: &Counts, journal: &Journal) -> Outcome<()> {
    let of = |outcome| journal.count(outcome) as u64;
    let certain = counts.requests + of(exact::Outcome::Done);
    let possible = certain + of(exact::Outcome::Unknown) + u64::from(CONNECTIONS);
    match (certain..=possible).contains(&made) {
        true => Ok(()),
        false => Err(format!(
            "{made} transfers were made, but {certain} to {possible} should have been"
        )
        .into()),
    }
}

/// Stops them in their order: the last one has the ledger. What it leaves, if that is on disk.
fn stop(servers: Vec<Server>) -> Outcome<Option<Remains>> {
    let mut last = None;
    for server in servers {
        last = server.leave()?;
    }
    last.map(|data| Remains::of(data.path())).transpose()
}
