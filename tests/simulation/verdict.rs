//! Whether what is in the store is what was answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use splitdim::kv::{Kv, KvService, Listed, Range};
use splitdim::ledger::Transfer;
use splitdim::pipeline::{Ledger, Status};
use tokio::time::sleep;
use uuid::Uuid;

use super::schedule::reader;

/// What is wrong.
pub(crate) type Violation = String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Made,
    NotApplied,
    Unknown,
}

/// A transfer and its answer.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) id: Uuid,
    pub(crate) transfer: Transfer,
    pub(crate) answer: Answer,
    /// How often the ledger had been reset (begun and ended counted) when it was posted.
    pub(crate) resets: u32,
}

/// Reads the accounts again and again, for a while too after everything was `posted`.
pub(crate) async fn reads_sum_to_zero(
    store: KvService,
    posted: Arc<AtomicBool>,
) -> Result<(), Violation> {
    let ledger = reader(&store);
    let mut afterwards = 0..300;
    while !posted.load(Ordering::SeqCst) || afterwards.next().is_some() {
        let snapshot = ledger.snapshot().await.unwrap();
        let sum: i64 = snapshot
            .accounts()
            .iter()
            .map(|account| account.balance)
            .sum();
        if sum != 0 || snapshot.sum() != 0 {
            return Err(format!(
                "the accounts sum to {sum}, the cells to {}",
                snapshot.sum()
            ));
        }
        sleep(Duration::from_millis(11)).await;
    }
    Ok(())
}

/// Nobody still has anything to do.
pub(crate) async fn nothing_is_open(ledger: &Ledger, posted: &[Posted]) -> Result<(), Violation> {
    for Posted { id, transfer, .. } in posted {
        if ledger.status(*id).await.unwrap() == Some(Status::Open) {
            return Err(format!("{transfer:?} is still open to a replica"));
        }
    }
    Ok(())
}

/// Exact, person by person; at rest; and every answer true.
pub(crate) async fn check(
    store: &KvService,
    posted: &[Posted],
    resets: u32,
) -> Result<(), Violation> {
    let ledger = reader(store);
    let mut expected = BTreeMap::<String, i64>::new();
    for Posted {
        id,
        transfer,
        answer,
        resets: before,
    } in posted
    {
        let status = ledger.status(*id).await.unwrap();
        let is_true = match (answer, status) {
            (Answer::Unknown, Some(Status::Done | Status::Undone) | None) => true,
            (Answer::Made, Some(Status::Done)) => true,
            // It was made before a reset.
            (Answer::Made, None) => *before < resets,
            (Answer::NotApplied, Some(Status::Undone) | None) => true,
            _ => false,
        };
        if !is_true {
            return Err(format!(
                "{transfer:?} was answered {answer:?}, and is {status:?}"
            ));
        }
        if status == Some(Status::Done) {
            let amount = transfer.amount().get();
            *expected.entry(transfer.sender().to_string()).or_default() += amount;
            *expected.entry(transfer.receiver().to_string()).or_default() -= amount;
        }
    }
    for (person, balance) in at_rest(store).await? {
        let expected = expected.remove(&person).unwrap_or_default();
        if balance != expected {
            return Err(format!("{person} has {balance} instead of {expected}"));
        }
    }
    match expected.into_iter().find(|(_, balance)| *balance != 0) {
        Some((person, balance)) => Err(format!("{person} has nothing instead of {balance}")),
        None => Ok(()),
    }
}

/// The balances, all of which must be plain integers.
pub(crate) async fn at_rest(store: &KvService) -> Result<BTreeMap<String, i64>, Violation> {
    let kv = Kv::new(store.clone());
    let Listed::Entries(entries, _) = kv.list(Range::from("\""), None).await.unwrap() else {
        unreachable!("nothing was named that could be unchanged");
    };
    let balance = |entry: &splitdim::kv::Entry| match entry.value.parse() {
        Ok(balance) => Ok((entry.key.to_string(), balance)),
        Err(_) => Err(format!("{} is not at rest: {}", entry.key, entry.value)),
    };
    let entries = entries.all().await.unwrap();
    entries.iter().map(balance).collect()
}
