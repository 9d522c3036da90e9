//! Random schedules: whatever the network does and whoever crashes, the answers are true.

use splitdim::kv::KvService;
use splitdim::pipeline::Rules;

use super::batches::taciturn_store;
use super::plain_store::plain_store;
use super::replica::Kind::{self, Saga, Transaction};
use super::schedule::{Setup, TROUBLE, own_store, run};
use super::verdict::Answer;

/// Schedules of each test; `SIMULATION_SEEDS` sets another number.
const SEEDS: u64 = 1000;

#[test]
fn sagas_are_exact_on_every_schedule() {
    exact_on_every_schedule([Saga; 3], own_store);
}

#[test]
fn transactions_are_exact_on_every_schedule() {
    exact_on_every_schedule([Transaction; 3], own_store);
}

#[test]
fn transactions_are_exact_on_a_store_that_does_not_tell_what_has_moved() {
    exact_on_every_schedule([Transaction; 3], taciturn_store);
}

#[test]
fn sagas_and_transactions_together_are_exact_on_every_schedule() {
    exact_on_every_schedule([Saga, Transaction, Saga], own_store);
}

#[test]
fn sagas_are_exact_on_the_original_store_too() {
    exact_on_every_schedule([Saga; 3], plain_store);
}

#[test]
fn where_nothing_fails_it_is_known_what_became_of_each_transfer() {
    for kinds in [[Saga; 3], [Transaction; 3], [Saga, Transaction, Saga]] {
        let (mut made, mut refused) = (0, 0);
        for seed in seeds(SEEDS / 10) {
            let setup = Setup {
                kinds,
                rules: Rules::default(),
                trouble: 0,
                crashes: false,
                resets: false,
                store: own_store,
            };
            let answers = run(seed, setup)
                .unwrap_or_else(|violation| panic!("{kinds:?}, seed {seed}: {violation}"));
            for answer in answers {
                match answer {
                    Answer::Made => made += 1,
                    // Too many at the same cells of a network that is slow.
                    Answer::NotApplied => refused += 1,
                    Answer::Unknown => panic!("{kinds:?}, seed {seed}: it is not known"),
                }
            }
        }
        println!("{kinds:?}: {made} made, {refused} not applied");
        assert!(refused * 100 <= made, "{kinds:?}: {refused} of {made}");
    }
}

fn exact_on_every_schedule(kinds: [Kind; 3], store: fn() -> KvService) {
    let is = |other: fn() -> KvService| std::ptr::fn_addr_eq(store, other);
    let has_epochs = !is(plain_store);
    let (mut made, mut refused, mut unknown) = (0, 0, 0);
    // Other stores than ours are those of few.
    let usual = if is(own_store) { SEEDS } else { SEEDS / 4 };
    for seed in seeds(usual) {
        let setup = Setup {
            kinds,
            rules: Rules::default(),
            trouble: TROUBLE,
            crashes: seed % 2 == 0,
            // Its versions start again: it must be at rest then.
            resets: seed % 5 == 4 && has_epochs,
            store,
        };
        match run(seed, setup) {
            Ok(answers) => {
                let count = |wanted| answers.iter().filter(|answer| **answer == wanted).count();
                made += count(Answer::Made);
                refused += count(Answer::NotApplied);
                unknown += count(Answer::Unknown);
            }
            Err(violation) => {
                panic!("seed {seed} (SIMULATION_SEED={seed} runs it alone): {violation}")
            }
        }
    }
    // The schedules are hard enough to show all three, and not so hard that nothing gets through.
    let many = made + refused + unknown > 1000;
    println!("{made} made, {refused} not applied, {unknown} unknown");
    assert!(
        !many || made > refused + unknown && refused > 0 && unknown > 0,
        "{made} made, {refused} not applied, {unknown} unknown"
    );
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let setting = |name| {
        std::env::var(name)
            .ok()
            .and_then(|number| number.parse().ok())
    };
    match setting("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SIMULATION_SEEDS").unwrap_or(usual),
    }
}
