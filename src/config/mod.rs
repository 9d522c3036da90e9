//! Settings: a flag, else an environment variable, else a default. All mistakes are reported at
//! once, as sentences.

pub mod kvstore;
mod mistakes;
mod patience;
pub mod splitdim;
mod values;

pub use mistakes::Mistakes;

/// The exit status for settings that cannot be: `EX_USAGE` of BSD's sysexits.
pub const EXIT_USAGE: u8 = 64;

/// The command line and the environment, as far as clap reads them. Where help was asked for, or a
/// flag is none of ours, this says so and ends the process.
fn read<Arguments: clap::Parser>() -> Arguments {
    Arguments::try_parse().unwrap_or_else(|other| {
        // Where nobody reads, there is nobody to tell.
        let _ = other.print();
        let mistaken = other.use_stderr();
        std::process::exit(if mistaken { EXIT_USAGE.into() } else { 0 })
    })
}
