//! What directed schedules are made of.

use std::future::Future;

use splitdim::kv::{KvError, KvRequest, KvResponse, KvService, spawn_embedded};
use splitdim::ledger::{Amount, Name, Transfer};
use splitdim::pipeline::Ledger;
use splitdim::store::Memory;
use tower::service_fn;

/// A store of our own, with nothing in it.
pub(crate) fn own() -> KvService {
    spawn_embedded(Memory::new()).0
}

/// `store`, to which `act` comes between it and each request.
pub(crate) fn around<F, R>(store: KvService, act: F) -> KvService
where
    F: Fn(KvRequest, KvService) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<KvResponse, KvError>> + Send + 'static,
{
    KvService::new(service_fn(move |request| act(request, store.clone())))
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
