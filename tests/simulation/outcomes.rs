//! Directed schedules: what is answered when nothing helps, when the store hangs, when the ledger is
//! reset in the middle, and when it holds what it should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use resilient::detach::Tracker;
use resilient::testing::network::{Fate, Happening, Network};
use tokio::time::sleep;
use tower::{Service, ServiceExt, service_fn};
use uuid::Uuid;

use super::ledgers::{around, one_of, own, reset, saga, transactional, transfer};
use super::plain_store::plain_store;
use super::replica::lost;

use splitdim::kv::{Kv, KvError, KvRequest, KvService, Put, spawn_embedded};
use splitdim::ledger::MAX_BALANCE;
use splitdim::pipeline::{Ledger, Options, Status, TransferError};
use splitdim::store::Memory;

#[tokio::test(start_paused = true)]
async fn a_transfer_that_was_given_up_never_happens_later() {
    let store = own();
    // Every transfer comes too late; the tombstone, which is alone, comes in time.
    let network = faulty(store.clone(), |request| match request {
        KvRequest::Transaction { puts, .. } if puts.len() > 1 => {
            (Fate::Late, Duration::from_millis(200))
        }
        _ => (Fate::Fine, Duration::ZERO),
    });
    let answer = transactional(network)
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await;
    assert!(
        matches!(answer, Err(TransferError::NotApplied { .. })),
        "{answer:?}"
    );

    sleep(Duration::from_secs(60)).await;
    assert_eq!(balances(&transactional(store)).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_know_is_answered_unknown() {
    let store = own();
    let network = faulty(store, |request| match request {
        KvRequest::Get { .. } => (Fate::Fine, Duration::ZERO),
        _ => (Fate::Lost, Duration::ZERO),
    });
    let answer = transactional(network)
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_answered_in_time_and_for_certain() {
    let store = own();
    let network = faulty(store, |_| (Fate::Refused, Duration::ZERO));
    let begun = tokio::time::Instant::now();
    let answer = transactional(network)
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await;
    assert!(
        matches!(answer, Err(TransferError::NotApplied { .. })),
        "{answer:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_under_way_are_refused_as_such() {
    let slow = || faulty(own(), |_| (Fate::Fine, Duration::from_millis(10)));
    let options = Options {
        max_in_flight: 1,
        ..Options::default()
    };
    for ledger in [
        Ledger::saga(slow(), options, Tracker::new()),
        Ledger::transactional(slow(), options, Tracker::new()),
    ] {
        let make = || ledger.transfer(Uuid::now_v7(), transfer("a", "b", 5));
        let (first, second) = tokio::join!(make(), make());
        first.unwrap();
        assert!(
            matches!(second, Err(TransferError::Overloaded { .. })),
            "{second:?}"
        );
        assert_eq!(balances(&ledger).await[0].1, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_answered_in_time_and_its_work_goes_on() {
    let store = own();
    let network = faulty(store.clone(), |request| match request {
        KvRequest::Transaction { .. } => (Fate::Fine, Duration::from_secs(5)),
        _ => (Fate::Fine, Duration::ZERO),
    });
    // No limit for an attempt, as for a store in the same process: its answer is certain to come.
    let mut options = Options::default();
    options.patience.attempt_within = None;
    let patient = Ledger::transactional(network, options, Tracker::new());
    let answer = patient
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );

    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        balances(&transactional(store)).await,
        [("a".into(), 5), ("b".into(), -5)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_in_time_is_never_sent() {
    let store = own();
    let network = faulty(store.clone(), |_| (Fate::Fine, Duration::from_secs(3)));
    let answer = transactional(network)
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await;
    assert!(
        matches!(answer, Err(TransferError::NotApplied { .. })),
        "{answer:?}"
    );

    sleep(Duration::from_secs(60)).await;
    assert_eq!(balances(&transactional(store)).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_made_before_a_reset_is_unknown() {
    // Of the first write that is made the answer is lost, and a reset follows; what comes later is lost, or not.
    for (is_later_lost, is_saga) in [(true, false), (false, false), (true, true), (false, true)] {
        let is_first = Arc::new(AtomicBool::new(true));
        let network = around(own(), move |request, store| {
            let is_first = Arc::clone(&is_first);
            async move {
                if !is_write(&request) {
                    return store.oneshot(request).await;
                }
                let is_first = is_first.swap(false, Ordering::Relaxed);
                if is_first || !is_later_lost {
                    let answer = store.clone().oneshot(request).await;
                    if !is_first {
                        return answer;
                    }
                    answer.unwrap();
                    reset(&store).await;
                }
                Err(KvError::Unknown("lost".into()))
            }
        });
        let ledger = match is_saga {
            true => saga(network),
            false => transactional(network),
        };
        is_unknown_for_ever(&ledger).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_half_made_before_a_reset_is_unknown() {
    // Whoever reads sees it as made once its sender's cell has it.
    let is_first = Arc::new(AtomicBool::new(true));
    let resetting = around(own(), move |request, store| {
        let is_first = Arc::clone(&is_first);
        async move {
            let is_credit = is_write(&request) && is_first.swap(false, Ordering::Relaxed);
            let answer = store.clone().oneshot(request).await;
            if is_credit {
                reset(&store).await;
            }
            answer
        }
    });
    is_unknown_for_ever(&saga(resetting)).await;
}

#[tokio::test(start_paused = true)]
async fn what_meets_a_reset_with_its_first_write_is_made_after_it() {
    for way in [transactional, saga] {
        let is_first = Arc::new(AtomicBool::new(true));
        let resetting = around(own(), move |request, store| {
            let is_first = Arc::clone(&is_first);
            async move {
                if is_write(&request) && is_first.swap(false, Ordering::Relaxed) {
                    reset(&store).await;
                }
                store.oneshot(request).await
            }
        });
        let (ledger, id) = (way(resetting), Uuid::now_v7());
        ledger.transfer(id, transfer("a", "b", 5)).await.unwrap();
        assert_eq!(ledger.status(id).await.unwrap(), Some(Status::Done));
        let expected = [("a", 5), ("b", -5)].map(|(person, balance)| (person.to_owned(), balance));
        assert_eq!(balances(&ledger).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_that_was_lost_is_not_taken_for_made_where_the_store_has_become_another_one() {
    let stores = [7, 7 + 1000, 3].map(|epoch| spawn_embedded(Memory::beginning_at(epoch)).0);
    for (other, is_known) in [(0, true), (1, false), (2, false)] {
        let present = Arc::<AtomicUsize>::default();
        let (switching, is_first) = (Arc::clone(&present), Arc::new(AtomicBool::new(true)));
        let losing = around(one_of(stores.clone(), &present), move |request, store| {
            let is_reset = matches!(request, KvRequest::Reset { .. });
            let is_lost = is_reset && is_first.swap(false, Ordering::SeqCst);
            if is_lost {
                switching.store(other, Ordering::SeqCst);
            }
            async move {
                match is_lost {
                    true => Err(KvError::Unknown("lost".into())),
                    false => store.oneshot(request).await,
                }
            }
        });
        let ledger = transactional(losing);
        let answer = ledger.reset().await;
        assert_eq!(answer.is_ok(), is_known, "{other}: {answer:?}");
        if !is_known {
            assert!(matches!(answer, Err(KvError::Unknown(_))), "{answer:?}");
        }
    }
}

/// Transfers: what may have been seen as made before a reset must not be called unmade, or made again.
async fn is_unknown_for_ever(ledger: &Ledger) {
    let id = Uuid::now_v7();
    let answer = ledger.transfer(id, transfer("a", "b", 5)).await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );
    let tended = ledger.clone();
    let tending = tokio::spawn(async move { tended.tend().await });
    sleep(Duration::from_secs(60)).await;
    tending.abort();
    assert_eq!(ledger.status(id).await.unwrap(), None);
    assert_eq!(balances(ledger).await, []);
}

fn is_write(request: &KvRequest) -> bool {
    matches!(
        request,
        KvRequest::Put { .. } | KvRequest::Transaction { .. }
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_left_in_doubt_where_nobody_else_is_does_not_stay_open() {
    // Of transactions nothing is heard, and nothing is made; single puts go on.
    let network = faulty(own(), |request| match request {
        KvRequest::Transaction { .. } => (Fate::Lost, Duration::ZERO),
        _ => (Fate::Fine, Duration::ZERO),
    });
    let mut options = Options {
        is_shared: false,
        ..Options::default()
    };
    options.patience.attempt_within = None;
    let ledger = Ledger::transactional(network, options, Tracker::new());
    let tended = ledger.clone();
    tokio::spawn(async move { tended.tend().await });
    // It has looked, and found nothing to do.
    sleep(Duration::from_secs(10)).await;
    let id = Uuid::now_v7();
    let answer = ledger.transfer(id, transfer("a", "b", 5)).await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );
    assert_eq!(ledger.status(id).await.unwrap(), Some(Status::Open));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(ledger.status(id).await.unwrap(), Some(Status::Undone));
    let balances = balances(&ledger).await;
    assert!(
        balances.iter().all(|(_, balance)| *balance == 0),
        "{balances:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_comes_to_stand_behind_a_slow_reset_is_not_made_for_certain() {
    let store = own();
    let was_reset = Arc::<AtomicBool>::default();
    let behind_a_reset = KvService::new(service_fn({
        let store = store.clone();
        move |request: KvRequest| {
            let mut store = store.clone();
            let is_first = matches!(request, KvRequest::Transaction { .. })
                && !was_reset.swap(true, Ordering::SeqCst);
            async move {
                if is_first {
                    reset(&store).await;
                    sleep(Duration::from_millis(3_200)).await;
                }
                store.ready().await?.call(request).await
            }
        }
    }));
    let mut options = Options::default();
    options.patience.attempt_within = None;
    let ledger = Ledger::transactional(behind_a_reset, options, Tracker::new());
    let answer = ledger.transfer(Uuid::now_v7(), transfer("a", "b", 5));
    let answer = answer.await;
    assert!(
        matches!(answer, Err(TransferError::NotApplied { .. })),
        "{answer:?}"
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(balances(&ledger).await, []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_store_that_does_not_tell_of_resets() {
    let store = plain_store();
    let replica = || Ledger::saga(store.clone(), Options::default(), Tracker::new());
    let (here, elsewhere) = (replica(), replica());
    let make = async |ledger: &Ledger, amount| {
        let made = ledger.transfer(Uuid::now_v7(), transfer("a", "b", amount));
        made.await.unwrap();
    };
    make(&elsewhere, 100).await;
    here.reset().await.unwrap();
    // The same versions come again.
    make(&here, 1).await;
    make(&elsewhere, 5).await;
    let expected = [("a".to_owned(), 6), ("b".to_owned(), -6)];
    assert_eq!(balances(&here).await, expected);
}

#[tokio::test(start_paused = true)]
async fn slow_lists_are_finished_though_those_who_asked_have_gone() {
    let store = own();
    let network = faulty(store.clone(), |_| (Fate::Fine, Duration::from_millis(2500)));
    let slow = transactional(network);
    let mut polls = Vec::new();
    for poll in 0..200 {
        // Each changes something, so that there is something to list.
        let (slow, writer) = (slow.clone(), transactional(store.clone()));
        polls.push(tokio::spawn(async move {
            sleep(Duration::from_millis(100) * poll).await;
            writer
                .transfer(Uuid::now_v7(), transfer("a", "b", 1))
                .await
                .unwrap();
            tokio::time::timeout(Duration::from_millis(4500), slow.snapshot())
                .await
                .is_ok()
        }));
    }
    let mut answered = 0;
    for poll in polls {
        answered += usize::from(poll.await.unwrap());
    }
    assert!(answered > 100, "{answered} of 200 were answered");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_meets_a_reset_is_wholly_after_it() {
    let store = own();
    transactional(store.clone())
        .transfer(Uuid::now_v7(), transfer("a", "b", 7))
        .await
        .unwrap();
    // The reset comes between the reads and the first write.
    let resetting = store.clone();
    let met = Arc::new(AtomicBool::new(false));
    let network = KvService::new(tower::service_fn(move |request: KvRequest| {
        let write = matches!(request, KvRequest::Transaction { .. });
        let is_reset = write && !met.swap(true, Ordering::Relaxed);
        let mut store = resetting.clone();
        async move {
            if is_reset {
                reset(&store).await;
            }
            store.ready().await?.call(request).await
        }
    }));
    transactional(network)
        .transfer(Uuid::now_v7(), transfer("a", "b", 5))
        .await
        .unwrap();
    assert_eq!(
        balances(&transactional(store)).await,
        [("a".into(), 5), ("b".into(), -5)]
    );
}

#[tokio::test]
async fn a_balance_stays_within_what_is_counted() {
    let store = own();
    let ledger = transactional(store);
    ledger
        .transfer(Uuid::now_v7(), transfer("a", "b", MAX_BALANCE))
        .await
        .unwrap();
    for (sender, receiver) in [("a", "c"), ("c", "b")] {
        let answer = ledger
            .transfer(Uuid::now_v7(), transfer(sender, receiver, 1))
            .await;
        assert!(
            matches!(answer, Err(TransferError::OutOfRange { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(
        balances(&ledger).await,
        [("a".into(), MAX_BALANCE), ("b".into(), -MAX_BALANCE)]
    );
}

#[tokio::test]
async fn what_is_no_balance_is_never_overwritten() {
    let store = own();
    let kv = Kv::new(store.clone());
    let foreign = Put::new("a", "seven", 0);
    kv.put(foreign, None).await.unwrap();
    let ledger = transactional(store);
    for (sender, receiver) in [("a", "b"), ("b", "a")] {
        let answer = ledger
            .transfer(Uuid::now_v7(), transfer(sender, receiver, 1))
            .await;
        assert!(
            matches!(answer, Err(TransferError::Unreadable { .. })),
            "{answer:?}"
        );
    }
    assert_eq!(&*kv.get("a".into()).await.unwrap().0.value, "seven");
    assert_eq!(balances(&ledger).await, []);
}

/// `store` behind a network: `fate` tells what becomes of each request, and how long it takes.
fn faulty(
    store: KvService,
    mut fate: impl FnMut(&KvRequest) -> (Fate, Duration) + Send + 'static,
) -> KvService {
    let script = move |request: &KvRequest| {
        let (fate, before) = fate(request);
        Happening {
            before,
            late_by: before * 40,
            ..Happening::new(fate)
        }
    };
    let refused = |_: &KvRequest| KvError::Unavailable("refused".into());
    KvService::new(Network::new(store, script, refused, lost))
}

async fn balances(ledger: &Ledger) -> Vec<(String, i64)> {
    let snapshot = ledger.snapshot().await.unwrap();
    snapshot
        .accounts()
        .iter()
        .map(|account| (account.holder.to_string(), account.balance))
        .collect()
}
