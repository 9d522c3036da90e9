use std::cmp::Ordering;
use std::sync::Arc;

use serde::Serialize;

use super::Account;

/// A payment that helps to clear the debts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Payment {
    /// Who pays: a debtor.
    pub sender: Arc<str>,
    /// Who is paid: a creditor.
    pub receiver: Arc<str>,
    /// How much, at least 1.
    pub amount: u64,
}

/// Payments that bring every balance to zero; at most one fewer than there are people who are not
/// at zero.
///
/// Debtors and creditors are matched in the order of `accounts` by the north-west-corner rule of
/// transportation problems (Dantzig 1951): each payment brings at least one of its two people to
/// zero. The same accounts give the same payments.
///
/// # Errors
///
/// [`Unbalanced`] if the balances do not sum to zero.
pub fn settle(accounts: &[Account]) -> Result<Vec<Payment>, Unbalanced> {
    let sum: i128 = accounts
        .iter()
        .map(|account| i128::from(account.balance))
        .sum();
    if sum != 0 {
        return Err(Unbalanced { sum });
    }
    let [mut debtors, mut creditors] = sides(accounts)
        .map(|side| side.map(|account| (&account.holder, account.balance.unsigned_abs())));
    let (mut debtor, mut creditor) = (debtors.next(), creditors.next());
    let mut payments = Vec::new();
    while let (Some((sender, owes)), Some((receiver, is_owed))) = (&mut debtor, &mut creditor) {
        let amount = (*owes).min(*is_owed);
        payments.push(Payment {
            sender: Arc::clone(sender),
            receiver: Arc::clone(receiver),
            amount,
        });
        *owes -= amount;
        *is_owed -= amount;
        if *owes == 0 {
            debtor = debtors.next();
        }
        if matches!(creditor, Some((_, 0))) {
            creditor = creditors.next();
        }
    }
    Ok(payments)
}

/// How many payments at least it takes to clear the debts of `accounts`: each is of one debtor and one
/// creditor, and each of them must be in one. It may take more.
#[must_use]
pub fn fewest_payments(accounts: &[Account]) -> usize {
    let [debtors, creditors] = sides(accounts).map(Iterator::count);
    debtors.max(creditors)
}

/// The debtors and the creditors, each in their order.
fn sides(accounts: &[Account]) -> [impl Iterator<Item = &Account>; 2] {
    [Ordering::Less, Ordering::Greater].map(|sign| {
        let same = move |account: &&Account| account.balance.cmp(&0) == sign;
        accounts.iter().filter(same)
    })
}

/// Balances that do not sum to zero: money was lost or invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the balances sum to {sum} instead of 0")]
pub struct Unbalanced {
    /// What they sum to.
    pub sum: i128,
}
