//! Transfers that are posted again and again under one key are made once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use resilient::detach::Tracker;
use resilient::testing::network::{Fate, Happening, Network};
use splitdim::kv::{Kv, KvError, KvRequest, KvService, Put, spawn_embedded};
use splitdim::ledger::MAX_BALANCE;
use splitdim::pipeline::{ClientKey, Ledger, Options, Status, TransferError};
use splitdim::store::Memory;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt, service_fn};
use uuid::Uuid;

use super::ledgers::{balances, one_of, own, reset, saga, transactional, transfer};
use super::plain_store::plain_store;
use super::replica::lost;

#[tokio::test(start_paused = true)]
async fn who_posts_the_same_at_the_same_time_makes_it_once() {
    let (mixed, plain) = (own(), plain_store());
    for replicas in [
        vec![
            saga(mixed.clone()),
            transactional(mixed.clone()),
            transactional(mixed),
        ],
        vec![saga(plain.clone()), saga(plain)],
    ] {
        let mut posts = JoinSet::new();
        for post in 0..20 {
            let ledger = replicas[post % replicas.len()].clone();
            posts.spawn(async move { once(&ledger, "k", 5).await.unwrap() });
        }
        let ids = posts.join_all().await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(balances(&replicas[0]).await, [5, -5]);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_writes_it_is_made_once() {
    for is_meant in [is_claim, is_no_claim] {
        for fate in [Fate::Lost, Fate::Unanswered, Fate::Doubled, Fate::Late] {
            for times in 1..=3 {
                for way in [saga, transactional] {
                    let store = own();
                    let disturbed = AtomicUsize::new(0);
                    let ledger = way(network(store, move |request| {
                        let is_early = || disturbed.fetch_add(1, Ordering::SeqCst) < times;
                        match is_meant(request) && is_early() {
                            true => fate,
                            false => Fate::Fine,
                        }
                    }));
                    let mut tries = 0;
                    let id = loop {
                        tries += 1;
                        match once(&ledger, "k", 5).await {
                            Ok(id) => break id,
                            Err(error) => assert!(tries < 9, "{fate:?}, {times}: {error}"),
                        }
                    };
                    // What comes late has come.
                    sleep(Duration::from_secs(60)).await;
                    assert_eq!(once(&ledger, "k", 5).await.unwrap(), id);
                    assert_eq!(ledger.status(id).await.unwrap(), Some(Status::Done));
                    assert_eq!(balances(&ledger).await, [5, -5], "{fate:?}, {times}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_free_again_when_its_transfer_was_not_made() {
    for ledger in [saga(own()), transactional(own())] {
        let most = transfer("a", "c", MAX_BALANCE);
        ledger.transfer(Uuid::now_v7(), most).await.unwrap();
        let full = once(&ledger, "k", 5).await;
        assert!(
            matches!(full, Err(TransferError::OutOfRange { .. })),
            "{full:?}"
        );
        let back = transfer("c", "a", 10);
        ledger.transfer(Uuid::now_v7(), back).await.unwrap();
        let id = once(&ledger, "k", 5).await.unwrap();
        assert_eq!(once(&ledger, "k", 5).await.unwrap(), id);
        let expected = [MAX_BALANCE - 5, -5, 10 - MAX_BALANCE];
        assert_eq!(balances(&ledger).await, expected);
        let other = once(&ledger, "k", 6).await;
        assert!(
            matches!(other, Err(TransferError::KeyTaken { id: taken }) if taken == id),
            "{other:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_answered_in_time_and_the_key_stays_free() {
    // Another may have made it under this key before.
    let is_away = Arc::new(AtomicBool::new(true));
    let away = Arc::clone(&is_away);
    let ledger = transactional(network(own(), move |_| match away.load(Ordering::SeqCst) {
        true => Fate::Refused,
        false => Fate::Fine,
    }));
    let begun = Instant::now();
    let answer = once(&ledger, "k", 5).await;
    assert!(
        matches!(answer, Err(TransferError::Unclaimed { .. })),
        "{answer:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    is_away.store(false, Ordering::SeqCst);
    once(&ledger, "k", 5).await.unwrap();
    assert_eq!(balances(&ledger).await, [5, -5]);
}

#[tokio::test(start_paused = true)]
async fn a_store_in_trouble_is_not_asked_more_for_keys() {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let ledger = transactional(network(own(), move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Fate::Refused
    }));
    let mut posts = JoinSet::new();
    for post in 0..300 {
        let ledger = ledger.clone();
        posts.spawn(async move {
            sleep(Duration::from_millis(post * 10)).await;
            once(&ledger, &post.to_string(), 5).await
        });
    }
    let answers = posts.join_all().await;
    assert!(answers.iter().all(Result::is_err));
    // Nothing was put, so nothing is given back. Each asks once; retries are those of the budget.
    sleep(Duration::from_secs(60)).await;
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 300 + 75, "{asked}");
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_for_keys_than_may() {
    let slow = KvService::new(service_fn({
        let store = own();
        move |request| {
            let mut store = store.clone();
            async move {
                sleep(Duration::from_millis(100)).await;
                store.ready().await?.call(request).await
            }
        }
    }));
    let options = Options {
        max_in_flight: 2,
        ..Options::default()
    };
    let ledger = Ledger::saga(slow, options, Tracker::new());
    let mut posts = JoinSet::new();
    for post in 0..5 {
        let ledger = ledger.clone();
        posts.spawn(async move { once(&ledger, &post.to_string(), 1).await });
    }
    let mut refused = 0;
    for answer in posts.join_all().await {
        match answer {
            Ok(_) => {}
            Err(TransferError::Unclaimed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(balances(&ledger).await, [2, -2]);
}

#[tokio::test(start_paused = true)]
async fn in_quarantine_no_key_is_claimed_and_what_was_made_is_told() {
    for way in [saga, transactional] {
        let store = own();
        let ledger = way(store.clone());
        let id = once(&ledger, "made", 5).await.unwrap();
        let reason = r#"{"reason":"something is wrong","sum":0}"#;
        let kv = Kv::new(store);
        kv.put(Put::new("!quarantine", reason, 0), None)
            .await
            .unwrap();
        ledger.follow_quarantine().await;
        assert_eq!(once(&ledger, "made", 5).await.unwrap(), id);
        let refused = once(&ledger, "new", 5).await;
        assert!(
            matches!(refused, Err(TransferError::Quarantined { .. })),
            "{refused:?}"
        );
        let (claim, _) = kv.get("!k/new".into()).await.unwrap();
        assert_eq!(claim.version, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_claimed_after_a_reset_is_free_again() {
    let (store, is_first) = (own(), AtomicBool::new(true));
    // The ledger is reset between the look at the key and the claim.
    let resetting = KvService::new(service_fn({
        let (store, is_first) = (store.clone(), Arc::new(is_first));
        move |request: KvRequest| {
            let (mut store, is_first) = (store.clone(), Arc::clone(&is_first));
            async move {
                if is_claim(&request) && is_first.swap(false, Ordering::SeqCst) {
                    reset(&store).await;
                    let all = transfer("a", "c", MAX_BALANCE);
                    let before = transactional(store.clone());
                    before.transfer(Uuid::now_v7(), all).await.unwrap();
                }
                store.ready().await?.call(request).await
            }
        }
    }));
    let ledger = transactional(resetting);
    let full = once(&ledger, "k", 5).await;
    assert!(
        matches!(full, Err(TransferError::OutOfRange { .. })),
        "{full:?}"
    );
    sleep(Duration::from_secs(1)).await;
    let (claim, _) = Kv::new(store).get("!k/k".into()).await.unwrap();
    assert_eq!((&*claim.value, claim.version), ("", 2));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_put_was_in_doubt_is_given_back() {
    for (fate, is_over_undone) in [
        (Fate::Unanswered, false),
        (Fate::Late, false),
        (Fate::Unanswered, true),
        (Fate::Late, true),
    ] {
        let (store, claimed) = (own(), OnceLock::new());
        if is_over_undone {
            claim_what_is_undone(&store).await;
        }
        // Longer than it takes to give the name back once the store answers again.
        let late_by = Duration::from_secs(15);
        let ledger = transactional(late_network(late_by, store, move |request| {
            let is_first = claimed.get().is_none();
            let since: Instant = match is_claim(request) {
                true => *claimed.get_or_init(Instant::now),
                false => *claimed.get().unwrap_or(&Instant::now()),
            };
            match since.elapsed() < Duration::from_millis(4500) {
                true if is_claim(request) && is_first => fate,
                true if !is_first => Fate::Refused,
                _ => Fate::Fine,
            }
        }));
        let answer = once(&ledger, "k", 5).await;
        assert!(
            matches!(answer, Err(TransferError::Unclaimed { .. })),
            "{answer:?}"
        );
        sleep(Duration::from_secs(20)).await;
        once(&ledger, "k", 5).await.unwrap();
        assert_eq!(balances(&ledger).await, [5, -5]);
    }
}

/// Leaves the key claimed for a transfer that is undone.
async fn claim_what_is_undone(store: &KvService) {
    let ledger = transactional(network(store.clone(), |request| match request {
        KvRequest::Transaction { puts, .. } if puts.len() > 1 => Fate::Lost,
        KvRequest::Put { put, .. } if put.value.is_empty() => Fate::Refused,
        _ => Fate::Fine,
    }));
    let answer = once(&ledger, "k", 5).await;
    assert!(
        matches!(answer, Err(TransferError::NotApplied { .. })),
        "{answer:?}"
    );
    let (claim, _) = Kv::new(store.clone()).get("!k/k".into()).await.unwrap();
    assert_eq!(claim.version, 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_and_loses_sight_of_it_does_not_say_that_it_was_not_made() {
    let store = own();
    let slow = KvService::new(service_fn({
        let store = store.clone();
        move |request| {
            let mut store = store.clone();
            async move {
                if matches!(request, KvRequest::Transaction { .. }) {
                    sleep(Duration::from_secs(3)).await;
                }
                store.ready().await?.call(request).await
            }
        }
    }));
    let mut options = Options::default();
    options.patience.attempt_within = None;
    let making = Ledger::transactional(slow, options, Tracker::new());
    let making = tokio::spawn(async move { once(&making, "k", 5).await });
    sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    let waiting = transactional(network(store, move |_| {
        match begun.elapsed() < Duration::from_secs(1) {
            true => Fate::Fine,
            false => Fate::Refused,
        }
    }));
    let waited = once(&waiting, "k", 5).await;
    let made = making.await.unwrap().unwrap();
    assert!(
        matches!(waited, Err(TransferError::Unknown { id, .. }) if id == made),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_named_before_a_reset_is_not_made_after_it() {
    for way in [saga, transactional] {
        let store = own();
        let was_reset = Arc::new(AtomicBool::new(false));
        // The ledger is reset once the key is claimed.
        let resetting = KvService::new(service_fn({
            let store = store.clone();
            move |request: KvRequest| {
                let (mut store, was_reset) = (store.clone(), Arc::clone(&was_reset));
                async move {
                    let is_claim = is_claim(&request);
                    let answer = store.ready().await?.call(request).await;
                    if is_claim && !was_reset.swap(true, Ordering::SeqCst) {
                        reset(&store).await;
                    }
                    answer
                }
            }
        }));
        let ledger = way(resetting);
        let answer = once(&ledger, "k", 5).await;
        assert!(
            matches!(answer, Err(TransferError::NotApplied { .. })),
            "{answer:?}"
        );
        let id = once(&ledger, "k", 5).await.unwrap();
        assert_eq!(once(&ledger, "k", 5).await.unwrap(), id);
        assert_eq!(balances(&ledger).await, [5, -5]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_from_before_a_reset_keeps_no_named_transfer_out() {
    for way in [saga, transactional] {
        let store = own();
        let ledger = way(store.clone());
        let first = ledger.transfer(Uuid::now_v7(), transfer("a", "b", 5));
        first.await.unwrap();
        // By somebody of whom this ledger knows nothing.
        reset(&store).await;
        once(&ledger, "k", 5).await.unwrap();
        assert_eq!(balances(&ledger).await, [5, -5]);
    }
}

#[tokio::test(start_paused = true)]
async fn nor_does_what_is_remembered_of_a_store_that_was_emptied_where_the_time_is_earlier() {
    for way in [saga, transactional] {
        let present = Arc::<AtomicUsize>::default();
        let stores = [7, 3].map(|epoch| spawn_embedded(Memory::beginning_at(epoch)).0);
        let ledger = way(one_of(stores, &present));
        let first = ledger.transfer(Uuid::now_v7(), transfer("a", "b", 5));
        first.await.unwrap();
        present.store(1, Ordering::SeqCst);
        once(&ledger, "k", 5).await.unwrap();
        assert_eq!(balances(&ledger).await, [5, -5]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_meets_a_reset_is_wholly_after_it_if_it_has_no_name_or_not_known_if_it_may_be_before()
{
    for is_made_before in [false, true] {
        let store = own();
        let transactions = Arc::new(AtomicUsize::new(0));
        let resetting = KvService::new(service_fn({
            let store = store.clone();
            move |request: KvRequest| {
                let (mut store, transactions) = (store.clone(), Arc::clone(&transactions));
                async move {
                    let number = match request {
                        KvRequest::Transaction { .. } => {
                            transactions.fetch_add(1, Ordering::SeqCst)
                        }
                        _ => usize::MAX,
                    };
                    match number {
                        // The others are to come together.
                        0 => sleep(Duration::from_millis(100)).await,
                        1 if is_made_before => {
                            store.ready().await?.call(request).await?;
                            reset(&store).await;
                            return Err(KvError::Unknown("its answer was lost".into()));
                        }
                        1 => reset(&store).await,
                        _ => {}
                    }
                    store.ready().await?.call(request).await
                }
            }
        }));
        let ledger = transactional(resetting);
        let plain = |sender: &str, receiver: &str| {
            let (ledger, transfer) = (ledger.clone(), transfer(sender, receiver, 1));
            tokio::spawn(async move { ledger.transfer(Uuid::now_v7(), transfer).await })
        };
        let before = plain("x", "y");
        sleep(Duration::from_millis(10)).await;
        let beside = plain("c", "d");
        let named = once(&ledger, "k", 5).await;
        before.await.unwrap().unwrap();
        let beside = beside.await.unwrap();
        match is_made_before {
            true => {
                assert!(
                    matches!(named, Err(TransferError::Unknown { .. })),
                    "{named:?}"
                );
                assert!(
                    matches!(beside, Err(TransferError::Unknown { .. })),
                    "{beside:?}"
                );
                // Nothing of it comes after the reset.
                sleep(Duration::from_secs(60)).await;
                assert!(balances(&ledger).await.is_empty());
            }
            false => {
                assert!(
                    matches!(named, Err(TransferError::NotApplied { .. })),
                    "{named:?}"
                );
                beside.unwrap();
                assert_eq!(balances(&ledger).await, [1, -1]);
            }
        }
        // Its key was forgotten, and whoever comes with it again makes it: once.
        let id = once(&ledger, "k", 5).await.unwrap();
        assert_eq!(once(&ledger, "k", 5).await.unwrap(), id);
        assert_eq!(balances(&ledger).await[..2], [5, -5]);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_claim_without_a_trace_it_is_not_known_what_becomes() {
    let store = own();
    // Whoever claims the key crashes before anything else.
    let crashing = transactional(network(store.clone(), |request| match request {
        KvRequest::Transaction { .. } => Fate::Lost,
        _ => Fate::Fine,
    }));
    let crashing = tokio::spawn(async move { once(&crashing, "k", 5).await });
    sleep(Duration::from_millis(1)).await;
    crashing.abort();
    let ledger = transactional(store);
    assert_not_known_in_time(&ledger).await;
    once(&ledger, "another", 5).await.unwrap();
}

fn is_claim(request: &KvRequest) -> bool {
    matches!(request, KvRequest::Put { put, .. } if put.key.starts_with("!k/"))
}

fn is_no_claim(request: &KvRequest) -> bool {
    let is_write = matches!(
        request,
        KvRequest::Put { .. } | KvRequest::Transaction { .. }
    );
    is_write && !is_claim(request)
}

async fn assert_not_known_in_time(ledger: &Ledger) {
    let begun = Instant::now();
    let answer = once(ledger, "k", 5).await;
    assert!(
        matches!(answer, Err(TransferError::Unknown { .. })),
        "{answer:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

async fn once(ledger: &Ledger, name: &str, amount: i64) -> Result<Uuid, TransferError> {
    let key = ClientKey::new(name).unwrap();
    let transfer = transfer("a", "b", amount);
    ledger.transfer_once(key, Uuid::now_v7(), transfer).await
}

/// `store` behind a network that does to each request what `fate` says.
fn network(store: KvService, fate: impl Fn(&KvRequest) -> Fate + Send + 'static) -> KvService {
    late_network(Duration::from_secs(5), store, fate)
}

/// The same, on which what is late is late by so much.
fn late_network(
    late_by: Duration,
    store: KvService,
    fate: impl Fn(&KvRequest) -> Fate + Send + 'static,
) -> KvService {
    let script = move |request: &KvRequest| Happening {
        late_by,
        ..Happening::new(fate(request))
    };
    let refused = |_: &KvRequest| KvError::Unavailable("refused".into());
    KvService::new(Network::new(store, script, refused, lost))
}
