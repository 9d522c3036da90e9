mod before_reset;
pub(super) mod chance;
mod concurrent;
pub(super) mod device;
mod disk_faults;
mod model;
mod opening;
mod power_loss;
mod reading;
mod refusals;
mod rows;
pub(super) mod workload;
pub(super) mod written;

use std::future::Future;

use tokio::runtime;

use super::{
    Backend, Disk, Entry, Fault, Put, Range, Refusal, Snapshot, Stamp, Store, Write, WriteError,
};

/// Runs `work` with a store on `backend`, and its writer beside it, on one thread: writes that are
/// sent at once form one batch, in the order in which they were sent.
///
/// Returns what `work` came to, and how the writer ended.
pub(super) fn with_store<B, T, F>(
    backend: B,
    work: impl FnOnce(Store<B>) -> F,
) -> (T, Result<(), Fault>)
where
    B: Backend,
    F: Future<Output = T>,
{
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, writer) = Store::new(backend);
        let writer = tokio::spawn(writer.run());
        let result = work(store).await;
        (result, writer.await.unwrap())
    })
}

/// Sends all of `writes` before any of them is decided, and returns their answers.
async fn write_at_once<B: Backend>(
    store: &Store<B>,
    writes: Vec<Write>,
) -> Vec<Result<Stamp, WriteError>> {
    let mut answers: Vec<_> = writes
        .into_iter()
        .map(|write| Box::pin(store.write(write)))
        .collect();
    let mut results: Vec<Option<_>> = answers.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (answer, result) in answers.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(ready) = answer.as_mut().poll(context)
            {
                *result = Some(ready);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

pub(super) fn put(key: &str, value: &str, version: u64) -> Put {
    Put::new(key, value, version)
}

/// A write of `puts`, whatever the epoch.
pub(super) fn puts(puts: impl Into<Vec<Put>>) -> Write {
    Write::Puts {
        puts: puts.into(),
        epoch: None,
    }
}

pub(super) fn entry(key: &str, value: &str, version: u64) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
        version,
    }
}

/// Everything that `snapshot` shows.
pub(super) fn everything(snapshot: &impl Snapshot) -> Vec<Entry> {
    snapshot.list(&Range::default()).unwrap()
}

/// What was refused, of an answer that is no stamp.
fn refusal(answer: Result<Stamp, WriteError>) -> Refusal {
    match answer {
        Err(WriteError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}
