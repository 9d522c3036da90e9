//! The settings of how hard `splitdim` tries.

use std::time::Duration;

use clap::Args;
use resilient::retry::Backoff;

use super::{Mistakes, values};
use crate::pipeline::{Options, Patience};

/// The client gets its answer within five seconds: some of them are for what is around the transfer.
const LONGEST_ANSWER: Duration = Duration::from_millis(4500);

/// Each look reads a whole list.
const SHORTEST_SWEEP: Duration = Duration::from_millis(100);

// Not a doc comment, which would become the description of the whole program.
#[derive(Debug, Args)]
#[command(next_help_heading = "How hard it tries")]
pub(super) struct PatienceArguments {
    /// How often a write that failed is tried again
    #[arg(
        long,
        env = "SPLITDIM_RETRIES",
        value_name = "NUMBER",
        default_value = "6"
    )]
    retries: String,
    /// The longest first delay before that; it doubles each time, and each delay is random below it
    #[arg(
        long,
        env = "SPLITDIM_RETRY_BASE",
        value_name = "DURATION",
        default_value = "150ms"
    )]
    retry_base: String,
    /// What it doubles up to
    #[arg(
        long,
        env = "SPLITDIM_RETRY_CAP",
        value_name = "DURATION",
        default_value = "2s"
    )]
    retry_cap: String,
    /// The same as --retries, where half a transfer is to be taken back, or a whole one finished
    #[arg(
        long,
        env = "SPLITDIM_UNDO_RETRIES",
        value_name = "NUMBER",
        default_value = "12"
    )]
    undo_retries: String,
    /// The same as --retry-base for that
    #[arg(
        long,
        env = "SPLITDIM_UNDO_RETRY_BASE",
        value_name = "DURATION",
        default_value = "50ms"
    )]
    undo_retry_base: String,
    /// Retries a second on top of one for each success: a store that is away gets no more
    #[arg(
        long,
        env = "SPLITDIM_SPARE_RETRIES",
        value_name = "NUMBER",
        default_value = "5"
    )]
    spare_retries: String,
    /// How long one attempt may take
    #[arg(
        long,
        env = "SPLITDIM_ATTEMPT_TIMEOUT",
        value_name = "DURATION",
        default_value = "1s"
    )]
    attempt_timeout: String,
    /// How long a client waits for the outcome of a transfer, 4500ms at most
    #[arg(
        long,
        env = "SPLITDIM_ANSWER_WITHIN",
        value_name = "DURATION",
        default_value = "4s"
    )]
    answer_within: String,
    /// How much longer half a transfer is tried to be taken back
    #[arg(
        long,
        env = "SPLITDIM_UNDO_WITHIN",
        value_name = "DURATION",
        default_value = "15s"
    )]
    undo_within: String,
    /// How often open transfers of crashed processes are looked for, 100ms at least
    #[arg(
        long,
        env = "SPLITDIM_SWEEP_EVERY",
        value_name = "DURATION",
        default_value = "2s"
    )]
    sweep_every: String,
    /// How long another process's transfer is open before it is finished here
    #[arg(
        long,
        env = "SPLITDIM_STALE_AFTER",
        value_name = "DURATION",
        default_value = "3s"
    )]
    stale_after: String,
    /// How long a transfer may stay open, while the store answers, before all transfers are refused; longer than
    /// --stale-after
    #[arg(
        long,
        env = "SPLITDIM_QUARANTINE_AFTER",
        value_name = "DURATION",
        default_value = "60s"
    )]
    quarantine_after: String,
    /// How many transfers may be under way; more are refused at once
    #[arg(
        long,
        env = "SPLITDIM_MAX_IN_FLIGHT",
        value_name = "NUMBER",
        default_value = "1024"
    )]
    max_in_flight: String,
}

pub(super) fn options(arguments: &PatienceArguments, mistakes: &mut Mistakes) -> Option<Options> {
    let mut duration = |flag, text: &String| mistakes.note(flag, values::positive_duration(text));
    let retry_base = duration("--retry-base", &arguments.retry_base);
    let retry_cap = duration("--retry-cap", &arguments.retry_cap);
    let undo_retry_base = duration("--undo-retry-base", &arguments.undo_retry_base);
    let attempt_within = duration("--attempt-timeout", &arguments.attempt_timeout);
    let undo_within = duration("--undo-within", &arguments.undo_within);
    let stale_after = duration("--stale-after", &arguments.stale_after);
    let quarantine_after = duration("--quarantine-after", &arguments.quarantine_after);
    let quarantine_after = later(quarantine_after, stale_after, mistakes);
    let answer_within = mistakes.note("--answer-within", answer_within(&arguments.answer_within));
    let sweep_every = values::long_duration(&arguments.sweep_every, SHORTEST_SWEEP);
    let sweep_every = mistakes.note("--sweep-every", sweep_every);

    let retries = mistakes.note("--retries", values::number(&arguments.retries, 0..=1000));
    let undo_retries = values::number(&arguments.undo_retries, 0..=1000);
    let undo_retries = mistakes.note("--undo-retries", undo_retries);
    let spare_retries = values::number(&arguments.spare_retries, 0..=1_000_000);
    let spare_retries = mistakes.note("--spare-retries", spare_retries);
    let max_in_flight = values::number(&arguments.max_in_flight, 1..=1_000_000);
    let max_in_flight = mistakes.note("--max-in-flight", max_in_flight);

    let mut backoff = |flag, base: Option<Duration>, retries: Option<u32>| {
        let backoff = Backoff::new(base?, retry_cap?, 1.0, retries?);
        mistakes.note(flag, backoff.map_err(|error| error.to_string()))
    };
    let errors = backoff("--retry-base", retry_base, retries);
    let undo_errors = backoff("--undo-retry-base", undo_retry_base, undo_retries);

    let answer_within = answer_within?;
    Some(Options {
        patience: Patience {
            errors: errors?,
            undo_errors: undo_errors?,
            attempt_within: Some(attempt_within?),
            try_within: answer_within,
            answer_within,
            undo_within: undo_within?,
            stale_after: stale_after?,
            sweep_every: sweep_every?,
            quarantine_after: quarantine_after?,
            spare_retries: spare_retries?,
            ..Patience::default()
        },
        max_in_flight: max_in_flight?,
        ..Options::default()
    })
}

/// When the ledger is quarantined: not before anybody else has tried to finish what is open.
fn later(
    quarantine_after: Option<Duration>,
    stale_after: Option<Duration>,
    mistakes: &mut Mistakes,
) -> Option<Duration> {
    let (quarantine_after, stale_after) = (quarantine_after?, stale_after?);
    let value = match quarantine_after > stale_after {
        true => Ok(quarantine_after),
        false => Err(format!(
            "it must be longer than --stale-after, {}, after which others finish what is open",
            humantime::format_duration(stale_after)
        )),
    };
    mistakes.note("--quarantine-after", value)
}

fn answer_within(text: &str) -> Result<Duration, String> {
    match values::positive_duration(text)? {
        duration if duration <= LONGEST_ANSWER => Ok(duration),
        _ => Err(format!("{text:?} is more than 4500ms")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        patience: PatienceArguments,
    }

    fn options(arguments: &[&str]) -> Result<Options, Mistakes> {
        let arguments = Arguments::parse_from(["splitdim"].iter().chain(arguments));
        let mut mistakes = Mistakes::default();
        super::options(&arguments.patience, &mut mistakes).ok_or(mistakes)
    }

    #[test]
    fn without_flags_it_tries_as_hard_as_by_default() {
        let (told, default) = (options(&[]).unwrap(), Options::default());
        assert_eq!(told.patience, default.patience);
        assert_eq!(told.max_in_flight, default.max_in_flight);
    }

    #[test]
    fn open_transfers_are_not_looked_for_without_a_pause() {
        assert!(options(&["--sweep-every=100ms"]).is_ok());
        let sentence = options(&["--sweep-every=99ms"]).unwrap_err().to_string();
        assert_eq!(sentence, "--sweep-every: \"99ms\" is less than 100ms.");
    }

    #[test]
    fn a_quarantine_waits_for_those_who_finish_what_is_open() {
        assert!(options(&["--stale-after=59s"]).is_ok());
        for arguments in [&["--stale-after=1m"][..], &["--quarantine-after=3s"]] {
            let sentence = options(arguments).unwrap_err().to_string();
            assert!(sentence.starts_with("--quarantine-after: "), "{sentence}");
            assert!(sentence.contains("--stale-after"), "{sentence}");
        }
    }
}
