//! What directed schedules are made of.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use resilient::detach::Tracker;
use splitdim::kv::{KvError, KvRequest, KvResponse, KvService, spawn_embedded};
use splitdim::ledger::{Amount, Name, Transfer};
use splitdim::pipeline::{Ledger, Options};
use splitdim::store::Memory;
use tower::{ServiceExt, service_fn};

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

/// That of `stores` whose number is in `present`.
pub(crate) fn one_of<const N: usize>(
    stores: [KvService; N],
    present: &Arc<AtomicUsize>,
) -> KvService {
    let present = Arc::clone(present);
    KvService::new(service_fn(move |request| {
        stores[present.load(Ordering::SeqCst)]
            .clone()
            .oneshot(request)
    }))
}

/// Resets `store`, whatever its epoch is.
pub(crate) async fn reset(store: &KvService) {
    let reset = KvRequest::Reset { epoch: None };
    store.clone().oneshot(reset).await.unwrap();
}

pub(crate) fn saga(store: KvService) -> Ledger {
    Ledger::saga(store, Options::default(), Tracker::new())
}

pub(crate) fn transactional(store: KvService) -> Ledger {
    Ledger::transactional(store, Options::default(), Tracker::new())
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
