//! Transfers that are made together: what is one's does not become the others'.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use resilient::detach::Tracker;
use splitdim::kv::{Conflict, Kv, KvError, KvRequest, KvResponse, KvService, Put};
use splitdim::ledger::{MAX_BALANCE, Transfer};
use splitdim::pipeline::{Ledger, Options, TransferError};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceExt, service_fn};
use uuid::Uuid;

use super::ledgers::{balances, own, transfer};

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_a_write_and_a_replica_alone_reads_nothing_again() {
    let (reads, writes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counted = (Arc::clone(&reads), Arc::clone(&writes));
    let store = before(own(), move |request| {
        match request {
            KvRequest::Get { .. } => &counted.0,
            _ => &counted.1,
        }
        .fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let ledger = ledger(store);
    for round in 1..=3 {
        assert_eq!(made(&ledger, pairs(30)).await, 30);
        assert_eq!(writes.load(Ordering::SeqCst), round);
        assert_eq!(reads.load(Ordering::SeqCst), 60, "all of them at first");
    }
    let balances = balances(&ledger).await;
    assert!(balances.iter().all(|balance| balance.abs() == 3));
    assert_eq!(balances.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_has_undone_fails_alone() {
    let (store, undone) = (own(), Uuid::now_v7());
    let record = Put::new(
        format!("!t/{undone}"),
        r#"{"result":"undone","sender":"a","receiver":"b","amount":1}"#,
        0,
    );
    let kv = Kv::new(store.clone());
    kv.put(record, None).await.unwrap();
    let ledger = ledger(before(store, |_| Ok(())));
    let others = tokio::spawn({
        let ledger = ledger.clone();
        async move { made(&ledger, pairs(20)).await }
    });
    let one = ledger.transfer(undone, transfer("a", "b", 1)).await;
    assert!(
        matches!(one, Err(TransferError::NotApplied { .. })),
        "{one:?}"
    );
    assert_eq!(others.await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_made_fails_alone() {
    let ledger = ledger(own());
    let most = transfer("rich", "poor", MAX_BALANCE);
    ledger.transfer(Uuid::now_v7(), most).await.unwrap();
    let mut transfers = pairs(20);
    transfers.insert(7, transfer("rich", "one", 1));
    transfers.insert(14, transfer("one", "poor", 1));
    let answers = all(&ledger, transfers).await;
    for (at, answer) in answers.iter().enumerate() {
        match at {
            7 | 14 => assert!(
                matches!(answer, Err(TransferError::OutOfRange { .. })),
                "{answer:?}"
            ),
            _ => assert!(answer.is_ok(), "{answer:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_room_after_another_waits_for_what_becomes_of_that() {
    for is_made in [true, false] {
        let store = before(own(), move |request| match request {
            KvRequest::Transaction { puts, .. }
                if !is_made && puts.iter().any(|put| &*put.key == "first") =>
            {
                Err(KvError::Invalid("on purpose".into()))
            }
            _ => Ok(()),
        });
        let ledger = ledger(store);
        let nearly_all = transfer("rich", "poor", MAX_BALANCE - 10);
        ledger.transfer(Uuid::now_v7(), nearly_all).await.unwrap();
        let mut transfers = pairs(5);
        transfers.insert(1, transfer("rich", "first", 10));
        transfers.insert(3, transfer("rich", "second", 5));
        let answers = all(&ledger, transfers).await;
        for (at, answer) in answers.iter().enumerate() {
            let is_expected = match (at, is_made) {
                (1, false) => matches!(answer, Err(TransferError::NotApplied { .. })),
                (3, true) => matches!(answer, Err(TransferError::OutOfRange { .. })),
                _ => answer.is_ok(),
            };
            assert!(is_expected, "{at}, {is_made}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_refused_for_the_sake_of_one_that_comes_too_late() {
    let writes = Arc::<AtomicUsize>::default();
    let store = own();
    let slow = KvService::new(service_fn(move |request: KvRequest| {
        let is_write = matches!(request, KvRequest::Transaction { .. });
        let is_slow = is_write && writes.fetch_add(1, Ordering::SeqCst) == 1;
        let mut store = store.clone();
        async move {
            if is_slow {
                sleep(Duration::from_millis(3_200)).await;
            }
            store.ready().await?.call(request).await
        }
    }));
    let mut options = Options::default();
    options.patience.attempt_within = None;
    let ledger = Ledger::transactional(slow, options, Tracker::new());
    let post = |sender, receiver, amount| {
        let (ledger, one) = (ledger.clone(), transfer(sender, receiver, amount));
        tokio::spawn(async move { ledger.transfer(Uuid::now_v7(), one).await })
    };
    let nearly_all = post("rich", "poor", MAX_BALANCE - 10);
    nearly_all.await.unwrap().unwrap();
    let slow = post("a", "b", 1);
    sleep(Duration::from_millis(50)).await;
    let late = post("rich", "x", 10);
    sleep(Duration::from_secs(1)).await;
    let in_time = post("rich", "y", 5);
    slow.await.unwrap().unwrap();
    let late = late.await.unwrap();
    assert!(
        matches!(late, Err(TransferError::NotApplied { .. })),
        "{late:?}"
    );
    in_time.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_is_refused_for_its_balance_only_on_a_fresh_read() {
    let store = own();
    let (here, elsewhere) = (ledger(store.clone()), ledger(store));
    let most = transfer("rich", "poor", MAX_BALANCE);
    here.transfer(Uuid::now_v7(), most).await.unwrap();
    let back = transfer("poor", "rich", 5);
    elsewhere.transfer(Uuid::now_v7(), back).await.unwrap();
    // What is remembered here says that there is no room.
    let again = transfer("rich", "poor", 5);
    here.transfer(Uuid::now_v7(), again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_not_read_again_because_another_read_failed() {
    // Every third read fails: no attempt at all of 60 people would succeed at once.
    let asked = AtomicUsize::new(0);
    let store = before(own(), move |request| match request {
        KvRequest::Get { .. } if asked.fetch_add(1, Ordering::SeqCst) % 3 == 2 => {
            Err(KvError::Unavailable("on purpose".into()))
        }
        _ => Ok(()),
    });
    assert_eq!(made(&ledger(store), pairs(2)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_the_store_does_not_take_is_made_in_parts() {
    let store = before(own(), |request| match request {
        KvRequest::Transaction { puts, .. } if puts.len() > 20 => {
            Err(KvError::Invalid("too much".into()))
        }
        _ => Ok(()),
    });
    assert_eq!(made(&ledger(store), pairs(50)).await, 50);
}

#[tokio::test(start_paused = true)]
async fn replicas_on_the_same_accounts_all_get_on() {
    let store = own();
    let slow = || {
        let store = store.clone();
        KvService::new(service_fn(move |request| {
            let mut store = store.clone();
            async move {
                sleep(Duration::from_millis(1)).await;
                let answer = store.ready().await?.call(request).await;
                sleep(Duration::from_millis(1)).await;
                answer
            }
        }))
    };
    let replicas = [ledger(slow()), ledger(slow()), ledger(slow())];
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let ledger = replicas[client % 3].clone();
        clients.spawn(async move {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let begun = tokio::time::Instant::now();
                let hot = transfer("everybody", "somebody", 1);
                ledger.transfer(Uuid::now_v7(), hot).await.unwrap();
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
    }
    let mut slowest = clients.join_all().await;
    slowest.sort_unstable();
    println!("the slowest of each client: {slowest:?}");
    assert!(slowest[63] < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(balances(&replicas[0]).await, [64 * 20, -64 * 20]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_on_a_write_that_may_be_refused() {
    let store = own();
    let sent = Arc::<AtomicUsize>::default();
    let slow = {
        let (store, sent) = (store.clone(), Arc::clone(&sent));
        KvService::new(service_fn(move |request: KvRequest| {
            let mut store = store.clone();
            let is_write = matches!(request, KvRequest::Transaction { .. });
            let number = sent.fetch_add(usize::from(is_write), Ordering::SeqCst);
            async move {
                if is_write {
                    let delays = [0, 10, 20, 30];
                    let delay = delays.get(number).copied().unwrap_or_default();
                    sleep(Duration::from_millis(delay)).await;
                }
                store.ready().await?.call(request).await
            }
        }))
    };
    let mut options = Options {
        is_shared: false,
        ..Options::default()
    };
    options.patience.attempt_within = None;
    let owner = Ledger::transactional(slow, options, Tracker::new());
    let elsewhere = ledger(store);
    let make = |ledger: &Ledger, sender, receiver, amount| {
        let (ledger, some) = (ledger.clone(), transfer(sender, receiver, amount));
        tokio::spawn(async move { ledger.transfer(Uuid::now_v7(), some).await.unwrap() })
    };
    make(&owner, "p", "q", 1).await.unwrap();
    make(&elsewhere, "q", "x", 1).await.unwrap();
    // It will be refused, since q has moved; meanwhile p is changed by others, here and there.
    let refused = make(&owner, "p", "q", 1);
    sleep(Duration::from_millis(5)).await;
    let next = make(&owner, "p", "y", 1);
    sleep(Duration::from_millis(7)).await;
    make(&elsewhere, "p", "z", 5).await.unwrap();
    for making in [refused, next] {
        making.await.unwrap();
    }
    // p, q, x, y, z
    assert_eq!(balances(&elsewhere).await, [8, -1, -1, -1, -5]);
}

/// A store that tells of a refused write only that it was refused.
pub(crate) fn taciturn_store() -> KvService {
    let store = own();
    KvService::new(service_fn(move |request: KvRequest| {
        let mut store = store.clone();
        async move {
            let answer: Result<KvResponse, KvError> = store.ready().await?.call(request).await;
            match answer {
                Err(KvError::Conflict(Conflict::Version { .. })) => {
                    Err(KvError::Conflict(Conflict::somewhere()))
                }
                answer => answer,
            }
        }
    }))
}

/// `store`, which is asked only if `ask` has nothing against it.
fn before(
    store: KvService,
    ask: impl Fn(&KvRequest) -> Result<(), KvError> + Send + Sync + 'static,
) -> KvService {
    let ask = Arc::new(ask);
    KvService::new(service_fn(move |request: KvRequest| {
        let (mut store, ask) = (store.clone(), Arc::clone(&ask));
        async move {
            // Long enough that others come to wait.
            sleep(Duration::from_millis(1)).await;
            ask(&request)?;
            store.ready().await?.call(request).await
        }
    }))
}

fn ledger(store: KvService) -> Ledger {
    Ledger::transactional(store, Options::default(), Tracker::new())
}

/// Transfers of one each between people of their own.
fn pairs(count: usize) -> Vec<Transfer> {
    let pair = |number| transfer(&format!("s{number}"), &format!("r{number}"), 1);
    (0..count).map(pair).collect()
}

/// Makes `transfers` at the same time.
async fn all(ledger: &Ledger, transfers: Vec<Transfer>) -> Vec<Result<(), TransferError>> {
    let making: Vec<_> = transfers
        .into_iter()
        .map(|transfer| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.transfer(Uuid::now_v7(), transfer).await })
        })
        .collect();
    let mut answers = Vec::new();
    for making in making {
        answers.push(making.await.unwrap());
    }
    answers
}

async fn made(ledger: &Ledger, transfers: Vec<Transfer>) -> usize {
    let answers = all(ledger, transfers).await;
    answers.iter().filter(|answer| answer.is_ok()).count()
}
