//! A store that fails, hangs, or holds what is not ours: the client gets an answer in time, and
//! nothing is overwritten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::http::{Answer, header};
use crate::common::kvstore::Kvstore;
use crate::common::proxy::{Fate, Proxy};
use crate::common::service::{Service, store};
use crate::common::splitdim::Splitdim;
use serde_json::Value;
use splitdim::kv::{Kv, KvError, KvRequest, KvService, Put};
use tokio::time::{Instant, sleep};
use tower::{ServiceExt, service_fn};

const TRANSFER: &str = r#"{"sender":"a","receiver":"b","amount":1}"#;

#[tokio::test(start_paused = true)]
async fn three_failed_puts_in_a_row_are_absorbed() {
    let mut service = Service::over(failing(3, || KvError::Unavailable("no luck".into())));
    assert_eq!(service.transfer(TRANSFER).await.status(), 200);
    assert_eq!(service.balance("a").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn three_puts_of_unknown_outcome_in_a_row_are_absorbed() {
    let mut service = Service::over(failing(3, || KvError::Unknown("no answer".into())));
    assert_eq!(service.transfer(TRANSFER).await.status(), 200);
    assert_eq!(service.balance("a").await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn three_lost_answers_in_a_row_are_absorbed_and_the_transfer_is_made_once() {
    let mut service = Service::over(losing_answers(3));
    assert_eq!(service.transfer(TRANSFER).await.status(), 200);
    assert_eq!(service.balance("a").await, Some(1));
    assert_eq!(service.balance("b").await, Some(-1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_a_503_in_time_and_nothing_is_applied() {
    let mut service = Service::over(failing(usize::MAX, || KvError::Unavailable("away".into())));
    let begun = Instant::now();
    let answer = service.transfer(TRANSFER).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // With the default patience the tries may outlast the waiting: then it is not known yet.
    assert!(
        ["not_applied", "unknown"].contains(&&*outcome(&answer)),
        "{answer:?}"
    );
    sleep(Duration::from_secs(60)).await;
    assert_eq!(service.balance("a").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_a_503_in_time() {
    let hanging = KvService::new(service_fn(|_| std::future::pending()));
    let mut service = Service::over(hanging);
    for path in ["/api/accounts", "/api/clear", "/api/reset"] {
        let begun = Instant::now();
        let answer = service.get(path).await;
        assert!(
            begun.elapsed() <= Duration::from_secs(5),
            "{path}: {:?}",
            begun.elapsed()
        );
        assert_eq!(answer.status(), 503, "{path}");
        assert!(header(&answer, "retry-after").is_some(), "{path}");
    }
    let begun = Instant::now();
    let answer = service.transfer(TRANSFER).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // It hung before anything was written, and nothing will be.
    assert_eq!(outcome(&answer), "not_applied");
    // It looks at nothing downstream.
    assert_eq!(service.get("/healthz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_cannot_be_read_is_told_once_and_when_it_can_be_again() {
    let kvstore = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(kvstore.address).await;
    let arguments = ["--sweep-every", "100ms"];
    let mut splitdim = Splitdim::replica("resilientkvstore", proxy.address, &arguments);
    for _ in 0..2 {
        proxy.rule(|_| Fate::Refuse(503));
        let told = splitdim.process.wait_for("the ledger cannot be read");
        assert!(told.contains("WARN"), "{told}");
        let rounds = proxy.all_requests();
        while proxy.all_requests() < rounds + 10 {
            sleep(Duration::from_millis(50)).await;
        }
        proxy.heal();
        splitdim.process.wait_for("the ledger can be read again");
    }
    let log = splitdim.process.log();
    for line in ["the ledger cannot be read", "the ledger can be read again"] {
        assert_eq!(log.matches(line).count(), 2, "{log}");
    }
}

#[tokio::test]
async fn internal_texts_do_not_reach_clients() {
    let down = service_fn(|_| async { Err(KvError::Unavailable("secret 10.0.0.7".into())) });
    let mut service = Service::over(KvService::new(down));
    for path in ["/api/accounts", "/api/clear", "/api/reset"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status(), 503, "{path}");
        let text = String::from_utf8_lossy(answer.body());
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_balance_is_never_overwritten() {
    let store = store();
    let kv = Kv::new(store.clone());
    put(&kv, "a", "7 apples").await;
    let mut service = Service::over(store);
    let other_way = r#"{"sender":"b","receiver":"a","amount":1}"#;
    for transfer in [TRANSFER, other_way] {
        let answer = service.transfer(transfer).await;
        assert_eq!(answer.status(), 500);
        assert_eq!(outcome(&answer), "not_applied");
    }
    let (stored, _) = kv.get("a".into()).await.unwrap();
    assert_eq!((&*stored.value, stored.version), ("7 apples", 1));
    assert_eq!(service.balance("b").await, None);
}

#[tokio::test]
async fn balances_that_do_not_sum_to_zero_are_an_error_of_clear() {
    let store = store();
    put(&Kv::new(store.clone()), "a", "7").await;
    let mut service = Service::over(store);
    let answer = service.get("/api/clear").await;
    assert_eq!(answer.status(), 500);
    assert_eq!(service.balance("a").await, Some(7));
}

#[tokio::test]
async fn two_equal_transfers_at_once_are_two() {
    let store = store();
    let mut service = Service::over(store.clone());
    let mut twin = Service::over(store);
    for _ in 0..100 {
        let (one, two) = tokio::join!(service.transfer(TRANSFER), twin.transfer(TRANSFER));
        assert_eq!((one.status().as_u16(), two.status().as_u16()), (200, 200));
    }
    assert_eq!(service.balance("a").await, Some(200));
    assert_eq!(service.balance("b").await, Some(-200));
}

/// A store whose first `count` writes fail with `error`, without effect.
fn failing(count: usize, error: fn() -> KvError) -> KvService {
    let (store, failed) = (store(), Arc::new(AtomicUsize::new(0)));
    KvService::new(service_fn(move |request: KvRequest| {
        let (store, failed) = (store.clone(), Arc::clone(&failed));
        async move {
            if is_write(&request) && failed.fetch_add(1, Ordering::SeqCst) < count {
                return Err(error());
            }
            store.oneshot(request).await
        }
    }))
}

/// A store that makes its first `count` writes, and loses the answers.
fn losing_answers(count: usize) -> KvService {
    let (store, lost) = (store(), Arc::new(AtomicUsize::new(0)));
    KvService::new(service_fn(move |request: KvRequest| {
        let (store, lost) = (store.clone(), Arc::clone(&lost));
        async move {
            let write = is_write(&request);
            let answer = store.oneshot(request).await;
            if write && lost.fetch_add(1, Ordering::SeqCst) < count {
                return Err(KvError::Unknown("the answer was lost".into()));
            }
            answer
        }
    }))
}

fn is_write(request: &KvRequest) -> bool {
    matches!(
        request,
        KvRequest::Put { .. } | KvRequest::Transaction { .. }
    )
}

async fn put(kv: &Kv, key: &str, value: &str) {
    let put = Put::new(key, value, 0);
    kv.put(put, None).await.expect("the store takes it");
}

/// What a transfer that got no 200 is said to have come to.
fn outcome(answer: &Answer) -> String {
    if answer.status() == 503 {
        assert!(header(answer, "retry-after").is_some(), "{answer:?}");
    }
    let problem: Value = serde_json::from_slice(answer.body()).expect("a problem is JSON");
    problem["outcome"]
        .as_str()
        .expect("the outcome is told")
        .to_owned()
}
