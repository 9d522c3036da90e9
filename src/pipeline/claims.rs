use std::sync::Arc;
use std::time::Duration;

use resilient::detach::{DetachLayer, Lost};
use resilient::retry::{Backoff, Class, Classify, Policy, TokenBucket};
use resilient::timeout::TimeoutLayer;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::retry::RetryLayer;
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use uuid::Uuid;

use super::error::Cause;
use super::fuse::Fuse;
use super::patience::{Options, Patience, chance};
use super::posting::Posting;
use super::record::{self, Outcome};
use super::step::ByCause;
use super::{Ledger, TransferError, counted};
use crate::kv::{Key, Kv, KvError, Put};
use crate::ledger::Transfer;
use crate::telemetry::{self, Chain};

/// What the keys of claims begin with.
const PREFIX: &str = "!k/";

/// The longest name, in characters.
const MAX_LENGTH: usize = 64;

/// Until the first look at what becomes of somebody else's claim; each further one comes after twice the time.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// Until further ones at the most.
const LAST_LOOKS: Duration = Duration::from_secs(1);

/// A client's name for a transfer. Under one name one transfer is made, however often it is posted: by the
/// client, by a browser whose connection was cut, or by a proxy.
///
/// Whoever makes the transfer claims the name first: it puts its id under it, where nothing is. Who finds
/// a claim waits for what becomes of that transfer. Whose transfer is certainly not made gives the name
/// back. Where that does not come about (by a crash between claim and transfer, or a store that stays away),
/// a claim stays of whose transfer there is no trace: what became of it is not known then. A reset forgets
/// all names, and a transfer that was named before it is not made after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey(Key);

impl ClientKey {
    /// `text`, if it has 1 to 64 visible ASCII characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_LENGTH).contains(&text.len());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (fits && is_plain).then(|| Self(format!("{PREFIX}{text}").into()))
    }
}

/// For which transfer a name is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    id: Uuid,
    sender: String,
    receiver: String,
    amount: i64,
}

/// What is asked about a name.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    key: ClientKey,
    own: Arc<Claim>,
    wish: Wish,
    /// No attempt begins later.
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    /// To have it, unless it is taken. A claim for the transfer `undone` counts for nothing.
    Have { undone: Option<Uuid> },
    /// Not to have it, whatever was asked before.
    GiveBack,
}

/// Whose a name is.
#[derive(Debug)]
pub(super) enum Claimed {
    /// Ours, by a put of this epoch.
    Own(Option<u64>),
    /// That of a transfer with another id, of which the record says this.
    Taken(Claim, Option<Outcome>),
    /// Nobody's, and it is not to be ours, since the ledger is in quarantine.
    Quarantined(Arc<str>),
    /// Not ours.
    Given,
}

/// What answers what is asked about names.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    to_have: Asking,
    /// The same, more often: nobody waits for it.
    to_give_back: Asking,
}

type Asking = BoxCloneSyncService<Ask, Claimed, Cause>;

impl Claims {
    /// In the name of a ledger that is run so.
    pub(super) fn new(
        kv: &Kv,
        fuse: &Arc<Fuse>,
        options: &Options,
        budget: &Arc<TokenBucket>,
    ) -> Self {
        let Patience {
            errors,
            undo_errors,
            conflicts,
            attempt_within,
            ..
        } = options.patience;
        let asking = |errors: Backoff, purpose| {
            let (kv, fuse) = (kv.clone(), Arc::clone(fuse));
            let random = chance(options.seed, purpose);
            let policy = Policy::with_random(ByCause, errors, conflicts, random);
            Asking::new(
                ServiceBuilder::new()
                    // Looks again.
                    .layer(RetryLayer::new(policy.budget(Arc::clone(budget))))
                    // A try that hangs is one that failed.
                    .layer(option_layer(attempt_within.map(TimeoutLayer::new)))
                    // One try: look, put.
                    .service(service_fn(move |ask: Ask| {
                        let (kv, fuse) = (kv.clone(), Arc::clone(&fuse));
                        async move { ask.once(&kv, &fuse).await }
                    })),
            )
        };
        Self {
            to_have: asking(errors, "claims"),
            to_give_back: asking(undo_errors, "claims that are given back"),
        }
    }
}

impl Classify<Ask, Claimed, Cause> for ByCause {
    fn classify(&self, _: &Ask, result: &Result<Claimed, Cause>) -> Class {
        result.as_ref().map_or_else(Cause::class, |_| Class::Done)
    }

    fn deadline(&self, ask: &Ask) -> Option<Instant> {
        Some(ask.until)
    }
}

impl Ask {
    async fn once(&self, kv: &Kv, fuse: &Fuse) -> Result<Claimed, Cause> {
        let (stored, stamp) = kv.get(self.key.0.clone()).await?;
        let epoch = stamp.map(|stamp| stamp.epoch);
        let claim =
            match &*stored.value {
                "" => None,
                json => Some(serde_json::from_str::<Claim>(json).map_err(|error| {
                    KvError::Invalid(format!("a claim cannot be read: {error}"))
                })?),
            };
        let is_own = claim.as_ref().is_some_and(|claim| claim.id == self.own.id);
        let value = match (self.wish, claim) {
            // An answer of the put below may have been lost.
            (Wish::Have { .. }, Some(_)) if is_own => return Ok(Claimed::Own(epoch)),
            (Wish::Have { undone }, Some(claim)) if undone != Some(claim.id) => {
                let recorded = record::read(kv, claim.id).await?;
                return Ok(Claimed::Taken(claim, recorded));
            }
            (Wish::Have { .. }, _) => match fuse.reason() {
                Some(reason) => return Ok(Claimed::Quarantined(reason)),
                None => self.own.to_json(),
            },
            (Wish::GiveBack, Some(_)) if !is_own => return Ok(Claimed::Given),
            // Also where nothing is: what was put may yet arrive, and finds another version.
            (Wish::GiveBack, _) => String::new(),
        };
        kv.put(Put::new(self.key.0.clone(), value, stored.version), epoch)
            .await?;
        Ok(match self.wish {
            Wish::Have { .. } => Claimed::Own(epoch),
            Wish::GiveBack => Claimed::Given,
        })
    }
}

impl Claim {
    fn new(id: Uuid, transfer: &Transfer) -> Self {
        Self {
            id,
            sender: transfer.sender().to_string(),
            receiver: transfer.receiver().to_string(),
            amount: transfer.amount().get(),
        }
    }

    /// Whether it is for such a transfer.
    fn is_for(&self, transfer: &Transfer) -> bool {
        *self == Self::new(self.id, transfer)
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and numbers are always JSON")
    }
}

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
            Err(cause) => TransferError::Unclaimed { cause },
        })
    }

    async fn claim_and_make(
        &self,
        key: ClientKey,
        id: Uuid,
        transfer: Transfer,
    ) -> Result<Uuid, TransferError> {
        let until = Instant::now() + self.options.patience.answer_within;
        let own = Ask {
            own: Claim::new(id, &transfer).into(),
            key,
            wish: Wish::Have { undone: None },
            until,
        };
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
        if matches!(error, TransferError::Unclaimed { .. }) {
            // The put of the claim may have been made, or may yet arrive. Its client does not wait for this.
            let ledger = self.clone();
            self.running
                .spawn(async move { ledger.give_back(own).await });
        }
        let posting = Posting::new(id, transfer, Duration::ZERO);
        let told = Err(error);
        counted::told(&self.metrics, &posting, &told);
        told.map(|()| id)
    }

    /// Claims a name: the epoch in which it is ours, or the transfer that was made under it.
    async fn claim(
        &self,
        mut ask: Ask,
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
                    ask.wish = Wish::Have {
                        undone: Some(claim.id),
                    };
                    continue;
                }
                Ok(Claimed::Taken(claim, _)) if !claim.is_for(transfer) => {
                    return Err(TransferError::KeyTaken { id: claim.id });
                }
                Ok(Claimed::Taken(claim, Some(Outcome::Done))) => return Ok(Err(claim.id)),
                Ok(Claimed::Taken(claim, None)) => claim,
                Ok(Claimed::Own(epoch)) => return Ok(Ok(epoch)),
                Ok(Claimed::Quarantined(reason)) => {
                    let id = ask.own.id;
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
        let posting = Posting::only_in(epoch, id, transfer, self.options.patience.try_within);
        match timeout_at(until, self.make(&posting)).await {
            Ok(made) => made,
            Err(late) => TransferError::from_stack(late.into(), &posting),
        }
    }

    /// Gives a name back under which nothing was made, on a task of its own. If that does not succeed, it stays
    /// claimed.
    fn give_back(&self, asked: Ask) -> JoinHandle<()> {
        let back = Ask {
            wish: Wish::GiveBack,
            until: Instant::now() + self.options.patience.undo_within,
            ..asked
        };
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
