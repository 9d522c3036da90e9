//! What becomes of a transfer: layers around the store, on one page.
//!
//! ```text
//! Ledger::transfer_once ─► LoadShed ─► Detach ─► ConcurrencyLimit ─►
//!     to have its name:   Retry ─► Timeout ─► (look, put) ─────────────────────────────► KvService
//!     to make it:         Ledger::transfer
//! Ledger::transfer ─► Quarantine ─► Timeout ─►
//!     transaction:    Batch ─► Logged ─► Conclude ─► Retry ─► Timeout ─► Transaction ──► KvService
//!     saga:           LoadShed ─► Detach ─► ConcurrencyLimit ─► Logged ─►
//!                     Saga (Compensate) ─► Retry ─► Turns ─► Timeout ─► Adjust ────────► KvService
//! Ledger::reset    ─► Retry ─► (look, reset) ──────────────────────────────────────────► KvService
//! Ledger::snapshot ─► Reader (one list, cached by the store's stamp) ──────────────────► KvService
//! Ledger::tend     ─► Sweeper (finishes what was left open), Fuse (quarantine) ────────► both
//! ```

mod adjust;
mod batch;
mod cell;
mod claims;
mod conclude;
mod counted;
mod diagnosis;
mod draft;
mod error;
mod fuse;
mod logged;
mod once;
mod patience;
mod places;
mod posting;
mod reader;
mod record;
mod remembered;
mod repair;
mod reset;
mod rules;
mod saga;
mod snapshot;
mod step;
mod sweeper;
mod transaction;
mod transfers;
mod turns;
mod underway;

use std::sync::Arc;
use std::time::Duration;

use resilient::batch::{BatchLayer, Limits};
use resilient::detach::{DetachLayer, Tracker};
use resilient::quarantine::{Handle, Quarantine, QuarantineLayer};
use resilient::retry::{Backoff, Conflicts, Policy, TokenBucket};
use resilient::timeout::{Timeout, TimeoutLayer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::retry::RetryLayer;
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{ServiceBuilder, ServiceExt};
use uuid::Uuid;

pub use claims::ClientKey;
pub use diagnosis::Diagnosis;
pub use error::TransferError;
pub use patience::{Options, Patience};
pub use record::Outcome;
pub use repair::{Correction, Repair, RepairError};
pub use rules::Rules;
pub use snapshot::Snapshot;

use crate::kv::{Kv, KvError, KvService, wire};
use crate::ledger::Transfer;
use crate::metrics::LedgerMetrics;
use adjust::Adjust;
use claims::Claims;
use conclude::ConcludeLayer;
use fuse::Fuse;
use logged::LoggedLayer;
use patience::chance;
use places::Places;
use posting::Posting;
use reader::Reader;
use remembered::Remembered;
use reset::{Reset, Resetting, resetting};
use saga::{Saga, Steps};
use step::{ByCause, Step};
use sweeper::Sweeper;
use transaction::Transaction;
use transfers::Transfers;
use turns::TurnsLayer;
use underway::Underway;

/// How many transfers one transaction makes at the most: each needs three puts.
const TOGETHER: usize = wire::MAX_PUTS / 3;

/// A batch of so many does not wait for more than half of those who wait: the others are read while it is
/// written. Fewer would make too many commits.
const ENOUGH: usize = 32;

/// So many conflicts of a batch are met at once: what has moved is known then, and others move it again
/// every few milliseconds. Who waits loses to those who do not.
const CONFLICTS_AT_ONCE: u32 = 30;

/// Retries that are saved while all goes well: enough for those that fail at the same time by chance.
const SAVED_RETRIES: u32 = 16;

/// What clients reach of it.
type Guarded = Quarantine<Timeout<Transfers>>;

/// The ledger of a group, in a store. Clones are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    transfers: Guarded,
    reader: Arc<Reader>,
    saga: Saga,
    places: Arc<Places>,
    remembered: Arc<Remembered>,
    underway: Arc<Underway>,
    fuse: Arc<Fuse>,
    metrics: Arc<LedgerMetrics>,
    claims: Claims,
    resetting: Resetting,
    /// How many transfers with a name may be under way.
    named: Arc<Semaphore>,
    running: Tracker,
    kv: Kv,
    options: Options,
}

/// What the ways to make a transfer have in common.
struct Parts {
    kv: Kv,
    saga: Saga,
    remembered: Arc<Remembered>,
    underway: Arc<Underway>,
    budget: Arc<TokenBucket>,
    metrics: Arc<LedgerMetrics>,
}

/// What became of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It will be made or undone.
    Open,
    /// It was made.
    Done,
    /// It was not made, and never will be.
    Undone,
}

impl Ledger {
    /// A ledger whose transfers are made in transactions: those that wait for the one that is under
    /// way are made together in the next. `running` counts what is under way.
    #[must_use]
    pub fn transactional(store: KvService, mut options: Options, running: Tracker) -> Self {
        // The rest of the client's waiting is for the tombstone.
        let patience = &mut options.patience;
        patience.try_within = patience
            .try_within
            .min(patience.answer_within.mul_f64(0.75));
        let Patience {
            errors,
            attempt_within,
            ..
        } = options.patience;
        let conflicts = Conflicts {
            at_once: CONFLICTS_AT_ONCE,
            ..options.patience.conflicts
        };
        Self::new(store, options, running.clone(), |parts| {
            let transfers = ServiceBuilder::new()
                // Says no at once when too many wait. From here on a client that hangs up, once its
                // transfer was sent, cannot cut it in half.
                .layer(BatchLayer::new(batches(options.max_in_flight)).tracked(running))
                // What became of each is told here, since above nobody may be waiting any more.
                .layer(LoggedLayer::new(Arc::clone(&parts.metrics)))
                // When the tries are used up: makes certain that it will not happen, or says unknown.
                .layer(ConcludeLayer::new(
                    parts.kv.clone(),
                    Arc::clone(&parts.underway),
                    options.rules,
                ))
                // Decides again; conflicts at once, errors after a while.
                .layer(RetryLayer::new(
                    Policy::with_random(
                        ByCause,
                        errors,
                        conflicts,
                        chance(options.seed, "transactions"),
                    )
                    .budget(Arc::clone(&parts.budget)),
                ))
                // A try that hangs is one that failed.
                .layer(option_layer(attempt_within.map(TimeoutLayer::new)))
                // One attempt: decide, write all balances and records at once.
                .service(Transaction::new(
                    parts.kv.clone(),
                    Arc::clone(&parts.remembered),
                    options.rules,
                ));
            Transfers::Transaction(transfers)
        })
    }

    /// A ledger whose transfers are puts of single keys, for stores without transactions. `running`
    /// counts what is under way.
    #[must_use]
    pub fn saga(store: KvService, options: Options, running: Tracker) -> Self {
        Self::new(store, options, running.clone(), |parts| {
            let transfers = ServiceBuilder::new()
                // Says no at once when the limit below is reached.
                .layer(LoadShedLayer::new())
                // From here on a client that hangs up cannot cut a transfer in half.
                .layer(DetachLayer::new(running))
                // Counts what really runs, whoever still waits for it.
                .layer(GlobalConcurrencyLimitLayer::new(options.max_in_flight))
                // What became of it is told here, since above nobody may be waiting any more.
                .layer(LoggedLayer::new(Arc::clone(&parts.metrics)))
                .service(parts.saga.clone());
            Transfers::Saga(BoxCloneSyncService::new(transfers))
        })
    }

    fn new(
        store: KvService,
        options: Options,
        running: Tracker,
        transfers: impl FnOnce(&Parts) -> Transfers,
    ) -> Self {
        let kv = Kv::new(store);
        let places = Arc::new(Places::new(kv.clone()));
        let underway = Arc::new(Underway::default());
        let metrics = Arc::<LedgerMetrics>::default();
        let quarantine = Handle::new();
        let budget = budget(&options);
        metrics.watch_quarantine(&quarantine);
        metrics.watch_budget(&budget);
        let make = steps(&kv, options.patience.errors, &options, &budget);
        let take_back = steps(&kv, options.patience.undo_errors, &options, &budget);
        let saga = Saga::new(
            make,
            take_back,
            Arc::clone(&places),
            Arc::clone(&underway),
            options.patience.undo_within,
            options.rules,
        );
        let parts = Parts {
            kv,
            saga,
            remembered: Arc::default(),
            underway,
            budget,
            metrics,
        };
        let transfers = ServiceBuilder::new()
            // While the ledger is suspect nothing below runs.
            .layer(QuarantineLayer::new(quarantine.clone()))
            // Ends only the client's waiting: the transfer below goes on to its end.
            .layer(TimeoutLayer::new(options.patience.answer_within))
            .service(transfers(&parts));
        let Parts {
            kv,
            saga,
            remembered,
            underway,
            budget,
            metrics,
        } = parts;
        let fuse = Arc::new(Fuse::new(kv.clone(), quarantine));
        Self {
            transfers,
            reader: Arc::new(Reader::new(kv.clone())),
            saga,
            places,
            remembered,
            underway,
            claims: Claims::new(&kv, &fuse, &options, &budget),
            resetting: resetting(&kv, &options, &budget),
            named: Arc::new(Semaphore::new(options.max_in_flight)),
            running,
            fuse,
            metrics,
            kv,
            options,
        }
    }

    /// Makes `transfer`, under the id `id`: when this returns `Ok`, it is in the store, once.
    ///
    /// # Errors
    ///
    /// [`TransferError`] says whether it is certain that it was not made.
    pub async fn transfer(&self, id: Uuid, transfer: Transfer) -> Result<(), TransferError> {
        let posting = Posting::new(id, transfer, self.options.patience.try_within);
        self.make(&posting).await
    }

    async fn make(&self, posting: &Posting) -> Result<(), TransferError> {
        let answer = self.transfers.clone().oneshot(posting.clone()).await;
        let told = answer.or_else(|error| TransferError::from_stack(error, posting));
        counted::told(&self.metrics, posting, &told);
        told
    }

    /// What its operators are told.
    #[must_use]
    pub fn metrics(&self) -> &Arc<LedgerMetrics> {
        &self.metrics
    }

    /// What became of the transfer `id`; `None` if there is none (yet).
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn status(&self, id: Uuid) -> Result<Option<Status>, Arc<KvError>> {
        if let Some(status) = self.recorded(id).await? {
            return Ok(Some(status));
        }
        if self.underway.has(id) || self.reader.snapshot().await?.has_open(id) {
            return Ok(Some(Status::Open));
        }
        // It may have been finished between the two looks.
        Ok(self.recorded(id).await?)
    }

    async fn recorded(&self, id: Uuid) -> Result<Option<Status>, KvError> {
        let recorded = record::read(&self.kv, id).await?;
        Ok(recorded.map(|outcome| match outcome {
            Outcome::Done => Status::Done,
            Outcome::Undone => Status::Undone,
        }))
    }

    /// The accounts as of a moment after this was called.
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, Arc<KvError>> {
        self.reader.snapshot().await
    }

    /// Forgets everything, once: what of it comes late, or twice, wipes out nothing that was made since.
    ///
    /// # Errors
    ///
    /// The error of the store.
    pub async fn reset(&self) -> Result<(), KvError> {
        let reset = Reset::new(Instant::now() + self.options.patience.answer_within);
        let made = self.resetting.clone().oneshot(reset.clone()).await;
        reset.told(made)?;
        self.places.forget();
        self.remembered.forget();
        // An empty ledger is whole.
        self.fuse.forget();
        self.fuse.follow().await;
        Ok(())
    }

    /// Takes over from the store whether the ledger is in quarantine.
    pub async fn follow_quarantine(&self) {
        self.fuse.follow().await;
    }

    /// Looks after the ledger for ever: finishes what crashed processes have left open, and suspends
    /// transfers while any replica has found the ledger suspect.
    pub async fn tend(&self) {
        let follow = async {
            loop {
                self.fuse.follow().await;
                sleep(self.options.patience.quarantine_poll).await;
            }
        };
        tokio::join!(Sweeper::of(self).run(self.options.is_shared), follow);
    }

    /// Finishes what this process has left open, for `limit` at most: the last thing to do.
    pub async fn settle_down(&self, limit: Duration) {
        Sweeper::of(self).last_round(limit).await;
    }
}

/// How many transfers wait or are under way, and how many are made together.
fn batches(max_in_flight: usize) -> Limits {
    // One at a time: a second one would be decided on cells that the first has not changed yet.
    let limits = Limits::new(TOGETHER)
        .and_then(|limits| limits.admitted(max_in_flight.max(1)))
        .and_then(|limits| limits.enough(ENOUGH));
    limits.expect("the limits are positive")
}

/// What makes steps of transfers: tries each as `errors` allows.
fn steps(kv: &Kv, errors: Backoff, options: &Options, budget: &Arc<TokenBucket>) -> Steps {
    let count = |step: Step| {
        step.posting.takes_step();
        step
    };
    let conflicts = options.patience.conflicts;
    Steps::new(
        ServiceBuilder::new()
            .map_request(count)
            // Looks again, decides again.
            .layer(RetryLayer::new(
                Policy::with_random(ByCause, errors, conflicts, chance(options.seed, "steps"))
                    .budget(Arc::clone(budget)),
            ))
            // One after the other, where they are of one cell.
            .layer(TurnsLayer)
            // A try that hangs is one that failed.
            .layer(option_layer(
                options.patience.attempt_within.map(TimeoutLayer::new),
            ))
            // One try: look, decide, put.
            .service(Adjust::new(kv.clone(), options.rules)),
    )
}

/// Retries that the store gets for each success, and without any. Few are saved: a store that is away
/// must not get all at once what it earned before.
fn budget(options: &Options) -> Arc<TokenBucket> {
    Arc::new(TokenBucket::new(
        SAVED_RETRIES,
        options.patience.spare_retries,
    ))
}
