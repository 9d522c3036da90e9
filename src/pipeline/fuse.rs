use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use resilient::quarantine::Handle;
use serde::{Deserialize, Serialize};

use crate::kv::{Kv, KvError, Put, Value, Versioned};

/// Where the store keeps it that the ledger is suspect: for every replica.
pub(super) const KEY: &str = "!quarantine";

/// Suspends the transfers of every replica while the ledger is suspect.
#[derive(Debug)]
pub(super) struct Fuse {
    kv: Kv,
    handle: Handle,
    /// What this replica has found, and the store does not know yet.
    found: Mutex<Option<Suspicion>>,
    /// Held by who follows the store: a look that comes late must not undo what came of a newer one.
    following: tokio::sync::Mutex<()>,
}

/// Why the ledger is suspect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspicion {
    pub(super) reason: String,
    /// What the ledger summed to when it was whole.
    pub(super) sum: i64,
    /// Whether whoever blew it will lift it: being whole is not enough.
    #[serde(default)]
    pub(super) held: bool,
}

impl Suspicion {
    fn to_value(&self) -> Value {
        let json = serde_json::to_string(self);
        json.expect("text and numbers are always JSON").into()
    }
}

impl Fuse {
    pub(super) fn new(kv: Kv, handle: Handle) -> Self {
        Self {
            kv,
            handle,
            found: Mutex::default(),
            following: tokio::sync::Mutex::default(),
        }
    }

    /// Why transfers are suspended here, if they are.
    pub(super) fn reason(&self) -> Option<Arc<str>> {
        self.handle.reason()
    }

    /// Whether transfers are suspended here.
    pub(super) fn is_blown(&self) -> bool {
        self.reason().is_some()
    }

    /// Suspends them: here at once, elsewhere as soon as the store has it.
    pub(super) async fn blow(&self, suspicion: Suspicion) {
        if self.is_blown() {
            return;
        }
        tracing::error!(
            reason = suspicion.reason,
            "the ledger is quarantined: every transfer is refused until it is proven whole; `splitdim repair` shows what is wrong"
        );
        {
            // Both at once: else it could be lifted in between by who sees nothing in the store.
            let mut found = self.found();
            self.handle.blow(&*suspicion.reason);
            *found = Some(suspicion);
        }
        self.follow().await;
    }

    /// Suspends them until whoever holds the quarantine lifts it, whatever others find: in the place of
    /// what the store knows, at once.
    ///
    /// # Errors
    ///
    /// What the store knew stands, or this does.
    pub(super) async fn hold(&self, reason: &str, sum: i64) -> Result<(), KvError> {
        let (stored, stamp) = self.kv.get(KEY.into()).await?;
        let held = Suspicion {
            reason: reason.to_owned(),
            sum: read(&stored).map_or(sum, |known| known.sum),
            held: true,
        };
        let epoch = stamp.map(|stamp| stamp.epoch);
        self.write(&stored, held.to_value(), epoch).await?;
        self.handle.blow(&*held.reason);
        *self.found() = None;
        Ok(())
    }

    /// Does as the store says, after telling it what was found here.
    pub(super) async fn follow(&self) {
        let followed = self.try_follow().await;
        if let Err(error) = followed {
            tracing::debug!(%error, "the store did not tell whether the ledger is quarantined");
        }
    }

    async fn try_follow(&self) -> Result<(), KvError> {
        let _alone = self.following.lock().await;
        let (stored, stamp) = self.kv.get(KEY.into()).await?;
        let found = self.found().clone();
        match (read(&stored), found) {
            (Some(known), _) => {
                *self.found() = None;
                if !self.is_blown() {
                    tracing::error!(
                        reason = known.reason,
                        "the ledger is quarantined by another replica"
                    );
                }
                self.handle.blow(&*known.reason);
            }
            (None, Some(found)) => {
                let epoch = stamp.map(|stamp| stamp.epoch);
                self.write(&stored, found.to_value(), epoch).await?;
                *self.found() = None;
            }
            (None, None) => {
                let found = self.found();
                if found.is_none() && self.is_blown() {
                    tracing::info!("the quarantine is lifted");
                    self.handle.lift();
                }
            }
        }
        Ok(())
    }

    /// Why the store has it that the ledger is suspect, if it has.
    pub(super) async fn suspicion(&self) -> Result<Option<Suspicion>, KvError> {
        let (stored, _) = self.kv.get(KEY.into()).await?;
        Ok(read(&stored))
    }

    /// Forgets what was found here: it was of a ledger that is gone.
    pub(super) fn forget(&self) {
        *self.found() = None;
    }

    /// Lifts the quarantine of every replica, if it is for what was `judged`: the ledger was proven whole. Whether
    /// it is lifted.
    pub(super) async fn lift(&self, judged: &Suspicion) -> Result<bool, KvError> {
        let (stored, stamp) = self.kv.get(KEY.into()).await?;
        let is_judged = read(&stored).as_ref() == Some(judged);
        if is_judged {
            self.write(&stored, "".into(), stamp.map(|stamp| stamp.epoch))
                .await?;
        }
        *self.found() = None;
        self.follow().await;
        Ok(is_judged)
    }

    async fn write(
        &self,
        stored: &Versioned,
        value: Value,
        epoch: Option<u64>,
    ) -> Result<(), KvError> {
        let put = Put::new(KEY, value, stored.version);
        self.kv.put(put, epoch).await.map(drop)
    }

    fn found(&self) -> MutexGuard<'_, Option<Suspicion>> {
        // Nothing panics under this lock.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The suspicion that a stored value tells; one that cannot be read is one all the same.
fn read(stored: &Versioned) -> Option<Suspicion> {
    if stored.value.is_empty() {
        return None;
    }
    let read = serde_json::from_str(&stored.value);
    Some(read.unwrap_or_else(|_| Suspicion {
        reason: "the reason cannot be read".to_owned(),
        sum: 0,
        held: false,
    }))
}
