//! Counts each transfer once, under what its client was told: the answer that came first, from here
//! or from above [`Detach`](resilient::detach::Detach), or the end, if nobody waited for it.

use super::TransferError;
use super::error::{Cause, Failed};
use super::posting::Posting;
use crate::metrics::{LedgerMetrics, TransferOutcome};

/// Counts `posting`, whose making has come to this end, and what it took.
pub(super) fn ended(metrics: &LedgerMetrics, posting: &Posting, ended: &Result<(), Failed>) {
    metrics.tries(posting.tries());
    let outcome = match ended {
        Ok(()) => TransferOutcome::Done,
        Err(failed) if failed.doubt => TransferOutcome::Unknown,
        Err(failed) if matches!(*failed.cause, Cause::OutOfRange { .. }) => {
            TransferOutcome::Refused
        }
        Err(_) => TransferOutcome::NotApplied,
    };
    count(metrics, posting, outcome);
}

/// Counts `posting`, whose client is told this.
pub(super) fn told(metrics: &LedgerMetrics, posting: &Posting, told: &Result<(), TransferError>) {
    let outcome = match told {
        Ok(()) => TransferOutcome::Done,
        Err(TransferError::OutOfRange { .. } | TransferError::KeyTaken { .. }) => {
            TransferOutcome::Refused
        }
        Err(TransferError::Unreadable { .. } | TransferError::NotApplied { .. }) => {
            TransferOutcome::NotApplied
        }
        Err(TransferError::Overloaded { .. }) => TransferOutcome::Overloaded,
        Err(TransferError::Unknown { .. } | TransferError::Unclaimed { .. }) => {
            TransferOutcome::Unknown
        }
        Err(TransferError::Quarantined { .. }) => TransferOutcome::Quarantined,
    };
    count(metrics, posting, outcome);
}

fn count(metrics: &LedgerMetrics, posting: &Posting, outcome: TransferOutcome) {
    if posting.is_uncounted() {
        metrics.transfer(outcome);
    }
}
