use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::error::{Cause, Failed};
use super::posting::Posting;
use super::record::{self, Outcome};
use super::underway::Underway;
use crate::kv::{Conflict, Kv, KvError};

/// Puts [`Conclude`] around the retries.
#[derive(Clone, Debug)]
pub(super) struct ConcludeLayer {
    kv: Kv,
    underway: Arc<Underway>,
}

/// Gives a transfer up in a way that leaves no doubt, where that is possible.
///
/// A write whose outcome is not known may still arrive. A tombstone under the id of the transfer
/// (its record, saying that it was not made) keeps it out: if the tombstone wins, the transfer was
/// not made and never will be; if it loses, the record that was there first tells.
#[derive(Clone, Debug)]
pub(super) struct Conclude<S> {
    inner: S,
    kv: Kv,
    underway: Arc<Underway>,
}

impl ConcludeLayer {
    pub(super) fn new(kv: Kv, underway: Arc<Underway>) -> Self {
        Self { kv, underway }
    }
}

impl<S> Layer<S> for ConcludeLayer {
    type Service = Conclude<S>;

    fn layer(&self, inner: S) -> Conclude<S> {
        Conclude {
            inner,
            kv: self.kv.clone(),
            underway: Arc::clone(&self.underway),
        }
    }
}

impl<S> Service<Posting> for Conclude<S>
where
    S: Service<Posting, Response = (), Error = Cause>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.inner.poll_ready(cx).map_err(Failed::certain)
    }

    fn call(&mut self, posting: Posting) -> Self::Future {
        let kv = self.kv.clone();
        let attempts = self.inner.call(posting.clone());
        let in_hand = self.underway.take(&posting);
        Box::pin(async move {
            let ended = match attempts.await {
                Ok(()) => {
                    posting.end(Outcome::Done);
                    Ok(())
                }
                Err(cause @ Cause::Undone) => Err(Failed::certain(cause)),
                Err(cause) if posting.was_sent() => conclude(&kv, &posting, cause).await,
                Err(cause) => Err(Failed::certain(cause)),
            };
            // What is in doubt is looked after later.
            if let Some(in_hand) = in_hand
                && !matches!(ended, Err(Failed { doubt: true, .. }))
            {
                in_hand.finish();
            }
            ended
        })
    }
}

async fn conclude(kv: &Kv, posting: &Posting, cause: Cause) -> Result<(), Failed> {
    // The tombstone may arrive late: whoever takes it up again must not begin it anew.
    posting.answer();
    let tombstone = record::create(posting.id, &posting.transfer, Outcome::Undone);
    // In the epoch of the first write: a reset since then has left nothing to find out by.
    match kv.put(tombstone, posting.epoch()).await {
        Ok(_) => Err(Failed::certain(cause)),
        Err(KvError::Conflict(Conflict::Version)) => match record::read(kv, posting.id).await {
            Ok((Some(Outcome::Done), _)) => {
                posting.end(Outcome::Done);
                Ok(())
            }
            Ok((Some(Outcome::Undone), _)) => Err(Failed::certain(cause)),
            Ok((None, _)) | Err(_) => Err(Failed::in_doubt(cause)),
        },
        Err(_) => Err(Failed::in_doubt(cause)),
    }
}
