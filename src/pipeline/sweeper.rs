use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::util::rng::Rng;
use uuid::Uuid;

use super::Ledger;
use super::fuse::{Fuse, Suspicion};
use super::patience::{Chance, Patience, chance};
use super::places::Places;
use super::posting::Posting;
use super::reader::Reader;
use super::reset::is_reset;
use super::saga::Saga;
use super::snapshot::{Open, Snapshot};
use super::underway::Underway;
use crate::kv::KvError;
use crate::ledger::Transfer;
use crate::metrics::LedgerMetrics;
use crate::telemetry::Chain;

/// How many transfers are finished at a time.
const AT_A_TIME: usize = 64;

/// Finishes what processes that crashed, or gave up, have left open; and sees to it that nobody works
/// on a ledger that is not whole.
#[derive(Debug)]
pub(super) struct Sweeper {
    reader: Arc<Reader>,
    saga: Saga,
    places: Arc<Places>,
    underway: Arc<Underway>,
    fuse: Arc<Fuse>,
    metrics: Arc<LedgerMetrics>,
    patience: Patience,
    chance: Chance,
    /// Whether the last round could not look.
    is_blind: bool,
    watched: Watched,
    finishing: JoinSet<()>,
    at_a_time: Arc<Semaphore>,
}

/// What earlier rounds saw.
#[derive(Debug, Default)]
struct Watched {
    epoch: Option<u64>,
    /// Since when each open transfer, and each mark without one, was seen, by this process's clock.
    since: HashMap<Uuid, Instant>,
    /// What a whole ledger sums to: zero, unless one was imported that did not.
    sum: Option<i128>,
}

impl Sweeper {
    pub(super) fn of(ledger: &Ledger) -> Self {
        Self {
            reader: Arc::clone(&ledger.reader),
            saga: ledger.saga.clone(),
            places: Arc::clone(&ledger.places),
            underway: Arc::clone(&ledger.underway),
            fuse: Arc::clone(&ledger.fuse),
            metrics: Arc::clone(&ledger.metrics),
            patience: ledger.options.patience,
            chance: chance(ledger.options.seed, "sweeper"),
            is_blind: false,
            watched: Watched::default(),
            finishing: JoinSet::new(),
            at_a_time: Arc::new(Semaphore::new(AT_A_TIME)),
        }
    }

    /// Makes rounds for ever. In a store that is not shared, there is something to find only when this
    /// process has left something open.
    pub(super) async fn run(mut self, is_shared: bool) {
        loop {
            let is_at_rest = self.round().await;
            if is_at_rest && !is_shared {
                self.underway.something_left().await;
            }
            // Replicas that were started together do not stay in step.
            let pause = self
                .patience
                .sweep_every
                .mul_f64(0.75 + 0.5 * self.chance.next_f64());
            sleep(pause).await;
        }
    }

    /// Looks once, and begins to finish what is due. Whether there is nothing to finish.
    async fn round(&mut self) -> bool {
        while self.finishing.try_join_next().is_some() {}
        let looked = async {
            // Only a store that answers such a thing in time counts as one that answers.
            let suspicion = self.fuse.suspicion().await.map_err(Arc::new)?;
            Ok::<_, Arc<KvError>>((suspicion, self.reader.snapshot().await?))
        };
        let (suspicion, snapshot) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                if !self.is_blind {
                    self.is_blind = true;
                    let error = Chain(&error);
                    tracing::warn!(%error, "the ledger cannot be read; open transfers are looked for again until it can be");
                }
                // What could not be finished since the store was away has not been open for long.
                self.watched.since.clear();
                return false;
            }
        };
        if mem::take(&mut self.is_blind) {
            tracing::info!("the ledger can be read again");
        }
        self.watched.look(&snapshot);
        let open = self.underway.and_open(&snapshot);
        self.metrics.saw_open(open, self.watched.oldest(&snapshot));
        self.judge(&snapshot, suspicion).await;
        for posting in self.due(&snapshot) {
            self.finish(posting);
        }
        self.tidy(&snapshot);
        snapshot.is_at_rest() && open == 0 && !self.fuse.is_blown()
    }

    /// What this process has left open, and what nobody seems to care for.
    fn due(&self, snapshot: &Snapshot) -> Vec<Posting> {
        let mut due = self.underway.left();
        let stale = snapshot
            .open()
            .iter()
            .filter(|open| self.watched.is_older(open.id, self.patience.stale_after))
            .filter(|open| !self.underway.has(open.id));
        due.extend(stale.map(|open| self.found(open.id, open.transfer.clone(), snapshot)));
        due
    }

    /// A transfer that `snapshot` shows.
    fn found(&self, id: Uuid, transfer: Transfer, snapshot: &Snapshot) -> Posting {
        Posting::found(id, transfer, snapshot.epoch(), self.patience.try_within)
    }

    fn finish(&mut self, posting: Posting) {
        let Some(in_hand) = self.underway.take(&posting) else {
            return;
        };
        let (saga, at_a_time) = (self.saga.clone(), Arc::clone(&self.at_a_time));
        self.finishing.spawn(async move {
            let _permit = at_a_time.acquire().await;
            let id = posting.id;
            let ended = saga.see_through(posting.clone(), in_hand).await;
            if let Some(outcome) = posting.ended() {
                tracing::info!(%id, ?outcome, "an open transfer was finished");
            } else if let Err(failed) = ended {
                tracing::debug!(%id, cause = failed.cause.kind(), "an open transfer could not be finished yet");
            }
        });
    }

    /// Begins to remove marks and seals that nobody needs any more.
    fn tidy(&mut self, snapshot: &Snapshot) {
        for (receiver, mark) in snapshot.stray() {
            if !self.watched.is_older(mark.id, self.patience.stale_after)
                || self.underway.has(mark.id)
            {
                continue;
            }
            let Some(transfer) = mark.transfer(receiver) else {
                continue;
            };
            let posting = self.found(mark.id, transfer, snapshot);
            let Some(in_hand) = self.underway.take(&posting) else {
                continue;
            };
            let (saga, at_a_time) = (self.saga.clone(), Arc::clone(&self.at_a_time));
            self.finishing.spawn(async move {
                let _permit = at_a_time.acquire().await;
                if let Err(cause) = saga.prune(posting).await {
                    tracing::debug!(cause = cause.kind(), "a mark could not be removed yet");
                }
                // Whoever looks next sees whether it is still there.
                in_hand.finish();
            });
        }
        for key in snapshot.sealed() {
            let place = self.places.hold(Arc::clone(key));
            let within = self.patience.answer_within;
            self.finishing.spawn(async move {
                let rested = tokio::time::timeout(within, place.rest()).await;
                if let Ok(Err(cause)) = rested {
                    tracing::debug!(cause = cause.kind(), "a seal could not be removed yet");
                }
            });
        }
    }

    /// Quarantines a ledger that is suspect, and lifts that when it is proven whole.
    async fn judge(&self, snapshot: &Snapshot, known: Option<Suspicion>) {
        let found = self
            .watched
            .suspicion(snapshot, self.patience.quarantine_after);
        let lifted = match (found, known) {
            (Some(found), None) => {
                self.fuse.blow(found).await;
                Ok(true)
            }
            // Nothing new begins in quarantine: in the end nothing is open that can be finished.
            (None, Some(known)) if known.is_answered_by(snapshot) => self.fuse.lift(&known).await,
            (_, None | Some(_)) => Ok(false),
        };
        if let Err(error) = lifted {
            tracing::debug!(%error, "the quarantine could not be lifted yet");
        }
    }

    /// Looks a last time: finishes what this process has left open, for `limit` at most.
    pub(super) async fn last_round(&mut self, limit: Duration) {
        for posting in self.underway.left() {
            self.finish(posting);
        }
        let finishing = &mut self.finishing;
        let all = async { while finishing.join_next().await.is_some() {} };
        let ended = tokio::time::timeout(limit, all).await.is_ok();
        let left = self.underway.left().len();
        if !ended || left > 0 {
            tracing::warn!(
                left,
                "transfers are left open; another replica, or the next start, finishes them"
            );
        }
    }
}

impl Suspicion {
    /// Whether `snapshot` proves the ledger whole.
    fn is_answered_by(&self, snapshot: &Snapshot) -> bool {
        let sum = snapshot.sum();
        !self.held && snapshot.open().is_empty() && (sum == 0 || sum == i128::from(self.sum))
    }
}

impl Watched {
    fn look(&mut self, snapshot: &Snapshot) {
        let epoch = snapshot.epoch();
        if epoch != self.epoch {
            *self = Self {
                epoch,
                // Nobody has anything then, whatever is found now.
                sum: self.was_reset_to(epoch).then_some(0),
                ..Self::default()
            };
        }
        let now = Instant::now();
        let marks = snapshot.stray().iter().map(|(_, mark)| mark.id);
        let seen = snapshot.open().iter().map(|open| open.id).chain(marks);
        let since = &self.since;
        let since = |id| (id, since.get(&id).copied().unwrap_or(now));
        self.since = seen.map(since).collect();
        let sum = self.sum.get_or_insert(snapshot.sum());
        if snapshot.sum() == 0 && *sum != 0 {
            tracing::warn!(before = %*sum, "the balances sum to zero now");
            *sum = 0;
        }
    }

    /// Whether resets of the store that was looked at lead to `epoch`, and it is no other one.
    fn was_reset_to(&self, epoch: Option<u64>) -> bool {
        let epochs = self.epoch.zip(epoch);
        epochs.is_some_and(|(before, now)| is_reset(before, now))
    }

    /// For how long the oldest of the open transfers was seen.
    fn oldest(&self, snapshot: &Snapshot) -> Option<Duration> {
        let open = snapshot.open().iter();
        let since = open.filter_map(|open| self.since.get(&open.id)).min();
        since.map(Instant::elapsed)
    }

    fn is_older(&self, id: Uuid, age: Duration) -> bool {
        self.since
            .get(&id)
            .is_some_and(|since| since.elapsed() >= age)
    }

    /// What makes the ledger suspect, if anything.
    fn suspicion(&self, snapshot: &Snapshot, quarantine_after: Duration) -> Option<Suspicion> {
        let whole = self.sum.unwrap_or_default();
        let overdue = |open: &&Open| self.is_older(open.id, quarantine_after);
        let reason = if snapshot.sum() != whole {
            format!(
                "the balances summed to {whole}, and now to {}",
                snapshot.sum()
            )
        } else if let Some(open) = snapshot.open().iter().find(|open| !open.readable) {
            format!(
                "transfer {} is open, and a cell of it cannot be read",
                open.id
            )
        } else if let Some(open) = snapshot.open().iter().find(overdue) {
            format!(
                "transfer {} has been open for {} s: {}",
                open.id,
                quarantine_after.as_secs(),
                open.stands()
            )
        } else {
            return None;
        };
        Some(Suspicion {
            reason,
            sum: whole.try_into().unwrap_or_default(),
            held: false,
        })
    }
}
