use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use resilient::retry::{Class, Classify, Policy, TokenBucket};
use tokio::time::Instant;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};

use super::fuse;
use super::patience::{Options, chance};
use super::step::ByCause;
use crate::kv::{Conflict, IMPORT_GAP, Kv, KvError};

/// What makes resets.
pub(super) type Resetting = BoxCloneSyncService<Reset, (), KvError>;

/// A wish to forget everything. It names the epoch that is to end, so it comes true once, whatever is sent how often:
/// of a store that tells its epoch it may be tried again, and a copy that comes late, from here or from a proxy,
/// wipes out nothing that was made since. Clones are the same wish.
#[derive(Clone, Debug)]
pub(super) struct Reset {
    /// No attempt begins later.
    until: Instant,
    known: Arc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Which epoch is to end, once the store has told: `None` where it tells of none.
    epoch: OnceLock<Option<u64>>,
    /// Whether the store may have been reset without saying so.
    is_doubtful: AtomicBool,
}

/// More resets than come between two looks at a store. What was imported, and may sum to anything, is further on.
const RESETS_BETWEEN: u64 = IMPORT_GAP / 10;

/// Whether it was by resets that a store came from one epoch to another, and by nothing else: then nobody has anything.
pub(super) fn is_reset(before: u64, now: u64) -> bool {
    (1..=RESETS_BETWEEN).contains(&now.saturating_sub(before))
}

/// Makes the resets of a ledger that is run so.
pub(super) fn resetting(kv: &Kv, options: &Options, budget: &Arc<TokenBucket>) -> Resetting {
    let (kv, patience) = (kv.clone(), &options.patience);
    let random = chance(options.seed, "resets");
    let policy = Policy::with_random(ByCause, patience.errors, patience.conflicts, random);
    Resetting::new(
        ServiceBuilder::new()
            .layer(RetryLayer::new(policy.budget(Arc::clone(budget))))
            .service(service_fn(move |reset: Reset| {
                let kv = kv.clone();
                async move { reset.once(&kv).await }
            })),
    )
}

impl Reset {
    pub(super) fn new(until: Instant) -> Self {
        Self {
            until,
            known: Arc::default(),
        }
    }

    async fn once(&self, kv: &Kv) -> Result<(), KvError> {
        let epoch = match self.known.epoch.get() {
            Some(epoch) => *epoch,
            None => {
                // Whatever is read tells it.
                let read = kv.get(fuse::KEY.into()).await;
                let (_, stamp) = read.map_err(|error| KvError::Unavailable(error.into()))?;
                *self.known.epoch.get_or_init(|| stamp.map(|it| it.epoch))
            }
        };
        if Instant::now() > self.until {
            // Soon its client is told something, and goes on.
            return Err(KvError::Unavailable("it is too late to reset".into()));
        }
        match kv.reset(epoch).await {
            Ok(_) => Ok(()),
            // Somebody else's has come first, or a copy of this one.
            Err(KvError::Conflict(Conflict::Epoch { current }))
                if epoch.is_some_and(|ended| is_reset(ended, current)) =>
            {
                Ok(())
            }
            Err(error) => {
                if !matches!(error, KvError::Unavailable(_) | KvError::Invalid(_)) {
                    self.known.is_doubtful.store(true, Ordering::SeqCst);
                }
                Err(error)
            }
        }
    }

    /// What is to be said of it, where the last attempt came to `made`.
    pub(super) fn told(&self, made: Result<(), KvError>) -> Result<(), KvError> {
        made.map_err(|error| match self.is_doubtful() {
            true => KvError::Unknown(error.into()),
            false => error,
        })
    }

    fn is_doubtful(&self) -> bool {
        self.known.is_doubtful.load(Ordering::SeqCst)
    }

    /// Whether the store has told which epoch is to end.
    fn is_named(&self) -> bool {
        self.known.epoch.get().is_some_and(Option::is_some)
    }
}

impl Classify<Reset, (), KvError> for ByCause {
    fn classify(&self, reset: &Reset, result: &Result<(), KvError>) -> Class {
        match result {
            // What the store says for certain when it is asked to reset is said on: it may have tried hard.
            Err(KvError::Unavailable(_)) if !reset.is_named() || reset.is_doubtful() => {
                Class::NotDone
            }
            Err(KvError::Unknown(_)) if reset.is_named() => Class::Unknown,
            // It does not say why.
            Err(KvError::Conflict(Conflict::Version { .. })) if reset.is_named() => Class::Conflict,
            _ => Class::Done,
        }
    }

    fn deadline(&self, reset: &Reset) -> Option<Instant> {
        Some(reset.until)
    }
}
