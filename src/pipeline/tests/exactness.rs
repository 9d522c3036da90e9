//! Random schedules: whatever the network does, the answers are true and the sum is zero.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use resilient::detach::Tracker;
use tokio::time::sleep;

use super::faulty::{Fate, faulty};
use crate::kv::{KvRequest, KvService, spawn_embedded};
use crate::ledger::{Amount, Name, Transfer};
use crate::pipeline::{Ledger, Patience, TransferError};
use crate::store::Memory;

/// Schedules of the test run; `SIMULATION_SEEDS` sets another number.
const SEEDS: u64 = 1000;

const TRANSFERS: u64 = 50;
const REPLICAS: usize = 3;

#[test]
fn every_answer_is_true_on_every_schedule() {
    let seeds = std::env::var("SIMULATION_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    let (mut made, mut refused, mut unknown) = (0, 0, 0);
    for seed in 0..seeds.unwrap_or(SEEDS) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let answers = runtime.block_on(run(seed));
        made += answers
            .iter()
            .filter(|answer| **answer == Answer::Made)
            .count();
        refused += answers
            .iter()
            .filter(|answer| **answer == Answer::NotApplied)
            .count();
        unknown += answers
            .iter()
            .filter(|answer| **answer == Answer::Unknown)
            .count();
    }
    // The schedules are hard enough to show all three, and not so hard that nothing gets through.
    assert!(
        made > refused + unknown,
        "{made} made, {refused} not applied, {unknown} unknown"
    );
    assert!(
        refused > 0 && unknown > 0,
        "{made} made, {refused} not applied, {unknown} unknown"
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Made,
    NotApplied,
    Unknown,
}

async fn run(seed: u64) -> Vec<Answer> {
    let (store, _writing) = spawn_embedded(Memory::new()).unwrap();
    let mut random = Random::new(seed);
    let replicas: Vec<_> = (0..REPLICAS)
        .map(|_| replica(&store, random.fork()))
        .collect();
    let people = 2 + random.below(7);
    let mut transfers = Vec::new();
    for number in 0..TRANSFERS {
        let sender = random.below(people);
        // Half of them have a receiver of their own, whose balance tells exactly what became of it.
        let receiver = match number % 2 {
            0 => format!("fresh {number}"),
            _ => format!("p{}", (sender + 1 + random.below(people - 1)) % people),
        };
        let amount = Amount::new(1 + random.below(9) as i64).unwrap();
        let transfer = Transfer::new(name(&format!("p{sender}")), name(&receiver), amount).unwrap();
        let (ledger, _) = &replicas[random.below(REPLICAS as u64) as usize];
        let (ledger, wait) = (ledger.clone(), Duration::from_millis(random.below(3000)));
        let answer = tokio::spawn({
            let transfer = transfer.clone();
            async move {
                sleep(wait).await;
                ledger.transfer(transfer).await
            }
        });
        transfers.push((transfer, answer));
    }

    let mut answers = Vec::new();
    for (transfer, answer) in transfers {
        let answer = match answer.await.unwrap() {
            Ok(()) => Answer::Made,
            Err(TransferError::NotApplied { .. }) => Answer::NotApplied,
            Err(TransferError::Unknown { .. }) => Answer::Unknown,
            Err(other) => panic!("seed {seed}: {other}"),
        };
        answers.push((transfer, answer));
        assert_eq!(sum(&store).await, 0, "seed {seed}");
    }
    for (_, running) in &replicas {
        running.close_and_wait().await;
    }
    // What is late arrives by then.
    sleep(Duration::from_secs(60)).await;
    check(seed, &store, &answers).await;
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// A replica of splitdim behind a network of its own.
fn replica(store: &KvService, mut random: Random) -> (Ledger, Tracker) {
    // From one request in a hundred to one in two, as long as this replica lives.
    let trouble = 1 + random.below(50);
    let network = faulty(store.clone(), move |_: &KvRequest| {
        let fate = match random.below(100) {
            dice if dice >= trouble => Fate::Fine,
            dice => [
                Fate::Refused,
                Fate::Lost,
                Fate::Unanswered,
                Fate::Doubled,
                Fate::Late,
            ][dice as usize % 5],
        };
        (fate, Duration::from_millis(random.below(40)))
    });
    let running = Tracker::new();
    (
        Ledger::transactional(network, Patience::default(), running.clone()),
        running,
    )
}

async fn check(seed: u64, store: &KvService, answers: &[(Transfer, Answer)]) {
    let balances = balances(store).await;
    assert_eq!(balances.values().sum::<i64>(), 0, "seed {seed}");
    // Between the shared people, what must and what may have moved.
    let (mut least, mut most) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
    for (transfer, answer) in answers {
        let amount = transfer.amount().get();
        if transfer.receiver().as_str().starts_with("fresh") {
            let balance = balances.get(transfer.receiver().as_str()).copied();
            let expected: &[Option<i64>] = match answer {
                Answer::Made => &[Some(-amount)],
                Answer::NotApplied => &[None],
                Answer::Unknown => &[Some(-amount), None],
            };
            assert!(
                expected.contains(&balance),
                "seed {seed}: {answer:?}, but {balance:?}"
            );
        }
        for (person, change) in [(transfer.sender(), amount), (transfer.receiver(), -amount)] {
            let (low, high) = match answer {
                Answer::Made => (change, change),
                Answer::NotApplied => (0, 0),
                Answer::Unknown => (change.min(0), change.max(0)),
            };
            *least.entry(person.as_str()).or_default() += low;
            *most.entry(person.as_str()).or_default() += high;
        }
    }
    for (person, least) in least {
        let balance = balances.get(person).copied().unwrap_or_default();
        assert!(
            (least..=most[person]).contains(&balance),
            "seed {seed}: {person} has {balance}"
        );
    }
}

async fn balances(store: &KvService) -> BTreeMap<String, i64> {
    let ledger = Ledger::transactional(store.clone(), Patience::default(), Tracker::new());
    let view = ledger.view().await.unwrap();
    let balance = |account: &crate::ledger::Account| (account.holder.to_string(), account.balance);
    view.accounts().iter().map(balance).collect()
}

async fn sum(store: &KvService) -> i64 {
    balances(store).await.values().sum()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Seeded randomness.
struct Random(TestRng);

impl Random {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    fn fork(&mut self) -> Self {
        Self::new(self.0.next_u64())
    }
}
