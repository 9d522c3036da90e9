//! Settings: a flag, else an environment variable, else a default. All mistakes are reported at
//! once, as sentences.

pub mod kvstore;
mod mistakes;
pub mod splitdim;
mod values;

pub use mistakes::Mistakes;

/// The exit status for settings that cannot be: `EX_USAGE` of BSD's sysexits.
pub const EXIT_USAGE: u8 = 64;
