//! What `splitdim repair` tells whoever runs it.

use std::io::Write;

use crate::pipeline::Diagnosis;
use crate::process::Failure;

/// Shows `diagnosis` on stdout.
///
/// # Errors
///
/// A sentence that says what to do, if the ledger is not whole.
pub fn show(diagnosis: &Diagnosis) -> Result<(), Failure> {
    write!(std::io::stdout(), "{diagnosis}")?;
    if diagnosis.is_whole() {
        Ok(())
    } else if diagnosis.sum == 0 {
        Err("the ledger is not at rest; `splitdim repair --apply` finishes what is open".into())
    } else {
        Err("the ledger is not whole; `splitdim repair --apply` with --from-records or --book NAME=AMOUNT changes balances (--help says more)".into())
    }
}
