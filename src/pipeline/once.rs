use std::sync::Arc;
use std::time::Duration;

use resilient::detach::{DetachLayer, Lost};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use uuid::Uuid;

use super::claims::{Ask, Claim, Claimed, ClientKey};
use super::posting::Posting;
use super::record::Outcome;
use super::{Ledger, TransferError, counted};
use crate::ledger::Transfer;
use crate::metrics::TransferOutcome;
use crate::telemetry::{self, Chain};

/// Until the first look at what becomes of somebody else's claim; each further one comes after twice the time.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// Until further ones at the most.
const LAST_LOOKS: Duration = Duration::from_secs(1);

impl Ledger {
    /// Makes `transfer`, under the id `id`, unless one was made under `key` before. The id under which it was
    /// made, then or now. What was begun goes on to its end, whoever drops this.
    ///
    /// # Errors
    ///
    /// [`TransferError`], as for [`transfer`](Self::transfer).
    pub async fn transfer_once(
        &self,
        key: ClientKey,
        id: Uuid,
        transfer: Transfer,
    ) -> Result<Uuid, TransferError> {
        let named = ServiceBuilder::new()
            // Says no at once when the limit below is reached.
            .layer(LoadShedLayer::new())
            // A client that hangs up must not leave its key claimed for what was not begun.
            .layer(DetachLayer::new(self.running.clone()))
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(
                &self.named,
            )))
            .service_fn(|(key, transfer)| {
                let ledger = self.clone();
                telemetry::carried(async move { ledger.claim_and_make(key, id, transfer).await })
            });
        let made = named.oneshot((key, transfer)).await;
        made.map_err(|error| match error.downcast::<TransferError>() {
            Ok(told) => *told,
            Err(cause) if cause.is::<Lost>() => TransferError::Unknown { id, cause },
            Err(cause) => {
                self.metrics.transfer(TransferOutcome::Overloaded);
                TransferError::Unclaimed { cause }
            }
        })
    }

    async fn claim_and_make(
        &self,
        key: ClientKey,
        id: Uuid,
        transfer: Transfer,
    ) -> Result<Uuid, TransferError> {
        let until = Instant::now() + self.options.patience.answer_within;
        let own = Ask::new(key, Claim::new(id, &transfer), until);
        let error = match self.claim(own.clone(), &transfer).await {
            Ok(Ok(epoch)) => {
                let made = self.make_in(epoch, id, transfer, until).await;
                if made.as_ref().is_err_and(TransferError::is_certain) {
                    // It goes on when the client must have its answer.
                    let _ = timeout_at(until, self.give_back(own)).await;
                }
                return made.map(|()| id);
            }
            Ok(Err(made)) => return Ok(made),
            Err(error) => error,
        };
        match &error {
            TransferError::Unclaimed { .. } | TransferError::Unknown { .. } => {
                tracing::warn!(error = %Chain(&error), "a transfer with a key was not made here");
            }
            _ => tracing::debug!(error = %Chain(&error), "a transfer with a key was refused"),
        }
        if own.was_sent() {
            // Its client does not wait for this.
            drop(self.give_back(own));
        }
        let posting = Posting::new(id, transfer, Duration::ZERO);
        let told = Err(error);
        counted::told(&self.metrics, &posting, &told);
        told.map(|()| id)
    }

    /// Claims a name: the epoch in which it is ours, or the transfer that was made under it.
    async fn claim(
        &self,
        ask: Ask,
        transfer: &Transfer,
    ) -> Result<Result<Option<u64>, Uuid>, TransferError> {
        let (mut taken, mut pause) = (None, FIRST_LOOK);
        let cause: BoxError = loop {
            let asked = timeout_at(ask.until, self.claims.to_have.clone().oneshot(ask.clone()));
            let asked = match asked.await {
                Ok(asked) => asked,
                Err(late) => break late.into(),
            };
            let claim = match asked {
                Ok(Claimed::Taken(claim, Some(Outcome::Undone))) => {
                    taken = None;
                    ask.ignore(claim.id);
                    continue;
                }
                Ok(Claimed::Taken(claim, _)) if !claim.is_for(transfer) => {
                    return Err(TransferError::KeyTaken { id: claim.id });
                }
                Ok(Claimed::Taken(claim, Some(Outcome::Done))) => return Ok(Err(claim.id)),
                Ok(Claimed::Taken(claim, None)) => claim,
                Ok(Claimed::Own(epoch)) => return Ok(Ok(epoch)),
                Ok(Claimed::Quarantined(reason)) => {
                    let id = ask.id();
                    return Err(TransferError::Quarantined { id, reason });
                }
                Ok(Claimed::Given) => break "a wish for a name was answered as another one".into(),
                Err(cause) => break cause.into(),
            };
            taken = Some(claim.id);
            if Instant::now() + pause > ask.until {
                break "it is somebody else's to make".into();
            }
            sleep(pause).await;
            pause = LAST_LOOKS.min(pause * 2);
        };
        // Nothing of `id` was begun; but somebody may have made the same under the same key.
        Err(match taken {
            Some(id) => TransferError::Unknown { id, cause },
            None => TransferError::Unclaimed { cause },
        })
    }

    /// Makes `transfer`, in no other epoch than `epoch`; what can be said of it at `until`.
    async fn make_in(
        &self,
        epoch: Option<u64>,
        id: Uuid,
        transfer: Transfer,
        until: Instant,
    ) -> Result<(), TransferError> {
        // The rest of the client's waiting is for what makes certain that it was not made.
        let left = until.saturating_duration_since(Instant::now());
        let try_within = self.options.patience.try_within.min(left.mul_f64(0.75));
        let posting = Posting::only_in(epoch, id, transfer, try_within);
        match timeout_at(until, self.make(&posting)).await {
            Ok(made) => made,
            Err(late) => TransferError::from_stack(late.into(), &posting),
        }
    }

    /// Gives a name back under which nothing was made, on a task of its own. If that does not succeed, it stays claimed.
    fn give_back(&self, asked: Ask) -> JoinHandle<()> {
        let back = asked.back(Instant::now() + self.options.patience.undo_within);
        let giving = self.claims.to_give_back.clone().oneshot(back);
        self.running.spawn(async move {
            if let Err(cause) = giving.await {
                let cause = cause.kind();
                tracing::debug!(
                    cause,
                    "the key of a transfer that was not made stays claimed"
                );
            }
        })
    }
}
