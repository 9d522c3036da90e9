//! How fast is splitdim, compared with a bare axum server that only reads the same requests?
//!
//! `cargo bench --bench throughput` runs the real binary under wrk, in turn with the bare server, and prints a
//! Markdown table for `BENCHMARKS.md`. What counts is the *ratio* of the two in the same minute on the same
//! machine: requests per second alone say more about the machine than about the service.
//!
//! | Environment | Meaning | Default |
//! |---|---|---|
//! | `BENCH_SECONDS` | length of one measurement | 5 |
//! | `BENCH_PAIRS` | measurements of each side in each row | 5 |
//! | `BENCH_ONLY` | only the rows with this in their name; `growth` for the table of growing ledgers; `exactness` for a check that they are exact under this load | all |
//!
//! Adding a row is one entry in [`scenario::ROWS`].
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is the output of this program, progress goes beside it"
)]

mod bare;
mod checker;
#[path = "../../tests/common/mod.rs"]
mod common;
mod exactness;
mod fetch;
mod growth;
mod host;
mod ledger;
mod pair;
mod process;
mod remains;
mod report;
mod row;
mod scenario;
mod server;
mod settings;
mod store;
mod subject;
mod usage;
mod wrk;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use settings::Settings;

/// What can fail here fails for whoever reads the message: a sentence is enough.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// The exit status of a setting that cannot be read (`EX_USAGE`).
const BAD_SETTING: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == bare::COMMAND)
    {
        return exit(bare::serve(arguments.get(1)));
    }
    // Cargo says `--bench` to a benchmark, but not when it runs everything as tests: minutes of load are no test.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("nothing measured: use `cargo bench --bench throughput`");
        return ExitCode::SUCCESS;
    }
    match Settings::from_env() {
        Ok(settings) => exit(measure(&settings)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(BAD_SETTING)
        }
    }
}

fn exit(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows that were asked for and prints what there is, also when a later row fails.
fn measure(settings: &Settings) -> Outcome<()> {
    wrk::find()?;
    let header = report::header(settings)?;
    let mut finished = Vec::new();
    let mut outcome = Ok(());
    for scenario in &settings.rows {
        match row::measure(scenario, settings) {
            Ok(row) => finished.push(row),
            Err(error) => {
                outcome = Err(format!("{}: {error}", scenario.name).into());
                break;
            }
        }
    }
    if !finished.is_empty() || settings.growth || settings.exactness {
        println!("{header}");
    }
    if !finished.is_empty() {
        println!("{}", report::table(&finished));
    }
    if settings.growth && outcome.is_ok() {
        println!("{}", growth::table(settings)?);
    }
    if settings.exactness && outcome.is_ok() {
        print!("{}", exactness::table(settings)?);
    }
    outcome
}
