//! What directed schedules are made of.

use splitdim::kv::{KvService, spawn_embedded};
use splitdim::ledger::{Amount, Name, Transfer};
use splitdim::pipeline::Ledger;
use splitdim::store::Memory;

/// A store of our own, with nothing in it.
pub(crate) fn own() -> KvService {
    spawn_embedded(Memory::new()).0
}

pub(crate) fn transfer(sender: &str, receiver: &str, amount: i64) -> Transfer {
    let name = |text| Name::new(text).unwrap();
    Transfer::new(name(sender), name(receiver), Amount::new(amount).unwrap()).unwrap()
}

/// What everybody has, in the order of their names.
pub(crate) async fn balances(ledger: &Ledger) -> Vec<i64> {
    let snapshot = ledger.snapshot().await.unwrap();
    let accounts = snapshot.accounts().iter();
    accounts.map(|account| account.balance).collect()
}
