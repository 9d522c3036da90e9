use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use tower::BoxError;
use uuid::Uuid;

use super::posting::Posting;
use super::record::{self, Outcome};
use super::{Ledger, TransferError, counted};
use crate::kv::{Key, KvError, Put};
use crate::ledger::Transfer;
use crate::telemetry::Chain;

/// What the keys of claims begin with.
const PREFIX: &str = "!k/";

/// The longest name, in characters.
const MAX_LENGTH: usize = 64;

/// Between two looks at what becomes of a claim.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A client's name for a transfer. Under one name one transfer is made, however often it is posted: by the
/// client, by a browser whose connection was cut, or by a proxy.
///
/// Whoever makes the transfer claims the name first: it puts its id under it, where nothing is. Who finds
/// a claim waits for what becomes of that transfer. Whose transfer is certainly not made gives the name
/// back. Where that does not come about (by a crash between claim and transfer, or a store that is away),
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
struct Claim {
    id: Uuid,
    sender: String,
    receiver: String,
    amount: i64,
}

/// Whose a name is.
enum Standing {
    /// Ours, by a put of this version and epoch.
    Own(u64, Option<u64>),
    /// That of a transfer with another id.
    Taken(Claim),
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

    fn put(&self, key: &ClientKey, version: u64) -> Put {
        let json = serde_json::to_string(self).expect("text and numbers are always JSON");
        Put::new(key.0.clone(), json, version)
    }
}

impl Ledger {
    /// Makes `transfer`, under the id `id`, unless one was made under `key` before. The id under which it was
    /// made, then or now. It must be polled to its end: who drops it may leave the name claimed.
    ///
    /// # Errors
    ///
    /// [`TransferError`], as for [`transfer`](Self::transfer).
    pub async fn transfer_once(
        &self,
        key: &ClientKey,
        id: Uuid,
        transfer: Transfer,
    ) -> Result<Uuid, TransferError> {
        let until = Instant::now() + self.options.patience.answer_within;
        let own = Claim::new(id, &transfer);
        // What was seen last of another claim, and of which it is certain that nothing will come.
        let (mut taken, mut undone) = (None, None);
        let error = loop {
            let cause: BoxError = match self.claim(key, &own, undone).await {
                Ok(Standing::Own(version, epoch)) => {
                    let made = self.make_in(epoch, id, transfer, until).await;
                    if made.as_ref().is_err_and(TransferError::is_certain) {
                        self.give_back(key, version, epoch).await;
                    }
                    return made.map(|()| id);
                }
                Ok(Standing::Taken(claim)) => {
                    taken = Some(claim.id);
                    match record::read(&self.kv, claim.id).await {
                        Ok(Some(Outcome::Undone)) => {
                            undone = Some(claim.id);
                            continue;
                        }
                        Ok(_) if !claim.is_for(&transfer) => {
                            break TransferError::KeyTaken { id: claim.id };
                        }
                        Ok(Some(Outcome::Done)) => return Ok(claim.id),
                        Ok(None) => "it is somebody else's to make".into(),
                        Err(error) => error.into(),
                    }
                }
                Err(error) => error.into(),
            };
            if Instant::now() + LOOK_EVERY > until {
                // Nothing of `id` was begun; but somebody may have made the same under the same key.
                let id = taken.unwrap_or(id);
                break TransferError::Unknown { id, cause };
            }
            sleep(LOOK_EVERY).await;
        };
        tracing::warn!(error = %Chain(&error), "a transfer with a key was not made here");
        let posting = Posting::new(id, transfer, Duration::ZERO);
        let told = Err(error);
        counted::told(&self.metrics, &posting, &told);
        told.map(|()| id)
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

    /// Claims `key` for `own`, unless it is claimed; a claim for the transfer `undone` counts for nothing.
    async fn claim(
        &self,
        key: &ClientKey,
        own: &Claim,
        undone: Option<Uuid>,
    ) -> Result<Standing, KvError> {
        let (stored, stamp) = self.kv.get(key.0.clone()).await?;
        let epoch = stamp.map(|stamp| stamp.epoch);
        if !stored.value.is_empty() {
            let claim: Claim = serde_json::from_str(&stored.value)
                .map_err(|error| KvError::Invalid(format!("a claim cannot be read: {error}")))?;
            // An answer of the put below may have been lost.
            if claim.id == own.id {
                return Ok(Standing::Own(stored.version, epoch));
            }
            if Some(claim.id) != undone {
                return Ok(Standing::Taken(claim));
            }
        }
        let put = own.put(key, stored.version);
        self.kv.put(put, epoch).await?;
        Ok(Standing::Own(stored.version + 1, epoch))
    }

    /// Gives `key` back, which was claimed at `version` in `epoch`. If that does not succeed, it stays claimed.
    async fn give_back(&self, key: &ClientKey, version: u64, epoch: Option<u64>) {
        let nobody = Put::new(key.0.clone(), "", version);
        if let Err(error) = self.kv.put(nobody, epoch).await {
            tracing::debug!(%error, "the key of a transfer that was not made stays claimed");
        }
    }
}
