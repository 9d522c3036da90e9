use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service, ServiceExt};
use uuid::Uuid;

use super::batch::Batch;
use super::error::{Cause, Failed};
use super::posting::Posting;
use super::record::{self, Outcome};
use super::rules::Rules;
use super::underway::Underway;
use crate::kv::{Conflict, Kv, KvError};

/// Puts [`Conclude`] around the retries.
#[derive(Clone, Debug)]
pub(super) struct ConcludeLayer {
    kv: Kv,
    underway: Arc<Underway>,
    rules: Rules,
}

/// Sees the transfers of a batch through: those that cannot be made are parted from the others, and
/// given up in a way that leaves no doubt, where that is possible.
///
/// A write whose outcome is not known may still arrive. A tombstone under the id of a transfer
/// (its record, saying that it was not made) keeps it out, and all that was to be made with it: if
/// the tombstone wins, nothing of it was made and never will be; if it loses, the record that was
/// there first tells.
#[derive(Clone, Debug)]
pub(super) struct Conclude<S> {
    inner: S,
    kv: Kv,
    underway: Arc<Underway>,
    rules: Rules,
}

/// What became of a batch for which no more attempts are made.
enum Standing {
    /// It was made.
    Made,
    /// It was not made, and never will be.
    KeptOut,
    /// It was not made, nor can what was sent be. It cannot be made as it is, but perhaps in two parts, one
    /// after the other.
    InParts {
        /// The places of the second part, in their order.
        later: Vec<usize>,
    },
    /// The ledger was reset since it was sent: it will not be made, but it may have been before.
    Forgotten,
    /// It may have been made, or may yet be.
    Doubtful,
}

impl ConcludeLayer {
    pub(super) fn new(kv: Kv, underway: Arc<Underway>, rules: Rules) -> Self {
        Self {
            kv,
            underway,
            rules,
        }
    }
}

impl<S> Layer<S> for ConcludeLayer {
    type Service = Conclude<S>;

    fn layer(&self, inner: S) -> Conclude<S> {
        Conclude {
            inner,
            kv: self.kv.clone(),
            underway: Arc::clone(&self.underway),
            rules: self.rules,
        }
    }
}

type Ended = Result<(), Failed>;

impl<S> Conclude<S>
where
    S: Service<Batch, Response = (), Error = Cause>,
{
    /// Makes each of `postings`, or finds out what became of it; in their order.
    async fn see_through(mut self, postings: Arc<[Posting]>) -> Vec<Ended> {
        let in_hand = self.underway.take_all(&postings);
        let mut ended: Vec<Ended> = Vec::new();
        ended.resize_with(postings.len(), || Ok(()));
        // What is to be made together, by its places in `postings`.
        let mut batches: Vec<Vec<usize>> = vec![(0..postings.len()).collect()];
        while let Some(open) = batches.pop() {
            if open.is_empty() {
                continue;
            }
            let batch = Batch::new(match open.len() == postings.len() {
                true => Arc::clone(&postings),
                false => open.iter().map(|&at| postings[at].clone()).collect(),
            });
            let (standing, given_up) = self.bring_to_an_end(&batch).await;
            if let Standing::InParts { later } = standing {
                let (mut first, mut second) = (Vec::new(), Vec::new());
                for (place, at) in open.into_iter().enumerate() {
                    match later.binary_search(&place) {
                        Ok(_) => second.push(at),
                        Err(_) => first.push(at),
                    }
                }
                batches.extend([second, first]);
                continue;
            }
            let (mut others, mut given_up) = (Vec::new(), given_up.into_iter().peekable());
            for (place, at) in open.into_iter().enumerate() {
                let posting = &postings[at];
                let cause = given_up.next_if(|(given_up, _)| *given_up == place);
                match (&standing, cause) {
                    (Standing::Made, _) => posting.end(Outcome::Done),
                    (Standing::Doubtful, cause) => {
                        // The tombstone may arrive late: whoever takes it up again must not begin
                        // it anew.
                        posting.answer();
                        ended[at] = Err(Failed::in_doubt(
                            cause.map_or_else(|| Cause::Parted.into(), |(_, cause)| cause),
                        ));
                    }
                    (Standing::Forgotten, _) => {
                        posting.answer();
                        ended[at] = Err(Failed::in_doubt(Cause::Reset));
                    }
                    (_, Some((_, cause))) => {
                        posting.end(Outcome::Undone);
                        ended[at] = Err(Failed::certain(cause));
                    }
                    (_, None) => others.push(at),
                }
            }
            batches.push(others);
        }
        // What is in doubt is looked after later.
        let doubtful: HashSet<Uuid> = postings
            .iter()
            .zip(&ended)
            .filter(|(_, ended)| ended.as_ref().is_err_and(Failed::may_be_open))
            .map(|(posting, _)| posting.id)
            .collect();
        in_hand.finish_but(|posting| doubtful.contains(&posting.id));
        ended
    }

    /// Makes `batch`, or finds out what became of it, and whom of it to give up why, in their order.
    async fn bring_to_an_end(&mut self, batch: &Batch) -> (Standing, Vec<(usize, Arc<Cause>)>) {
        let made = match self.inner.ready().await {
            Ok(inner) => inner.call(batch.clone()).await,
            Err(cause) => Err(cause),
        };
        let Err(cause) = made else {
            return (Standing::Made, Vec::new());
        };
        if matches!(cause, Cause::Reset) {
            return (Standing::Forgotten, Vec::new());
        }
        let is_refused = matches!(cause, Cause::CrowdedOut | Cause::Store(KvError::Invalid(_)));
        let size = batch.postings().len();
        let later: Vec<usize> = match is_refused && size > 1 && !batch.may_land() {
            true => (size / 2..size).collect(),
            false => batch.put_off(),
        };
        if !later.is_empty() {
            return (Standing::InParts { later }, Vec::new());
        }
        let given_up = batch.given_up(cause);
        let standing = match batch.may_land() && self.rules.seal_before_not_applied {
            true => keep_out(&self.kv, batch, &given_up).await,
            false => Standing::KeptOut,
        };
        if matches!(standing, Standing::KeptOut) {
            batch.cannot_land();
        }
        (standing, given_up)
    }
}

impl<S> Service<Arc<[Posting]>> for Conclude<S>
where
    S: Service<Batch, Response = (), Error = Cause> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Vec<Ended>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Vec<Ended>, Infallible>> + Send>>;

    /// Readiness is asked for each batch.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, postings: Arc<[Posting]>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.see_through(postings).await) })
    }
}

/// Sees to it that `batch` is not made as it is, by tombstones of those who are given up.
async fn keep_out(kv: &Kv, batch: &Batch, given_up: &[(usize, Arc<Cause>)]) -> Standing {
    let given_up = given_up.iter().map(|(at, _)| &batch.postings()[*at]);
    let Some(one) = given_up.clone().next() else {
        return Standing::Doubtful;
    };
    // In the epoch of the first write: a reset since then has left nothing to find out by.
    let epoch = one.epoch();
    for posting in given_up.clone() {
        // The tombstone may arrive late: whoever takes it up again must not begin it anew.
        posting.answer();
    }
    let transfers = given_up.map(|posting| (posting.id, &posting.transfer));
    let tombstones = record::create_all(transfers, Outcome::Undone).collect();
    match kv.transaction(tombstones, epoch).await {
        Ok(_) => Standing::KeptOut,
        // All of the batch were to be made at once, and so were the tombstones: one of them tells.
        Err(KvError::Conflict(Conflict::Version { .. })) => match record::read(kv, one.id).await {
            Ok(Some(Outcome::Done)) => Standing::Made,
            Ok(Some(Outcome::Undone)) => Standing::KeptOut,
            Ok(None) | Err(_) => Standing::Doubtful,
        },
        Err(KvError::Conflict(Conflict::Epoch { .. })) => Standing::Forgotten,
        Err(_) => Standing::Doubtful,
    }
}
