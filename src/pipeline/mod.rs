//! What becomes of a transfer: layers around the store, on one page.
//!
//! ```text
//! Ledger::transfer ─► Timeout ─► Detach ─► Conclude ─► Retry ─► Transaction ─► KvService
//! Ledger::accounts ─► Reader (one list, cached by the store's stamp) ───────────────┘
//! ```

mod balance;
mod conclude;
mod error;
mod posting;
mod reader;
mod record;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use resilient::detach::{DetachLayer, Tracker};
use resilient::retry::{Backoff, Conflicts, Policy};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use uuid::Uuid;

pub use error::TransferError;
pub use reader::View;

use crate::kv::{Kv, KvError, KvService};
use crate::ledger::Transfer;
use conclude::ConcludeLayer;
use posting::{ByOutcome, Posting};
use reader::Reader;
use transaction::Transaction;

/// How hard the pipeline tries.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Delays after errors of the store.
    pub errors: Backoff,
    /// Delays after conflicts.
    pub conflicts: Conflicts,
    /// No attempt begins later than this after the first one that failed: the rest of the client's
    /// waiting is left for that attempt, and for making its outcome certain.
    pub try_within: Duration,
    /// How long a client waits for the outcome of its transfer.
    pub answer_within: Duration,
}

impl Default for Patience {
    /// Six retries of errors (base 150 ms, cap 2 s, full jitter), begun within 2.5 s; an answer
    /// within 4 s.
    fn default() -> Self {
        let errors = Backoff::new(Duration::from_millis(150), Duration::from_secs(2), 1.0, 6)
            .expect("the constants are in range");
        Self {
            errors,
            conflicts: Conflicts::default(),
            try_within: Duration::from_millis(2500),
            answer_within: Duration::from_secs(4),
        }
    }
}

/// The ledger of a group, in a store. Clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    transfers: BoxCloneSyncService<Posting, (), BoxError>,
    reader: Arc<Reader>,
    kv: Kv,
}

impl Ledger {
    /// A ledger whose transfers are one transaction each. `running` counts the transfers under way.
    #[must_use]
    pub fn transactional(store: KvService, patience: Patience, running: Tracker) -> Self {
        let kv = Kv::new(store);
        let transfers = ServiceBuilder::new()
            // Ends only the client's waiting: the transfer below goes on to its end.
            .layer(TimeoutLayer::new(patience.answer_within))
            // From here on a client that hangs up cannot cut a transfer in half.
            .layer(DetachLayer::new(running))
            // When the tries are used up: makes certain that it will not happen, or says unknown.
            .layer(ConcludeLayer::new(kv.clone()))
            // Reads again, decides again; conflicts at once, errors after a while.
            .layer(RetryLayer::new(
                Policy::new(ByOutcome, patience.errors, patience.conflicts)
                    .within(patience.try_within),
            ))
            // One attempt: read both, decide, write both and the record at once.
            .service(Transaction::new(kv.clone()));
        Self {
            transfers: BoxCloneSyncService::new(transfers),
            reader: Arc::new(Reader::new(kv.clone())),
            kv,
        }
    }

    /// Makes `transfer`: when this returns `Ok`, it is in the store, once.
    ///
    /// # Errors
    ///
    /// [`TransferError`] says whether it is certain that it was not made.
    pub async fn transfer(&self, transfer: Transfer) -> Result<(), TransferError> {
        let posting = Posting::new(Uuid::now_v7(), transfer);
        let mut transfers = self.transfers.clone();
        let answer = async { transfers.ready().await?.call(posting.clone()).await };
        answer
            .await
            .map_err(|error| TransferError::from_stack(error, &posting))
    }

    /// The accounts as of a moment after this was called.
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn view(&self) -> Result<Arc<View>, Arc<KvError>> {
        self.reader.view().await
    }

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn reset(&self) -> Result<(), KvError> {
        self.kv.reset().await.map(drop)
    }
}
