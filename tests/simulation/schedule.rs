//! A random schedule: what happens when, and what was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use splitdim::kv::{Kv, KvService, spawn_embedded};
use splitdim::ledger::{Amount, Name, Transfer};
use splitdim::pipeline::{Ledger, Options, Patience, Rules, TransferError};
use splitdim::store::Memory;
use tokio::time::sleep;
use uuid::Uuid;

use super::random::Random;
use super::replica::{Kind, Replica};
use super::verdict::{self, Answer, Posted, Violation};

const TRANSFERS: u64 = 50;
const REPLICAS: usize = 3;

/// From no trouble to half of the requests.
pub(crate) const TROUBLE: u64 = 49;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// How the replicas make transfers, in turn.
    pub(crate) kinds: [Kind; REPLICAS],
    pub(crate) rules: Rules,
    /// How many of a hundred requests fail at the most.
    pub(crate) trouble: u64,
    /// Whether replicas crash.
    pub(crate) crashes: bool,
    /// Whether the ledger is reset in the middle.
    pub(crate) resets: bool,
    pub(crate) store: fn() -> KvService,
}

/// Our own store.
pub(crate) fn own_store() -> KvService {
    let (store, _writing) = spawn_embedded(Memory::new());
    store
}

/// Runs the schedule of `seed`.
pub(crate) fn run(seed: u64, setup: Setup) -> Result<Vec<Answer>, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { Schedule::new(seed, setup).run().await })
}

struct Schedule {
    setup: Setup,
    random: Random,
    store: KvService,
    replicas: Vec<Replica>,
    /// How often the ledger was reset, or is being reset.
    resets: Arc<AtomicU32>,
}

impl Schedule {
    fn new(seed: u64, setup: Setup) -> Self {
        Self {
            setup,
            random: Random::new(seed),
            store: (setup.store)(),
            replicas: Vec::new(),
            resets: Arc::default(),
        }
    }

    async fn run(mut self) -> Result<Vec<Answer>, Violation> {
        for number in 0..REPLICAS {
            self.start(number);
        }
        let answered = Arc::new(AtomicBool::new(false));
        let reads = verdict::reads_sum_to_zero(self.store.clone(), Arc::clone(&answered));
        let reading = tokio::spawn(reads);
        let posted = self.post().await?;
        answered.store(true, Ordering::SeqCst);

        self.replace_crashed();
        for replica in &self.replicas {
            replica.heal();
        }
        for replica in &self.replicas {
            replica.running.close_and_wait().await;
        }
        // What is late arrives by then, and what was left open is finished.
        sleep(Duration::from_secs(60)).await;
        reading.await.unwrap()?;
        for replica in self
            .replicas
            .iter()
            .filter(|replica| !replica.has_crashed())
        {
            verdict::nothing_is_open(&replica.ledger, &posted).await?;
        }
        verdict::check(&self.store, &posted, self.resets.load(Ordering::SeqCst)).await?;
        Ok(posted.into_iter().map(|posted| posted.answer).collect())
    }

    /// Starts replica `number`, in the place of the one that crashed.
    fn start(&mut self, number: usize) {
        let random = &mut self.random;
        let crash = (self.setup.crashes && random.percent(50)).then(|| 1 + random.below(150));
        let replica = Replica::start(
            self.setup.kinds[number],
            &self.store,
            options(self.setup.rules, random),
            // As long as this replica lives.
            random.below(self.setup.trouble + 1),
            crash,
            random.fork(),
        );
        if number < self.replicas.len() {
            self.replicas[number] = replica;
        } else {
            self.replicas.push(replica);
        }
    }

    fn replace_crashed(&mut self) {
        for number in 0..REPLICAS {
            if self.replicas[number].has_crashed() {
                self.start(number);
            }
        }
    }

    async fn post(&mut self) -> Result<Vec<Posted>, Violation> {
        let people = 2 + self.random.below(7);
        // From all at once to one after the other.
        let pace = 1 + self.random.below(150);
        let reset_at = self.setup.resets.then(|| self.random.below(TRANSFERS));
        let mut answers = Vec::new();
        for number in 0..TRANSFERS {
            sleep(Duration::from_millis(self.random.below(pace))).await;
            self.replace_crashed();
            if reset_at == Some(number) {
                self.reset();
            }
            let transfer = self.transfer(number, people);
            let replica = &self.replicas[self.random.below(REPLICAS as u64) as usize];
            let (ledger, line) = (replica.ledger.clone(), replica.line());
            let (id, resets) = (Uuid::now_v7(), Arc::clone(&self.resets));
            answers.push(tokio::spawn(async move {
                let before = resets.load(Ordering::SeqCst);
                let answer = ledger.transfer(id, transfer.clone()).await;
                // Whoever was connected to a process that crashed gets no answer.
                let answer = match answer {
                    _ if line.is_dead() => Answer::Unknown,
                    Ok(()) => Answer::Made,
                    Err(TransferError::NotApplied { .. }) => Answer::NotApplied,
                    Err(TransferError::Unknown { .. }) => Answer::Unknown,
                    // Nothing that a network or a crash does is a reason.
                    Err(other) => return Err(other.to_string()),
                };
                Ok(Posted {
                    id,
                    transfer,
                    answer,
                    resets: before,
                })
            }));
        }
        let mut posted = Vec::new();
        for answer in answers {
            posted.push(answer.await.unwrap()?);
        }
        Ok(posted)
    }

    fn transfer(&mut self, number: u64, people: u64) -> Transfer {
        let sender = self.random.below(people);
        // Half of them have a receiver of their own, whose balance tells what became of it.
        let receiver = match number % 2 {
            0 => format!("fresh {number}"),
            _ => format!("p{}", (sender + 1 + self.random.below(people - 1)) % people),
        };
        let amount = Amount::new(1 + self.random.below(9) as i64).unwrap();
        Transfer::new(name(&format!("p{sender}")), name(&receiver), amount).unwrap()
    }

    fn reset(&self) {
        let (kv, resets) = (Kv::new(self.store.clone()), Arc::clone(&self.resets));
        resets.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            kv.reset(None).await.unwrap();
            // From here on a transfer is wholly after it.
            resets.fetch_add(1, Ordering::SeqCst);
        });
    }
}

/// Sweepers that are so quick that they come into the way of those who are only slow.
fn options(rules: Rules, random: &mut Random) -> Options {
    let hasty = random.percent(80);
    let patience = Patience::default();
    Options {
        seed: random.next(),
        rules,
        patience: Patience {
            stale_after: match hasty {
                true => Duration::from_millis(random.below(60)),
                false => patience.stale_after,
            },
            sweep_every: match hasty {
                true => Duration::from_millis(10 + random.below(100)),
                false => patience.sweep_every,
            },
            ..patience
        },
        ..Options::default()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A ledger that reads `store` itself.
pub(crate) fn reader(store: &KvService) -> Ledger {
    Ledger::transactional(
        store.clone(),
        Options::default(),
        resilient::detach::Tracker::new(),
    )
}
