//! What `splitdim repair` tells whoever runs it.

use std::error::Error;
use std::io::Write;

use crate::pipeline::Diagnosis;
use crate::process::Failure;
use crate::telemetry::Chain;

/// Shows what was found on stdout.
///
/// # Errors
///
/// A sentence that says what to do, if the ledger is not whole; what went wrong, with all causes.
pub fn show<E: Error + 'static>(found: Result<Diagnosis, E>) -> Result<(), Failure> {
    let diagnosis = found.map_err(|error| Chain(&error).to_string())?;
    write!(std::io::stdout(), "{diagnosis}")?;
    if diagnosis.is_whole() {
        Ok(())
    } else if diagnosis.sum == 0 {
        Err("the ledger is not at rest; `splitdim repair --apply` finishes what is open".into())
    } else {
        Err("the ledger is not whole; `splitdim repair --apply` with --from-records or --book NAME=AMOUNT changes balances (--help says more)".into())
    }
}
