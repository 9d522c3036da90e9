//! The checker of the other tests notices what it is there for.

mod common;

use common::exact::{Balances, Journal, Outcome, Transfer};

#[test]
fn what_happened_as_answered_is_exact() {
    let journal = journal(&[
        ("a", "b", 5, Outcome::Done),
        ("b", "fresh", 2, Outcome::Done),
        ("a", "c", 7, Outcome::NotApplied),
    ]);
    assert_eq!(
        journal.check(&balances(&[("a", 5), ("b", -3), ("fresh", -2)])),
        Ok(())
    );
    assert_eq!(journal.count(Outcome::Done), 2);
}

#[test]
fn an_unknown_transfer_happened_once_or_not_at_all() {
    let journal = journal(&[
        ("a", "b", 5, Outcome::Done),
        ("a", "fresh", 2, Outcome::Unknown),
    ]);
    assert_eq!(journal.check(&balances(&[("a", 5), ("b", -5)])), Ok(()));
    assert_eq!(
        journal.check(&balances(&[("a", 7), ("b", -5), ("fresh", -2)])),
        Ok(())
    );
    for wrong in [
        &[("a", 9), ("b", -5), ("fresh", -4)][..],
        &[("a", 5), ("b", -5), ("fresh", -2)],
        &[("a", 7), ("b", -5)],
        &[("a", 7), ("b", -7)],
    ] {
        assert!(journal.check(&balances(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn unknown_transfers_among_shared_people_are_looked_at_together() {
    let journal = journal(&[
        ("a", "b", 5, Outcome::Unknown),
        ("a", "b", 2, Outcome::Unknown),
    ]);
    for exact in [0, 2, 5, 7] {
        assert_eq!(
            journal.check(&balances(&[("a", exact), ("b", -exact)])),
            Ok(())
        );
    }
    for wrong in [-2, 1, 3, 4, 9] {
        assert!(
            journal
                .check(&balances(&[("a", wrong), ("b", -wrong)]))
                .is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn very_many_unknown_transfers_stay_within_their_bounds() {
    let many = [("a", "b", 1, Outcome::Unknown); 100];
    let journal = journal(&many);
    assert_eq!(journal.check(&balances(&[("a", 100), ("b", -100)])), Ok(()));
    assert!(
        journal
            .check(&balances(&[("a", 101), ("b", -101)]))
            .is_err()
    );
    assert!(journal.check(&balances(&[("a", -1), ("b", 1)])).is_err());
}

#[test]
fn a_lost_a_doubled_and_a_half_transfer_are_noticed() {
    let journal = journal(&[
        ("a", "fresh", 5, Outcome::Done),
        ("b", "c", 5, Outcome::Done),
    ]);
    for wrong in [
        // Lost.
        &[("b", 5), ("c", -5)][..],
        // Doubled.
        &[("a", 10), ("fresh", -10), ("b", 5), ("c", -5)],
        // Lost, and another one doubled: the sum and the shared people hide it.
        &[("b", 10), ("c", -10)],
        // Half.
        &[("a", 5), ("b", 5), ("c", -5)],
        &[("fresh", -5), ("b", 5), ("c", -5)],
    ] {
        assert!(journal.check(&balances(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_was_refused_and_who_was_never_named_is_noticed() {
    let journal = journal(&[("a", "b", 5, Outcome::NotApplied)]);
    assert_eq!(journal.check(&balances(&[])), Ok(()));
    assert!(journal.check(&balances(&[("a", 5), ("b", -5)])).is_err());
    assert!(journal.check(&balances(&[("x", 1), ("y", -1)])).is_err());
}

#[test]
fn what_became_of_an_unknown_transfer_must_stay_so() {
    let journal = journal(&[("a", "fresh", 2, Outcome::Unknown)]);
    let (with, without) = (balances(&[("a", 2), ("fresh", -2)]), balances(&[]));
    let settled = journal.settled(&without);
    assert_eq!(settled.check(&without), Ok(()));
    assert!(settled.check(&with).is_err());
    let settled = journal.settled(&with);
    assert_eq!(settled.check(&with), Ok(()));
    assert!(settled.check(&without).is_err());
}

fn journal(transfers: &[(&str, &str, i64, Outcome)]) -> Journal {
    let mut journal = Journal::default();
    for &(sender, receiver, amount, outcome) in transfers {
        let transfer = Transfer {
            sender: sender.to_owned(),
            receiver: receiver.to_owned(),
            amount,
        };
        journal.note(transfer, outcome);
    }
    journal
}

fn balances(balances: &[(&str, i64)]) -> Balances {
    let owned = balances
        .iter()
        .map(|&(person, balance)| (person.to_owned(), balance));
    Balances(owned.collect())
}
