//! Looks whose answers come late, when what they saw has been changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use resilient::detach::Tracker;
use splitdim::kv::{Key, Kv, KvRequest, KvService, Put};
use splitdim::ledger::{Amount, MAX_BALANCE, Transfer};
use splitdim::pipeline::{Ledger, Options, TransferError};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::{Service as _, ServiceExt as _, service_fn};
use uuid::Uuid;

use super::schedule::{name, own_store};

/// How many milliseconds a request and its answer are on their way, beyond the usual.
type Delay = (u64, u64);

#[tokio::test(start_paused = true)]
async fn a_look_from_before_the_credit_does_not_contradict_it() {
    let ledger = ledger(&own_store(), |request| match request {
        // Keeps the turn of c, until the late look is there.
        ("get", "e", _) => (0, 70),
        // That of b's transfer. It is known when a was not there.
        ("get", "a", 1) => (0, 60),
        // Meanwhile nothing else is known of a.
        ("put", "a", 2) => (0, 100),
        _ => (0, 0),
    });
    let making = [(0, "c", "e"), (5, "b", "a"), (10, "a", "c"), (30, "a", "d")]
        .map(|(at, sender, receiver)| transfer_at(&ledger, at, sender, receiver));
    for making in making {
        let answer = making.await.unwrap();
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_from_before_the_retirement_does_not_keep_the_mark() {
    let store = own_store();
    // A transfer to f is refused, after it has kept the turn of its sender for a while.
    let poor = Put::new("f", (-MAX_BALANCE).to_string(), 0);
    Kv::new(store.clone()).put(poor, None).await.unwrap();
    let ledger = ledger(&store, |request| match request {
        ("get", "f", _) => (0, 30),
        // That of e's transfer, from before the retirement is stored.
        ("get", "a", 2) => (0, 15),
        // The retirement.
        ("put", "a", 2) => (10, 0),
        // Meanwhile nothing else is known of a.
        ("put", "a", 3) => (0, 60),
        _ => (0, 0),
    });
    let [retired, refused, ..] = [(0, "a", "c"), (8, "c", "f"), (6, "e", "a"), (9, "a", "d")]
        .map(|(at, sender, receiver)| transfer_at(&ledger, at, sender, receiver));
    assert!(retired.await.unwrap().is_ok());
    let refused = refused.await.unwrap();
    assert!(
        matches!(refused, Err(TransferError::OutOfRange { .. })),
        "{refused:?}"
    );
    let (stored, _) = Kv::new(store).get("c".into()).await.unwrap();
    assert_eq!(&*stored.value, "-5", "it was answered, so it is at rest");
}

fn transfer_at(
    ledger: &Ledger,
    at: u64,
    sender: &'static str,
    receiver: &'static str,
) -> JoinHandle<Result<(), TransferError>> {
    let ledger = ledger.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(at)).await;
        let amount = Amount::new(5).unwrap();
        let transfer = Transfer::new(name(sender), name(receiver), amount).unwrap();
        ledger.transfer(Uuid::now_v7(), transfer).await
    })
}

/// A ledger of sagas in `store`, which is behind a network with these delays of the `n`th get or put of a
/// key.
fn ledger(store: &KvService, delay: fn((&str, &str, u32)) -> Delay) -> Ledger {
    let store = store.clone();
    let seen = Arc::<Mutex<HashMap<(&str, Key), u32>>>::default();
    let slow = KvService::new(service_fn(move |request: KvRequest| {
        let (mut store, seen) = (store.clone(), Arc::clone(&seen));
        async move {
            let (kind, key) = match &request {
                KvRequest::Get { key } => ("get", Arc::clone(key)),
                KvRequest::Put { put, .. } => ("put", Arc::clone(&put.key)),
                _ => unreachable!("a saga gets and puts"),
            };
            let n = {
                let mut seen = seen.lock().unwrap();
                let n = seen.entry((kind, Arc::clone(&key))).or_default();
                *n += 1;
                *n
            };
            let (before, after) = delay((kind, &key, n));
            sleep(Duration::from_millis(before)).await;
            let answer = store.ready().await?.call(request).await;
            sleep(Duration::from_millis(1 + after)).await;
            answer
        }
    }));
    Ledger::saga(slow, Options::default(), Tracker::new())
}
