use crate::kv::Versioned;
use crate::ledger::MAX_BALANCE;

/// The balance that a stored value holds: zero for a key that is not there, `None` for what is no
/// integer, and so not ours to change.
pub(super) fn parse(stored: &Versioned) -> Option<i64> {
    if stored.version == 0 && stored.value.is_empty() {
        Some(0)
    } else {
        stored.value.parse().ok()
    }
}

/// `balance` changed by `delta`, or `None` where that leaves ±[`MAX_BALANCE`].
pub(super) fn change(balance: i64, delta: i64) -> Option<i64> {
    balance
        .checked_add(delta)
        .filter(|sum| (-MAX_BALANCE..=MAX_BALANCE).contains(sum))
}
