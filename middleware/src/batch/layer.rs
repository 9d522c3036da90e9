use std::fmt;

use tower::{BoxError, Layer, Service};

use super::limits::Weighing;
use super::{Batch, Limits};
use crate::detach::Tracker;

/// Puts a [`Batch`] in front of services of batches, and spawns the worker of each.
pub struct BatchLayer<Request> {
    limits: Limits,
    weighing: Weighing<Request>,
    tracker: Tracker,
}

impl<Request> BatchLayer<Request> {
    /// A layer whose batches keep to `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            weighing: Weighing::nothing(),
            tracker: Tracker::new(),
        }
    }

    /// The same with batches of at most `most` in weight, as `weigh` tells it of each request (its
    /// bytes, for one). A request that is heavier than that alone goes alone.
    #[must_use]
    pub fn weighing(self, most: usize, weigh: fn(&Request) -> usize) -> Self {
        Self {
            weighing: Weighing { most, weigh },
            ..self
        }
    }

    /// The same with batches that are counted by `tracker` from when the inner service is called to
    /// when they are done, so that a shutdown can wait for those that nobody else waits for.
    #[must_use]
    pub fn tracked(self, tracker: Tracker) -> Self {
        Self { tracker, ..self }
    }
}

impl<Request> Clone for BatchLayer<Request> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits,
            weighing: self.weighing,
            tracker: self.tracker.clone(),
        }
    }
}

impl<Request> fmt::Debug for BatchLayer<Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchLayer")
            .field("limits", &self.limits)
            .field("weighing", &self.weighing)
            .finish_non_exhaustive()
    }
}

impl<S, Request, Response, Error> Layer<S> for BatchLayer<Request>
where
    S: Service<
            Vec<Request>,
            Response = Vec<Result<Response, Error>>,
            Error: Into<BoxError> + Send,
            Future: Send + 'static,
        > + Send
        + 'static,
    Request: Send + 'static,
    Response: Send + 'static,
    Error: Into<BoxError> + Send + 'static,
{
    type Service = Batch<Request, Response>;

    fn layer(&self, inner: S) -> Self::Service {
        let (batch, worker) =
            Batch::weighed(inner, self.limits, self.weighing, self.tracker.clone());
        tokio::spawn(worker.run());
        batch
    }
}
