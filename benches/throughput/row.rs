//! One row: two servers, some pairs, and a look at the ledger.

use crate::Outcome;
use crate::bare;
use crate::fetch;
use crate::ledger;
use crate::pair::{Pair, Side};
use crate::scenario::{Load, Scenario};
use crate::server::Server;
use crate::settings::Settings;
use crate::store;
use crate::subject::Subject;
use crate::usage::{Memory, Tick};
use crate::wrk::{Requests, Run};

/// With more of the processors' time stolen than this a pair is measured again.
pub(crate) const MAX_STOLEN: f64 = 0.06;

/// How many pairs of a row may be measured again, before they are taken as they come.
const MAX_REPEATS: usize = 10;

/// How often people are added by a second of transfers before a read.
const MAX_PRELOADS: usize = 20;

/// What one row found.
#[derive(Debug)]
pub(crate) struct Row {
    /// The row's name.
    pub(crate) name: &'static str,
    /// What was measured.
    pub(crate) subject: Subject,
    /// Its pairs, at least one.
    pub(crate) pairs: Vec<Pair>,
    /// How many pairs were thrown away because too much was stolen.
    pub(crate) repeats: usize,
    /// The bare server's memory after the last pair.
    pub(crate) baseline_memory: Memory,
    /// The subject's memory after the last pair.
    pub(crate) subject_memory: Memory,
    /// The size of the body that was read, 0 for transfers.
    pub(crate) body_size: usize,
    /// Requests to the store for each transfer, where there is a store to ask.
    pub(crate) store_requests: Option<f64>,
}

/// Measures `scenario`. Both servers run from the first pair to the last; the one that is not asked is idle.
pub(crate) fn measure(scenario: &Scenario, settings: &Settings) -> Outcome<Row> {
    let name = scenario.name;
    eprintln!("{name}: starting");
    let tick = Tick::of_this_system()?;
    let servers = scenario.subject.start()?;
    let (requests, paths, body_size) = match scenario.load {
        Load::Transfers { people } => (Requests::Transfers(people), ["/api/transfer"; 2], 0),
        Load::Read { path, people } => {
            preload(&servers[0], people)?;
            let body = fetch::get(servers[0].address, path)?;
            (Requests::Same, [bare::STATIC_BODY, path], body.len())
        }
        Load::Gets { keys } => {
            let body = fetch::get(servers[0].address, "/api/get?id=k")?;
            (
                Requests::Gets(keys),
                [bare::STATIC_BODY, "/api/get"],
                body.len(),
            )
        }
        Load::Puts { keys } => (Requests::Puts(keys), ["/api/put"; 2], 0),
    };
    let [baseline, subject] = [
        (vec![bare::start(body_size)?], paths[0]),
        (servers, paths[1]),
    ]
    .map(|(servers, path)| Side {
        run: Run {
            url: format!("http://{}{path}", servers[0].address),
            connections: scenario.connections,
            seconds: settings.seconds,
            requests,
        },
        servers,
    });

    for side in [&baseline, &subject] {
        side.warm_up()?;
    }
    let (pairs, repeats) = measure_pairs(name, &baseline, &subject, settings.pairs, tick)?;
    let (baseline_memory, subject_memory) = (baseline.memory()?, subject.memory()?);
    if scenario.subject.has_ledger() {
        let people = ledger::count_balanced(subject.servers[0].address)?;
        eprintln!("{name}: the balances of {people} people sum to 0");
    }
    let store_requests = match scenario.subject {
        Subject::SplitdimOnKvstore(_) => {
            Some(store::requests_per_transfer(subject.servers[1].address)?)
        }
        _ => None,
    };
    baseline.stop()?;
    subject.stop()?;
    Ok(Row {
        name,
        subject: scenario.subject,
        pairs,
        repeats,
        baseline_memory,
        subject_memory,
        body_size,
        store_requests,
    })
}

/// The pairs that count, and how many were thrown away.
fn measure_pairs(
    name: &str,
    baseline: &Side,
    subject: &Side,
    wanted: usize,
    tick: Tick,
) -> Outcome<(Vec<Pair>, usize)> {
    let mut pairs = Vec::new();
    let mut repeats = 0;
    while pairs.len() < wanted {
        let subject_first = pairs.len() % 2 == 1;
        let pair = Pair::measure(baseline, subject, subject_first, tick)?;
        eprintln!(
            "{name}: pair {} of {wanted}: bare {:.0}/s, splitdim {:.0}/s, ratio {:.2}, {:.1} % stolen",
            pairs.len() + 1,
            pair.baseline.counts.rate,
            pair.subject.counts.rate,
            pair.ratio(),
            pair.stolen * 100.0,
        );
        if pair.stolen > MAX_STOLEN && repeats < MAX_REPEATS {
            repeats += 1;
            eprintln!("{name}: too much was stolen: once more ({repeats} of {MAX_REPEATS})");
        } else {
            pairs.push(pair);
        }
    }
    Ok((pairs, repeats))
}

/// Makes `people` people by transfers between them, and waits until these have gone through.
fn preload(splitdim: &Server, people: u32) -> Outcome<()> {
    let transfers = Run {
        url: format!("http://{}/api/transfer", splitdim.address),
        connections: 64,
        seconds: 1,
        requests: Requests::Transfers(people),
    };
    for _ in 0..MAX_PRELOADS {
        transfers.measure()?;
        ledger::wait_for_rest(splitdim.address)?;
        if ledger::count_balanced(splitdim.address)? == usize::try_from(people)? {
            return Ok(());
        }
    }
    Err(format!("{MAX_PRELOADS} s of transfers have not made {people} people").into())
}
