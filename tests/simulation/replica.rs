//! A replica of splitdim behind a network of its own, which it can crash behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use resilient::detach::Tracker;
use resilient::testing::network::{Fate, Happening, Network};
use splitdim::kv::{KvError, KvRequest, KvService};
use splitdim::pipeline::{Ledger, Options};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Service as _, ServiceExt as _, service_fn};

use super::random::Random;

/// How a replica makes transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Saga,
    Transaction,
}

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) ledger: Ledger,
    pub(crate) running: Tracker,
    line: Line,
    tending: JoinHandle<()>,
}

/// The connection of a replica to the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Nothing is sent any more: the replica has crashed.
    dead: Arc<AtomicBool>,
    /// Nothing goes wrong any more.
    good: Arc<AtomicBool>,
}

impl Replica {
    /// A replica whose requests fail as `trouble` (in a hundred) of them do, and which crashes with
    /// its request number `crash`, if there is one.
    pub(crate) fn start(
        kind: Kind,
        store: &KvService,
        options: Options,
        trouble: u64,
        crash: Option<u64>,
        mut random: Random,
    ) -> Self {
        let line = Line::default();
        let (dead, good) = (Arc::clone(&line.dead), Arc::clone(&line.good));
        let mut requests = 0;
        let script = move |request: &KvRequest| {
            let delay = |random: &mut Random| Duration::from_micros(100 + random.below(20_000));
            let (before, after) = (delay(&mut random), delay(&mut random));
            let fate = fate(request, trouble, &mut random);
            let late_by = Duration::from_millis(random.below(8000));
            requests += 1;
            let healed = good.load(Ordering::SeqCst);
            if crash == Some(requests) && !healed {
                dead.store(true, Ordering::SeqCst);
                // The last request of a process may still arrive, soon or late.
                let fate = [Fate::Lost, Fate::Unanswered, Fate::Late][random.below(3) as usize];
                return Happening {
                    fate,
                    before,
                    after,
                    late_by,
                };
            }
            let fate = if dead.load(Ordering::SeqCst) {
                Fate::Refused
            } else if healed {
                Fate::Fine
            } else {
                fate
            };
            Happening {
                fate,
                before,
                after,
                late_by,
            }
        };
        let refused = |_: &KvRequest| KvError::Unavailable("refused".into());
        let network = KvService::new(Network::new(echoing(store.clone()), script, refused, lost));
        let running = Tracker::new();
        let ledger = match kind {
            Kind::Saga => Ledger::saga(network, options, running.clone()),
            Kind::Transaction => Ledger::transactional(network, options, running.clone()),
        };
        let tending = tokio::spawn({
            let ledger = ledger.clone();
            async move { ledger.tend().await }
        });
        Self {
            ledger,
            running,
            line,
            tending,
        }
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.line.dead.load(Ordering::SeqCst)
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.line.good.store(true, Ordering::SeqCst);
    }

    pub(crate) fn line(&self) -> Line {
        self.line.clone()
    }
}

impl Line {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

fn fate(request: &KvRequest, trouble: u64, random: &mut Random) -> Fate {
    let is_read = matches!(request, KvRequest::Get { .. } | KvRequest::List { .. });
    let dice = random.below(4);
    match random.percent(trouble) {
        false => Fate::Fine,
        true if is_read => [Fate::Refused, Fate::Lost][dice as usize % 2],
        true => [Fate::Refused, Fate::Unanswered, Fate::Doubled, Fate::Late][dice as usize],
    }
}

/// No answer: a read has certainly changed nothing.
pub(crate) fn lost(request: &KvRequest) -> KvError {
    match request {
        KvRequest::Get { .. } | KvRequest::List { .. } => KvError::Unavailable("lost".into()),
        _ => KvError::Unknown("lost".into()),
    }
}

/// A store to which now and then a write comes once more, long after it was answered.
fn echoing(store: KvService) -> KvService {
    let writes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    KvService::new(service_fn(move |request: KvRequest| {
        let mut store = store.clone();
        let is_write = matches!(
            request,
            KvRequest::Put { .. } | KvRequest::Transaction { .. }
        );
        let number = writes.fetch_add(u64::from(is_write), Ordering::Relaxed);
        if is_write && number % 8 == 7 {
            let (mut store, again) = (store.clone(), request.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(20 + number % 7 * 150)).await;
                let _ = store.ready().await?.call(again).await;
                Ok::<_, KvError>(())
            });
        }
        async move { store.ready().await?.call(request).await }
    }))
}
