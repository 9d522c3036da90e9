//! Looks whose answers come late, when what they saw has been changed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use resilient::detach::Tracker;
use splitdim::kv::{KvRequest, KvService};
use splitdim::ledger::{Amount, Transfer};
use splitdim::pipeline::{Ledger, Options};
use tokio::time::sleep;
use tower::{Service as _, ServiceExt as _, service_fn};
use uuid::Uuid;

use super::schedule::{name, own_store};

#[tokio::test(start_paused = true)]
async fn a_look_from_before_the_credit_does_not_contradict_it() {
    let (mut looks_at_a, mut puts_of_a) = (0, 0);
    let ledger = ledger(move |request| match request {
        // Keeps the turn of c, until the late look is there.
        KvRequest::Get { key } if &**key == "e" => 70,
        KvRequest::Get { key } if &**key == "a" => {
            looks_at_a += 1;
            // That of b's transfer. It is known when a was not there.
            if looks_at_a == 1 { 60 } else { 0 }
        }
        KvRequest::Put { put, .. } if &*put.key == "a" => {
            puts_of_a += 1;
            // Meanwhile nothing else is known of a.
            if puts_of_a == 2 { 100 } else { 0 }
        }
        _ => 0,
    });
    let mut making = Vec::new();
    for (at, sender, receiver) in [(0, "c", "e"), (5, "b", "a"), (10, "a", "c"), (30, "a", "d")] {
        let ledger = ledger.clone();
        making.push(tokio::spawn(async move {
            sleep(Duration::from_millis(at)).await;
            let amount = Amount::new(5).unwrap();
            let transfer = Transfer::new(name(sender), name(receiver), amount).unwrap();
            ledger.transfer(Uuid::now_v7(), transfer).await
        }));
    }
    for making in making {
        let answer = making.await.unwrap();
        assert!(answer.is_ok(), "{answer:?}");
    }
}

/// A saga's ledger, whose store's answers are late by so many milliseconds.
fn ledger(late_by: impl FnMut(&KvRequest) -> u64 + Send + 'static) -> Ledger {
    let (store, late_by) = (own_store(), Arc::new(Mutex::new(late_by)));
    let slow = KvService::new(service_fn(move |request: KvRequest| {
        let (mut store, late_by) = (store.clone(), Arc::clone(&late_by));
        async move {
            let late_by = late_by.lock().unwrap()(&request);
            let answer = store.ready().await?.call(request).await;
            sleep(Duration::from_millis(1 + late_by)).await;
            answer
        }
    }));
    Ledger::saga(slow, Options::default(), Tracker::new())
}
