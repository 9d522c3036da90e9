//! The checker of the other tests notices what it is there for.

use crate::common::exact::{Balances, Journal, Outcome, Transfer};

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

#[test]
fn a_look_has_what_was_answered_before_it_and_may_have_what_was_sent_meanwhile() {
    let transfer = |receiver: &str, amount| Transfer {
        sender: "a".to_owned(),
        receiver: receiver.to_owned(),
        amount,
    };
    let mut now = Journal::default();
    now.note(transfer("b", 5), Outcome::Done);
    let number = now.sent(transfer("b", 2));
    let before = now.clone();
    now.answered(number, Outcome::Done, None);
    now.sent(transfer("fresh", 1));
    now.note(transfer("refused", 4), Outcome::NotApplied);

    let seen = now.seen_since(&before);
    for exact in [
        &[("a", 5), ("b", -5)][..],
        &[("a", 7), ("b", -7)],
        &[("a", 6), ("b", -5), ("fresh", -1)],
        &[("a", 8), ("b", -7), ("fresh", -1)],
    ] {
        assert_eq!(seen.check(&balances(exact)), Ok(()));
    }
    for wrong in [
        &[][..],
        &[("a", 2), ("b", -2)],
        &[("a", 9), ("b", -5), ("refused", -4)],
    ] {
        assert!(seen.check(&balances(wrong)).is_err(), "{wrong:?}");
    }
    // A look that begins now has what was answered meanwhile.
    let late = now.seen_since(&now);
    assert!(late.check(&balances(&[("a", 5), ("b", -5)])).is_err());
}

#[test]
fn the_status_tells_what_became_of_an_unknown_transfer() {
    let mut journal = journal(&[("a", "b", 1, Outcome::Unknown)]);
    let transfer = Transfer {
        sender: "a".to_owned(),
        receiver: "b".to_owned(),
        amount: 2,
    };
    let number = journal.sent(transfer);
    journal.answered(number, Outcome::Unknown, Some("/place".to_owned()));
    for (place, outcome) in journal.open() {
        assert_eq!(place, "/place");
        *outcome = Outcome::Done;
    }
    assert_eq!(journal.open().count(), 0);
    assert_eq!(journal.count(Outcome::Unknown), 1);
    for (paid, is_exact) in [(0, false), (1, false), (2, true), (3, true)] {
        let balances = balances(&[("a", paid), ("b", -paid)]);
        assert_eq!(journal.check(&balances).is_ok(), is_exact, "{paid}");
    }
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
