//! A ledger that is suspect: nobody transfers until it is proven whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use resilient::detach::Tracker;
use resilient::testing::network::{Fate, Happening, Network};
use splitdim::kv::{Kv, KvError, KvRequest, KvService, Put, spawn_embedded};
use splitdim::ledger::{Amount, Transfer};
use splitdim::pipeline::{Ledger, Options, Status, TransferError};
use splitdim::store::Memory;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt, service_fn};
use uuid::Uuid;

use super::ledgers::{self, around, one_of, own, saga};
use super::replica::lost;
use super::schedule::name;
use super::verdict::at_rest;

#[tokio::test(start_paused = true)]
async fn money_from_nowhere_stops_every_replica_until_it_is_gone() {
    let store = own();
    let (one, other) = (tended(&store), tended(&store));
    one.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    sleep(Duration::from_secs(5)).await;

    put(&store, "a", "7").await;
    sleep(Duration::from_secs(4)).await;
    for ledger in [&one, &other] {
        let answer = ledger.transfer(Uuid::now_v7(), transfer()).await;
        assert!(
            matches!(&answer, Err(TransferError::Quarantined { reason, .. }) if reason.contains("summed to 0")),
            "{answer:?}"
        );
        // Reads are as before.
        assert_eq!(ledger.snapshot().await.unwrap().accounts().len(), 2);
    }
    // One that starts now does not take it for whole, though it knows nothing else.
    let third = tended(&store);
    sleep(Duration::from_secs(5)).await;
    assert!(third.transfer(Uuid::now_v7(), transfer()).await.is_err());

    put(&store, "a", "1").await;
    sleep(Duration::from_secs(5)).await;
    for ledger in [&one, &other, &third] {
        ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_lifts_it() {
    let store = own();
    let (one, other) = (tended(&store), tended(&store));
    one.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    put(&store, "a", "7").await;
    sleep(Duration::from_secs(4)).await;
    assert!(other.transfer(Uuid::now_v7(), transfer()).await.is_err());

    one.reset().await.unwrap();
    one.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    other.transfer(Uuid::now_v7(), transfer()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_nobody_has_anything_whoever_looks_first() {
    let store = own();
    let ledger = tended(&store);
    sleep(Duration::from_secs(5)).await;
    ledger.reset().await.unwrap();
    ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    put(&store, "a", "7").await;
    sleep(Duration::from_secs(5)).await;
    let answer = ledger.transfer(Uuid::now_v7(), transfer()).await;
    assert!(
        matches!(&answer, Err(TransferError::Quarantined { reason, .. }) if reason.contains("summed to 0")),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_imported_ledger_may_sum_to_anything_that_stays() {
    let store = own();
    put(&store, "x", "7").await;
    let ledger = tended(&store);
    sleep(Duration::from_secs(5)).await;
    ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_imported_under_a_replica_may_too() {
    let stores = [7, 7 + 1000].map(|epoch| spawn_embedded(Memory::beginning_at(epoch)).0);
    put(&stores[1], "x", "7").await;
    let present = Arc::<AtomicUsize>::default();
    let ledger = tended(&one_of(stores, &present));
    sleep(Duration::from_secs(5)).await;
    present.store(1, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_no_balance_is_no_reason_if_it_takes_no_part() {
    let store = own();
    let ledger = tended(&store);
    sleep(Duration::from_secs(5)).await;
    put(&store, "x", "seven").await;
    sleep(Duration::from_secs(5)).await;
    ledger.transfer(Uuid::now_v7(), transfer()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_cannot_be_finished_stops_every_replica_until_it_can() {
    let store = own();
    let blocked = Arc::new(AtomicBool::new(true));
    // No put of the receiver's cell gets through, from nobody.
    let is_blocked = Arc::clone(&blocked);
    let script = move |request: &KvRequest| {
        let receiver = matches!(request, KvRequest::Put { put, .. } if &*put.key == "b");
        Happening::new(match receiver && is_blocked.load(Ordering::SeqCst) {
            true => Fate::Lost,
            false => Fate::Fine,
        })
    };
    let refused = |_: &KvRequest| KvError::Unavailable("refused".into());
    let network = KvService::new(Network::new(store.clone(), script, refused, lost));
    let (one, other) = (tended(&network), tended(&network));

    let id = Uuid::now_v7();
    let answer = one.transfer(id, transfer()).await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );
    assert_eq!(other.status(id).await.unwrap(), Some(Status::Open));
    // One that starts late has not seen for long what is open, and must not take it for well.
    let (late, late_network) = (Arc::new(Mutex::new(None)), network.clone());
    let starting = Arc::clone(&late);
    tokio::spawn(async move {
        sleep(Duration::from_secs(48)).await;
        *starting.lock().unwrap() = Some(tended(&late_network));
    });
    let elsewhere = Transfer::new(name("c"), name("d"), Amount::new(1).unwrap()).unwrap();
    sleep(Duration::from_secs(50)).await;
    other
        .transfer(Uuid::now_v7(), elsewhere.clone())
        .await
        .unwrap();

    sleep(Duration::from_secs(20)).await;
    let late = late.lock().unwrap().clone().unwrap();
    for ledger in [&one, &other, &late] {
        let answer = ledger.transfer(Uuid::now_v7(), elsewhere.clone()).await;
        assert!(
            matches!(answer, Err(TransferError::Quarantined { .. })),
            "{answer:?}"
        );
    }

    blocked.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(10)).await;
    for ledger in [&one, &other, &late] {
        ledger
            .transfer(Uuid::now_v7(), elsewhere.clone())
            .await
            .unwrap();
    }
    let made = match one.status(id).await.unwrap() {
        Some(Status::Done) => 1,
        Some(Status::Undone) => 0,
        status => panic!("{status:?}"),
    };
    let balances = at_rest(&store).await.unwrap();
    assert_eq!(balances["a"], made);
    assert_eq!(balances.get("b").copied().unwrap_or_default(), -made);
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_has_left_open_is_finished_soon_however_busy_a_person_is() {
    finishes_what_is_left(Duration::from_millis(2), Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_outage_has_left_open_is_finished_by_a_slow_store_too() {
    finishes_what_is_left(Duration::from_millis(80), Duration::from_secs(30)).await;
}

/// Whether it does so within `limit`, where the store takes `delay` for each request.
async fn finishes_what_is_left(delay: Duration, limit: Duration) {
    let begun = Instant::now();
    let is_away = move || begun.elapsed() < Duration::from_secs(30);
    let store = own();
    let slow = KvService::new(service_fn({
        let store = store.clone();
        move |request: KvRequest| {
            let mut store = store.clone();
            async move {
                sleep(delay).await;
                // Nobody can be debited.
                match &request {
                    KvRequest::Put { put, .. } if put.key.starts_with("debtor") && is_away() => {
                        Err(KvError::Unavailable("refused".into()))
                    }
                    _ => store.ready().await?.call(request).await,
                }
            }
        }
    }));
    let ledger = tended(&slow);
    let ids: Vec<_> = (0..16).map(|_| Uuid::now_v7()).collect();
    let mut posts = JoinSet::new();
    for (number, id) in ids.iter().copied().enumerate() {
        let (ledger, debtor) = (ledger.clone(), format!("debtor {number}"));
        posts.spawn(async move {
            ledger
                .transfer(id, ledgers::transfer("busy", &debtor, 1))
                .await
        });
    }
    for answer in posts.join_all().await {
        assert!(
            matches!(answer, Err(TransferError::Unknown { .. })),
            "{answer:?}"
        );
    }
    for number in 0..8 {
        let (ledger, other) = (ledger.clone(), format!("other {number}"));
        tokio::spawn(async move {
            loop {
                let some = ledgers::transfer("busy", &other, 1);
                let _ = ledger.transfer(Uuid::now_v7(), some).await;
            }
        });
    }
    sleep(Duration::from_secs(30)).await;
    assert!(!is_away());
    sleep(limit).await;
    for id in ids {
        let status = ledger.status(id).await.unwrap();
        assert!(
            matches!(status, Some(Status::Done | Status::Undone)),
            "{status:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_comes_late_does_not_lift_it() {
    let (store, is_first) = (own(), Arc::new(AtomicBool::new(true)));
    // The answer to the first look is on its way for long.
    let slow = around(store.clone(), move |request, store| {
        let is_late =
            matches!(request, KvRequest::Get { .. }) && is_first.swap(false, Ordering::SeqCst);
        async move {
            let answer = store.oneshot(request).await;
            if is_late {
                sleep(Duration::from_secs(1)).await;
            }
            answer
        }
    });
    let ledger = saga(slow);
    let early = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.follow_quarantine().await }
    });
    sleep(Duration::from_millis(1)).await;
    let suspicion = r#"{"reason":"something is wrong","sum":0}"#;
    put(&store, "!quarantine", suspicion).await;
    ledger.follow_quarantine().await;
    early.await.unwrap();
    let answer = ledger.transfer(Uuid::now_v7(), transfer()).await;
    assert!(
        matches!(answer, Err(TransferError::Quarantined { .. })),
        "{answer:?}"
    );
}

/// A replica on `store` that looks after the ledger.
fn tended(store: &KvService) -> Ledger {
    let ledger = Ledger::saga(store.clone(), Options::default(), Tracker::new());
    let tending = ledger.clone();
    tokio::spawn(async move { tending.tend().await });
    ledger
}

/// Another program's put.
async fn put(store: &KvService, key: &str, value: &str) {
    let kv = Kv::new(store.clone());
    let (stored, _) = kv.get(key.into()).await.unwrap();
    let put = Put::new(key, value, stored.version);
    kv.put(put, None).await.unwrap();
}

fn transfer() -> Transfer {
    Transfer::new(name("a"), name("b"), Amount::new(1).unwrap()).unwrap()
}
