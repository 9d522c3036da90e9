use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use resilient::retry::Class;
use tower::Service;

use super::balance;
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

/// An attempt that did not make the transfer, or may not have.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failed {
    #[source]
    pub(super) cause: Cause,
    /// Whether this attempt or an earlier one may have made it all the same.
    pub(super) doubt: bool,
}

/// What an attempt came to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the balance of {person:?} would leave the range that is counted")]
    OutOfRange { person: Key },
    #[error("what the store holds for {person:?} is no balance")]
    Unreadable { person: Key },
    #[error("the transfer was given up before")]
    Undone,
    #[error(transparent)]
    Store(#[from] KvError),
}

impl Failed {
    pub(super) fn class(&self) -> Class {
        match &self.cause {
            Cause::Store(KvError::Conflict(_)) => Class::Conflict,
            Cause::Store(KvError::Unavailable(_)) => Class::NotDone,
            Cause::Store(KvError::Unknown(_)) => Class::Unknown,
            Cause::Store(KvError::Invalid(_))
            | Cause::OutOfRange { .. }
            | Cause::Unreadable { .. }
            | Cause::Undone => Class::Done,
        }
    }

    /// The same, when it has become certain that the transfer was not made and never will be.
    pub(super) fn certain(self) -> Self {
        let cause = match self.cause {
            Cause::Store(error) => Cause::Store(KvError::Unavailable(error.into())),
            cause => cause,
        };
        Self {
            cause,
            doubt: false,
        }
    }
}

impl Transaction {
    pub(super) fn new(kv: Kv) -> Self {
        Self { kv }
    }

    async fn attempt(&self, posting: &Posting) -> Result<(), Cause> {
        if posting.was_sent() {
            // Before the balances: if it lands after this, the record refuses the write below.
            match outcome(&self.kv, posting).await? {
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
        if !posting.may_send(epoch) {
            return Err(Cause::Undone);
        }
        let record = record::create(*id, transfer, Outcome::Done);
        self.kv
            .transaction(vec![sender, receiver, record], epoch)
            .await?;
        Ok(())
    }

    /// The put that changes the balance of `person` by `delta`, and when the balance was read.
    async fn changed(&self, person: Key, delta: i64) -> Result<(Put, Option<Stamp>), Cause> {
        let (stored, stamp) = self.kv.get(Arc::clone(&person)).await?;
        let Some(balance) = balance::parse(&stored) else {
            return Err(Cause::Unreadable { person });
        };
        let Some(balance) = balance::change(balance, delta) else {
            return Err(Cause::OutOfRange { person });
        };
        let put = Put {
            key: person,
            value: balance.to_string().into(),
            version: stored.version,
        };
        Ok((put, stamp))
    }
}

impl Service<Posting> for Transaction {
    type Response = ();
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let attempt = this.attempt(&posting).await;
            attempt.map_err(|cause| Failed {
                doubt: posting.was_sent() && !matches!(cause, Cause::Undone),
                cause,
            })
        })
    }
}

/// What the record of `posting` says, or `None` if there is none (yet).
pub(super) async fn outcome(kv: &Kv, posting: &Posting) -> Result<Option<Outcome>, KvError> {
    let (stored, _) = kv.get(record::key(posting.id)).await?;
    if stored.version == 0 {
        return Ok(None);
    }
    match record::outcome(&stored.value) {
        Some(outcome) => Ok(Some(outcome)),
        None => Err(KvError::Invalid(format!(
            "the record of transfer {} cannot be read",
            posting.id
        ))),
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
