use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resilient::retry::{Backoff, Class, Classify, Policy, TokenBucket};
use resilient::timeout::TimeoutLayer;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower::retry::RetryLayer;
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{ServiceBuilder, service_fn};
use uuid::Uuid;

use super::error::Cause;
use super::fuse::Fuse;
use super::patience::{Options, Patience, chance};
use super::record::{self, Outcome};
use super::step::ByCause;
use crate::kv::{Key, Kv, KvError, Put};
use crate::ledger::Transfer;

/// What the keys of claims begin with.
const PREFIX: &str = "!k/";

/// The longest name, in characters.
const MAX_LENGTH: usize = 64;

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
    pub(super) id: Uuid,
    sender: String,
    receiver: String,
    amount: i64,
}

/// What is asked about a name. Clones are of the same transfer.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    key: ClientKey,
    own: Arc<Claim>,
    wish: Wish,
    /// No attempt begins later.
    pub(super) until: Instant,
    known: Arc<Mutex<Known>>,
}

/// What was learned while a name was asked about.
#[derive(Debug, Default)]
struct Known {
    /// In which epoch a put was sent last that claims the name, if one was: those before cannot arrive any more.
    sent: Option<Option<u64>>,
    /// A transfer that was undone: a claim for it counts for nothing.
    undone: Option<Uuid>,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    /// To have it, unless it is taken.
    Have,
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
    pub(super) to_have: Asking,
    /// The same, more often: nobody waits for it.
    pub(super) to_give_back: Asking,
}

pub(super) type Asking = BoxCloneSyncService<Ask, Claimed, Cause>;

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
    /// Wants `key` for `own`.
    pub(super) fn new(key: ClientKey, own: Claim, until: Instant) -> Self {
        Self {
            key,
            own: own.into(),
            wish: Wish::Have,
            until,
            known: Arc::default(),
        }
    }

    /// For which transfer.
    pub(super) fn id(&self) -> Uuid {
        self.own.id
    }

    /// Takes a claim for the transfer `undone` for none.
    pub(super) fn ignore(&self, undone: Uuid) {
        self.known().undone = Some(undone);
    }

    /// Wants no more to have the name.
    pub(super) fn back(self, until: Instant) -> Self {
        Self {
            wish: Wish::GiveBack,
            until,
            ..self
        }
    }

    /// Whether the name may have been claimed, or may yet be.
    pub(super) fn was_sent(&self) -> bool {
        self.known().sent.is_some()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let undone = self.known().undone;
        // A claim of somebody else, which counts.
        let taken = claim.filter(|claim| !is_own && Some(claim.id) != undone);
        let value = match (self.wish, taken) {
            // An answer of the put below may have been lost.
            (Wish::Have, _) if is_own => return Ok(Claimed::Own(epoch)),
            (Wish::Have, Some(claim)) => {
                let recorded = record::read(kv, claim.id).await?;
                return Ok(Claimed::Taken(claim, recorded));
            }
            (Wish::Have, None) => {
                if let Some(reason) = fuse.reason() {
                    return Ok(Claimed::Quarantined(reason));
                }
                self.known().sent = Some(epoch);
                self.own.to_json()
            }
            (Wish::GiveBack, Some(_)) => return Ok(Claimed::Given),
            (Wish::GiveBack, None) if self.known().sent != Some(epoch) => {
                return Ok(Claimed::Given);
            }
            // Also where nothing is: what was put may yet arrive, and finds another version.
            (Wish::GiveBack, None) => String::new(),
        };
        kv.put(Put::new(self.key.0.clone(), value, stored.version), epoch)
            .await?;
        Ok(match self.wish {
            Wish::Have => Claimed::Own(epoch),
            Wish::GiveBack => Claimed::Given,
        })
    }
}

impl Claim {
    pub(super) fn new(id: Uuid, transfer: &Transfer) -> Self {
        Self {
            id,
            sender: transfer.sender().to_string(),
            receiver: transfer.receiver().to_string(),
            amount: transfer.amount().get(),
        }
    }

    /// Whether it is for such a transfer.
    pub(super) fn is_for(&self, transfer: &Transfer) -> bool {
        *self == Self::new(self.id, transfer)
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("text and numbers are always JSON")
    }
}
