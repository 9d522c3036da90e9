//! Folds the requests that wait into one call of a service of batches.
//!
//! Where one call costs as much for a hundred requests as for one (a write that is synced, a hop
//! over a network), single requests should not each pay for it. [`Batch`] is a service of single
//! requests over a service of batches: what arrives while a batch is under way is the next batch.
//! There is no timer, so a request that comes alone waits for nobody.
//!
//! Before a batch is cut, the worker yields while its queue still grows. Tasks that are about to
//! make a request get their turn first, and share this batch instead of waiting for the next one.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use resilient::batch::{BatchLayer, Limits};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), resilient::batch::InvalidLimits> {
//! // Squares many numbers at once; the number 0 it does not like.
//! let squares = service_fn(|numbers: Vec<u32>| async move {
//!     let square = |n: u32| if n == 0 { Err("zero") } else { Ok(n * n) };
//!     Ok::<_, Infallible>(numbers.into_iter().map(square).collect::<Vec<_>>())
//! });
//! let service = BatchLayer::new(Limits::new(100)?).layer(squares);
//!
//! let (two, none, three) = tokio::join!(
//!     service.clone().oneshot(2),
//!     service.clone().oneshot(0),
//!     service.oneshot(3),
//! );
//! assert_eq!((two.ok(), three.ok()), (Some(4), Some(9)));
//! assert_eq!(none.err().map(|error| error.to_string()), Some("zero".to_owned()));
//! # Ok(())
//! # }
//! ```
//!
//! # Example: limits
//!
//! ```
//! use resilient::batch::{BatchLayer, Limits};
//!
//! # fn main() -> Result<(), resilient::batch::InvalidLimits> {
//! // At most 100 requests and 64 KiB a batch, 1,000 requests waiting or under way, and two
//! // batches at a time, which the caller declares to be independent.
//! let limits = Limits::new(100)?.admitted(1_000)?.in_flight(2)?;
//! let layer = BatchLayer::new(limits).weighing(64 * 1024, |request: &String| request.len());
//! # drop(layer);
//! assert!(Limits::new(0).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Answers
//!
//! The inner service answers a batch with one `Result` for each request, in their order; each
//! caller gets its own. If the batch fails as a whole, every caller gets that error, as a
//! [`BatchFailed`]; if it panics, or gives too few answers, those without one get [`Lost`].
//!
//! # Clone
//!
//! Clones share one queue and one worker, which ends when the last of them is gone. Each service
//! that a [`BatchLayer`] makes has a queue of its own: under axum, where a layer is applied to
//! each route, share the service and not the layer.
//!
//! # Order
//!
//! A timeout above ends only the waiting of one caller. A retry above makes a new request; one
//! below tries the same batch again, in the same composition. Since a batch runs on a task of its
//! own, it needs no [`detach`](crate::detach) above; [`BatchLayer::tracked`] counts it.
//!
//! # Readiness
//!
//! It is always ready; a request that finds no place is refused in the call, with [`Full`]. An
//! error of the inner service's readiness is that of the batch that was to be called next, and the
//! batch after it asks again.
//!
//! # Cancel safety
//!
//! A request whose response future is dropped before its batch is cut is skipped. Later it goes on
//! with the others, and its answer is dropped.
//!
//! # Panics
//!
//! A [`BatchLayer`] must be applied inside a tokio runtime. A panic of a batch's future is told to
//! its callers as [`Lost`], and the next batch goes on; after a panic of `call` itself nothing does.

mod error;
mod future;
mod layer;
mod limits;
mod queue;
mod worker;

use std::fmt;
use std::task::{Context, Poll};

use tower::{BoxError, Service};

pub use error::{BatchFailed, Full, InvalidLimits, Lost};
pub use future::ResponseFuture;
pub use layer::BatchLayer;
pub use limits::Limits;
pub use worker::Worker;

use limits::Weighing;
use queue::Queue;

use crate::detach::Tracker;

/// Single requests for a service of batches. See the [module](crate::batch).
pub struct Batch<Request, Response> {
    queue: Queue<Request, Response>,
}

impl<Request, Response> Batch<Request, Response> {
    /// A service of single requests, and the worker that hands them to `inner` in batches. Nothing
    /// is answered unless [`Worker::run`] runs.
    pub fn pair<S>(inner: S, limits: Limits) -> (Self, Worker<S, Request, Response>) {
        Self::weighed(inner, limits, Weighing::nothing(), Tracker::new())
    }

    fn weighed<S>(
        inner: S,
        limits: Limits,
        weighing: Weighing<Request>,
        tracker: Tracker,
    ) -> (Self, Worker<S, Request, Response>) {
        let (queue, waiting) = queue::new(limits.admitted);
        let worker = Worker::new(inner, waiting, limits, weighing, tracker);
        (Self { queue }, worker)
    }

    /// How many requests wait or are under way.
    #[must_use]
    pub fn admitted(&self) -> usize {
        self.queue.admitted()
    }
}

impl<Request, Response> Clone for Batch<Request, Response> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<Request, Response> fmt::Debug for Batch<Request, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("admitted", &self.admitted())
            .finish_non_exhaustive()
    }
}

impl<Request, Response> Service<Request> for Batch<Request, Response> {
    type Response = Response;
    type Error = BoxError;
    type Future = ResponseFuture<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.queue.push(request) {
            Ok(answer) => ResponseFuture::waiting(answer),
            Err(refused) => ResponseFuture::refused(refused),
        }
    }
}
