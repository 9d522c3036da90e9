//! One transfer, and every combination of writes whose answers are lost, that come twice, or never.

use std::time::Duration;

use resilient::detach::Tracker;
use resilient::testing::network::{Fate, Happening, Network};
use splitdim::kv::{KvError, KvRequest, KvService, spawn_embedded};
use splitdim::ledger::{Amount, Transfer};
use splitdim::pipeline::{Ledger, Options};
use splitdim::store::Memory;
use uuid::Uuid;

use super::replica::{Kind, lost};
use super::schedule::name;
use super::verdict::at_rest;

/// More than the writes that a transfer makes if all goes well: five.
const WRITES: u32 = 9;

#[test]
fn the_client_sees_200_whichever_answers_are_lost() {
    every_combination(Fate::Unanswered, |_| true);
}

#[test]
fn the_client_sees_200_whichever_writes_come_twice() {
    every_combination(Fate::Doubled, |_| true);
}

#[test]
fn the_client_sees_200_whichever_writes_are_lost_if_no_four_in_a_row_are() {
    every_combination(Fate::Lost, |bad| bad & bad >> 1 & bad >> 2 & bad >> 3 == 0);
}

fn every_combination(fate: Fate, is_bearable: impl Fn(u32) -> bool) {
    for kind in [Kind::Saga, Kind::Transaction] {
        for bad in (0..1 << WRITES).filter(|bad| is_bearable(*bad)) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(transfer_despite(kind, fate, bad));
        }
    }
}

/// Makes a transfer while `fate` befalls write `i` if bit `i` of `bad` is set.
async fn transfer_despite(kind: Kind, fate: Fate, bad: u32) {
    let (store, _writing) = spawn_embedded(Memory::new());
    let mut writes = 0;
    let script = move |request: &KvRequest| {
        let is_write = matches!(
            request,
            KvRequest::Put { .. } | KvRequest::Transaction { .. }
        );
        let is_bad = is_write && bad >> writes & 1 == 1;
        writes += u32::from(is_write);
        Happening {
            before: Duration::from_millis(1),
            ..Happening::new(if is_bad { fate } else { Fate::Fine })
        }
    };
    let refused = |_: &KvRequest| KvError::Unavailable("refused".into());
    let network = KvService::new(Network::new(store.clone(), script, refused, lost));
    let running = Tracker::new();
    let ledger = match kind {
        Kind::Saga => Ledger::saga(network, Options::default(), running.clone()),
        Kind::Transaction => Ledger::transactional(network, Options::default(), running.clone()),
    };
    let amount = Amount::new(5).unwrap();
    let transfer = Transfer::new(name("a"), name("b"), amount).unwrap();
    let answer = ledger.transfer(Uuid::now_v7(), transfer).await;
    assert!(answer.is_ok(), "{kind:?} {fate:?} {bad:09b}: {answer:?}");
    running.close_and_wait().await;
    let balances = at_rest(&store).await;
    let expected = [("a".to_owned(), 5), ("b".to_owned(), -5)];
    assert_eq!(balances, Ok(expected.into()), "{kind:?} {fate:?} {bad:09b}");
}
