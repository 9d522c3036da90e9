//! Settings: a flag, else an environment variable, else a default. All mistakes are reported at
//! once, as sentences.

pub mod kvstore;
mod mistakes;
mod patience;
pub mod splitdim;
mod values;

use std::env;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

pub use mistakes::Mistakes;

/// The exit status for settings that cannot be: `EX_USAGE` of BSD's sysexits.
pub const EXIT_USAGE: u8 = 64;

/// The command line and the environment, as far as clap reads them. Where help was asked for, or a
/// flag is none of ours, this says so and ends the process.
fn read<Arguments: clap::Parser>() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|other| {
        let other = match other.kind() {
            ErrorKind::InvalidUtf8 => no_text(&mut Arguments::command()).unwrap_or(other),
            _ => other,
        };
        // Where nobody reads, there is nobody to tell.
        let _ = other.print();
        let mistaken = other.use_stderr();
        std::process::exit(if mistaken { EXIT_USAGE.into() } else { 0 })
    })
}

/// The mistake that a variable is no text, which clap does not name.
fn no_text(command: &mut Command) -> Option<clap::Error> {
    let text = ValueParser::string().type_id();
    // Paths may be any bytes.
    let texts = command
        .get_arguments()
        .filter(|arg| arg.get_value_parser().type_id() == text);
    let variable = texts
        .filter_map(Arg::get_env)
        .find(|name| env::var_os(name).is_some_and(|value| value.to_str().is_none()))?;
    let mistake = format!("{} is not UTF-8", variable.display());
    Some(command.error(ErrorKind::InvalidUtf8, mistake))
}
