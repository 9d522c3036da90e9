use proptest::prelude::*;

use super::*;

#[test]
fn a_name_is_trimmed_and_normalized() {
    assert_eq!(name("  Ann\t"), "Ann");
    // "é" as one character and as two.
    assert_eq!(name("Ren\u{e9}"), name("Rene\u{301}"));
}

#[test]
fn a_name_has_1_to_64_characters_after_normalization() {
    assert_eq!(Name::new(" \u{3000}"), Err(InvalidName::Empty));
    assert_eq!(name(&"ä".repeat(64)), "ä".repeat(64));
    assert_eq!(name(&"a\u{308}".repeat(64)), "ä".repeat(64));
    assert_eq!(Name::new(&"ä".repeat(65)), Err(InvalidName::TooLong));
    assert_eq!(Name::new(&"ä".repeat(1 << 20)), Err(InvalidName::TooLong));
}

#[test]
fn a_name_cannot_be_taken_for_a_key_of_the_service() {
    assert_eq!(Name::new(" !t/1"), Err(InvalidName::Reserved));
    assert_eq!(name("t!"), "t!");
}

#[test]
fn a_name_cannot_hide_what_it_is() {
    for hidden in [
        '\0', '\n', '\u{7f}', '\u{85}', '\u{202A}', '\u{202E}', '\u{2066}', '\u{2069}',
    ] {
        assert_eq!(
            Name::new(&format!("a{hidden}b")),
            Err(InvalidName::Control),
            "{hidden:?}"
        );
    }
}

#[test]
fn an_amount_is_from_1_to_what_floating_point_counts_exactly() {
    assert_eq!(Amount::new(0), Err(InvalidAmount::TooSmall));
    assert_eq!(Amount::new(i64::MIN), Err(InvalidAmount::TooSmall));
    assert_eq!(Amount::new(1).map(Amount::get), Ok(1));
    assert_eq!(Amount::new(MAX_BALANCE).map(Amount::get), Ok((1 << 53) - 1));
    assert_eq!(Amount::new(MAX_BALANCE + 1), Err(InvalidAmount::TooLarge));
}

#[test]
fn nobody_transfers_to_themselves() {
    let amount = Amount::new(1).unwrap();
    let same = Transfer::new(
        Name::new("é").unwrap(),
        Name::new("e\u{301}").unwrap(),
        amount,
    );
    assert_eq!(same, Err(SamePerson));
}

#[test]
fn who_is_even_pays_nothing() {
    assert_eq!(settle(&[]), Ok(vec![]));
    assert_eq!(settle(&accounts(&[0, 0])), Ok(vec![]));
}

#[test]
fn debtors_pay_creditors_in_the_order_of_names() {
    let payments = settle(&accounts(&[5, -3, 0, -4, 2])).unwrap();
    let payments: Vec<_> = payments
        .iter()
        .map(|payment| (&*payment.sender, &*payment.receiver, payment.amount))
        .collect();
    assert_eq!(
        payments,
        [("001", "000", 3), ("003", "000", 2), ("003", "004", 2)]
    );
}

#[test]
fn everybody_who_is_not_even_is_in_a_payment() {
    for (balances, fewest) in [
        (&[][..], 0),
        (&[0, 0], 0),
        (&[5, -5], 1),
        (&[5, -3, 0, -4, 2], 2),
        (&[-1, -1, -1, 3], 3),
    ] {
        assert_eq!(fewest_payments(&accounts(balances)), fewest, "{balances:?}");
    }
}

#[test]
fn a_ledger_that_does_not_sum_to_zero_is_an_error() {
    assert_eq!(settle(&accounts(&[1])), Err(Unbalanced { sum: 1 }));
    let sum = 2 * i128::from(i64::MIN);
    assert_eq!(
        settle(&accounts(&[i64::MIN, i64::MIN])),
        Err(Unbalanced { sum })
    );
}

#[test]
fn even_the_largest_balances_are_settled() {
    let payments = settle(&accounts(&[i64::MIN, i64::MAX, 1])).unwrap();
    let paid: u64 = payments.iter().map(|payment| payment.amount).sum();
    assert_eq!(paid, i64::MIN.unsigned_abs());
}

proptest! {
    #[test]
    fn payments_clear_all_debts(mut balances in prop::collection::vec(-1000_i64..1000, 0..40)) {
        let sum: i64 = balances.iter().sum();
        balances.push(-sum);
        let accounts = accounts(&balances);
        let payments = settle(&accounts).unwrap();

        let people = balances.iter().filter(|balance| **balance != 0).count();
        prop_assert!(payments.len() <= people.saturating_sub(1));
        prop_assert!(payments.len() >= fewest_payments(&accounts));
        let mut left = balances.clone();
        for Payment { sender, receiver, amount } in &payments {
            let amount = i64::try_from(*amount).unwrap();
            let (sender, receiver) = (index(sender), index(receiver));
            prop_assert!(amount > 0);
            prop_assert!(balances[sender] < 0, "only debtors pay");
            prop_assert!(balances[receiver] > 0, "only creditors are paid");
            left[sender] += amount;
            left[receiver] -= amount;
        }
        prop_assert!(left.iter().all(|balance| *balance == 0), "left: {left:?}");
        prop_assert_eq!(settle(&accounts).unwrap(), payments, "the same accounts, the same payments");
    }

    #[test]
    fn a_name_that_exists_is_valid_and_stays_as_it_is(text in "\\PC{0,70}|[ -~éa\u{300}-\u{36f}\u{202a}-\u{202e}]{0,70}") {
        if let Ok(name) = Name::new(&text) {
            let again = Name::new(name.as_str());
            prop_assert_eq!(again.as_ref(), Ok(&name));
            prop_assert!((1..=64).contains(&name.as_str().chars().count()));
        }
    }
}

fn name(text: &str) -> String {
    Name::new(text).unwrap().to_string()
}

fn accounts(balances: &[i64]) -> Vec<Account> {
    let account = |(index, balance): (usize, &i64)| Account {
        holder: format!("{index:03}").into(),
        balance: *balance,
    };
    balances.iter().enumerate().map(account).collect()
}

fn index(holder: &str) -> usize {
    holder.parse().unwrap()
}
