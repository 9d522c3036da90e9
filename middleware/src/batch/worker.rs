use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task;
use tower::{BoxError, Service, ServiceExt};

use super::limits::Weighing;
use super::queue::{Admission, Answer, Receiver, Waiting};
use super::{BatchFailed, Limits, Lost};
use crate::detach::Tracker;

/// A batch is cut when this many yields in a row have brought nothing more.
const QUIET_YIELDS: u32 = 3;

/// Cuts batches and hands them on.
pub struct Worker<S, Request, Response> {
    inner: S,
    queue: Receiver<Request, Response>,
    limits: Limits,
    weighing: Weighing<Request>,
    tracker: Tracker,
    flights: Arc<Semaphore>,
    /// Would have made the last batch too heavy: the first of the next one.
    held_over: Option<Waiting<Request, Response>>,
}

/// Those who wait for the answers of a batch, in its order. Places come first, to be dropped first.
type Callers<Response> = Vec<(Admission, oneshot::Sender<Answer<Response>>)>;

impl<S, Request, Response> Worker<S, Request, Response> {
    pub(super) fn new(
        inner: S,
        queue: Receiver<Request, Response>,
        limits: Limits,
        weighing: Weighing<Request>,
        tracker: Tracker,
    ) -> Self {
        Self {
            inner,
            queue,
            limits,
            weighing,
            tracker,
            flights: Arc::new(Semaphore::new(limits.in_flight)),
            held_over: None,
        }
    }
}

impl<S, Request, Response, Error> Worker<S, Request, Response>
where
    S: Service<
            Vec<Request>,
            Response = Vec<Result<Response, Error>>,
            Error: Into<BoxError> + Send,
            Future: Send + 'static,
        >,
    Request: Send + 'static,
    Response: Send + 'static,
    Error: Into<BoxError> + Send + 'static,
{
    /// Works until the last [`Batch`](super::Batch) is gone and nothing waits any more.
    pub async fn run(mut self) {
        // What comes while all flights are taken is in the next batch.
        while let Ok(flight) = Arc::clone(&self.flights).acquire_owned().await {
            let Some((requests, callers)) = self.cut().await else {
                return;
            };
            if !requests.is_empty() {
                self.send(requests, callers, flight).await;
            }
        }
    }

    /// The next batch; `None` when there will be none any more. It may be empty.
    async fn cut(&mut self) -> Option<(Vec<Request>, Callers<Response>)> {
        let first = match self.held_over.take() {
            Some(waiting) => waiting,
            None => self.queue.recv().await?,
        };
        let (mut requests, mut callers) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        let (mut weight, mut quiet) = (0_usize, 0);
        loop {
            if let Some(waiting) = next.take() {
                quiet = 0;
                // Nobody waits for it any more.
                if waiting.answer.is_closed() {
                    next = self.queue.try_recv().ok();
                    continue;
                }
                weight = weight.saturating_add((self.weighing.weigh)(&waiting.request));
                if weight > self.weighing.most && !requests.is_empty() {
                    self.held_over = Some(waiting);
                    break;
                }
                requests.push(waiting.request);
                callers.push((waiting.admission, waiting.answer));
                if requests.len() >= self.limits.requests || self.is_enough(requests.len()) {
                    break;
                }
            } else if quiet < QUIET_YIELDS {
                quiet += 1;
                task::yield_now().await;
            } else {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        Some((requests, callers))
    }

    /// Whether a batch of `requests` goes without those that would still come.
    fn is_enough(&self, requests: usize) -> bool {
        requests >= self.limits.enough && requests >= self.queue.len()
    }

    async fn send(
        &mut self,
        requests: Vec<Request>,
        callers: Callers<Response>,
        flight: OwnedSemaphorePermit,
    ) {
        let batch = match self.inner.ready().await {
            Ok(inner) => inner.call(requests),
            Err(error) => return tell::<_, Error, _>(Err(error), callers),
        };
        self.tracker.spawn(async move {
            let answers = batch.await;
            // The next batch need not wait until everybody was told.
            drop(flight);
            tell(answers, callers);
        });
    }
}

/// Gives each caller its answer. Those who have gone do not matter.
fn tell<Response, Error: Into<BoxError>, Failure: Into<BoxError>>(
    answers: Result<Vec<Result<Response, Error>>, Failure>,
    callers: Callers<Response>,
) {
    match answers {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for (admission, caller) in callers {
                let answer = answers.next().map(|answer| answer.map_err(Into::into));
                drop(admission);
                let _ = caller.send(answer.unwrap_or_else(|| Err(Lost::new().into())));
            }
        }
        Err(failure) => {
            let failed = BatchFailed::new(failure.into());
            for (admission, caller) in callers {
                drop(admission);
                let _ = caller.send(Err(failed.clone().into()));
            }
        }
    }
}

impl<S, Request, Response> fmt::Debug for Worker<S, Request, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("limits", &self.limits)
            .field("waiting", &self.queue.len())
            .finish_non_exhaustive()
    }
}
