//! Each rule that makes transfers exact is needed: broken, it is found out.

use splitdim::pipeline::Rules;

use super::replica::Kind::{self, Saga, Transaction};
use super::schedule::{Setup, TROUBLE, own_store, run};

/// Schedules until a broken rule must have been found out.
const SEEDS: u64 = 400;

#[test]
fn a_guard_that_is_read_before_the_cell_is_found_out() {
    found_out(|rules| rules.guard_after_cell = false);
}

#[test]
fn a_guard_that_is_not_read_again_is_found_out() {
    found_out(|rules| rules.guard_for_each_try = false);
}

#[test]
fn a_credit_that_does_not_ask_for_the_record_is_found_out() {
    found_out(|rules| rules.record_tells = false);
}

#[test]
fn a_transfer_that_leaves_the_outbox_before_its_record_is_written_is_found_out() {
    found_out(|rules| rules.record_before_retire = false);
}

#[test]
fn a_mark_that_is_removed_before_the_transfer_leaves_the_outbox_is_found_out() {
    found_out(|rules| rules.retire_before_prune = false);
}

#[test]
fn an_undo_without_a_fence_is_found_out() {
    found_out(|rules| rules.fence_before_undo = false);
}

#[test]
fn an_answer_from_a_read_alone_is_found_out() {
    found_out(|rules| rules.seal_before_not_applied = false);
}

#[test]
fn a_conflict_that_is_taken_for_a_refusal_is_found_out() {
    found_out(|rules| rules.conflict_is_doubt = false);
}

#[test]
fn a_batch_that_is_given_up_without_a_tombstone_is_found_out() {
    found_out_among([Transaction; 3], |rules| {
        rules.seal_before_not_applied = false;
    });
}

#[test]
fn a_batch_whose_records_are_there_and_that_is_taken_for_refused_is_found_out() {
    found_out_among([Transaction; 3], |rules| rules.conflict_is_doubt = false);
}

fn found_out(break_one: impl Fn(&mut Rules)) {
    found_out_among([Saga, Transaction, Saga], break_one);
}

fn found_out_among(kinds: [Kind; 3], break_one: impl Fn(&mut Rules)) {
    let mut rules = Rules::default();
    break_one(&mut rules);
    assert_ne!(rules, Rules::default());
    let violation = (0..SEEDS).find_map(|seed| {
        let setup = Setup {
            kinds,
            rules,
            trouble: TROUBLE,
            crashes: seed % 2 == 0,
            resets: false,
            store: own_store,
        };
        run(seed, setup).err().map(|violation| (seed, violation))
    });
    let (seed, violation) = violation.expect("no schedule shows that the rule is broken");
    println!("seed {seed}: {violation}");
}
