use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::cell::Cell;
use super::error::Cause;
use super::posting::Posting;
use super::record::{self, Outcome};
use crate::kv::{Conflict, Key, Kv, KvError, Put, Stamp};

/// One attempt to make a transfer: both balances and the record change at once, or nothing does.
///
/// The record is created under the transfer's id, so a write that arrives twice, or late, is
/// refused by the store. It is always ready.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    kv: Kv,
}

impl Transaction {
    pub(super) fn new(kv: Kv) -> Self {
        Self { kv }
    }

    async fn attempt(&self, posting: &Posting) -> Result<(), Cause> {
        if posting.was_sent() {
            // Before the balances: if it lands after this, the record refuses the write below.
            match record::read(&self.kv, posting.id).await?.0 {
                Some(Outcome::Done) => return Ok(()),
                Some(Outcome::Undone) => return Err(Cause::Undone),
                None => {}
            }
        }
        let Posting { id, transfer, .. } = posting;
        let (sender, read) = self
            .changed(transfer.sender().to_shared(), transfer.amount().get())
            .await?;
        let (receiver, read_later) = self
            .changed(transfer.receiver().to_shared(), -transfer.amount().get())
            .await?;
        let epoch = same_epoch(read, read_later)?;
        let is_first = !posting.was_sent();
        if !posting.may_send(epoch) {
            return Err(Cause::Undone);
        }
        let record = record::create(*id, transfer, Outcome::Done);
        let puts = vec![sender, receiver, record];
        let written = self.kv.transaction(puts, epoch).await;
        if is_first && matches!(written, Err(KvError::Unavailable(_))) {
            posting.takes_back_first();
        }
        Ok(written.map(drop)?)
    }

    /// The put that changes the balance of `person` by `delta`, and when the balance was read.
    async fn changed(&self, person: Key, delta: i64) -> Result<(Put, Option<Stamp>), Cause> {
        let (stored, stamp) = self.kv.get(Arc::clone(&person)).await?;
        let Some(cell) = Cell::parse(&person, &stored) else {
            return Err(Cause::Unreadable { person });
        };
        // What others have open in it stays as it is.
        let Some(cell) = cell.changed(delta) else {
            return Err(Cause::OutOfRange { person });
        };
        let put = Put {
            key: person,
            value: cell.value(),
            version: stored.version,
        };
        Ok((put, stamp))
    }
}

impl Service<Posting> for Transaction {
    type Response = ();
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<(), Cause>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            posting.tries_again();
            this.attempt(&posting).await
        })
    }
}

/// The epoch of two reads, which must be the same one.
fn same_epoch(first: Option<Stamp>, second: Option<Stamp>) -> Result<Option<u64>, KvError> {
    match (
        first.map(|stamp| stamp.epoch),
        second.map(|stamp| stamp.epoch),
    ) {
        (Some(first), Some(current)) if first != current => {
            Err(KvError::Conflict(Conflict::Epoch { current }))
        }
        (first, _) => Ok(first),
    }
}
