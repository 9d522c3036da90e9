//! Runs each call to its end on a task of its own, whatever becomes of the caller.
//!
//! Web servers drop a handler when its client hangs up, and a timeout drops what it waits for. Work
//! that must not be cut in half (several writes that belong together) goes below a [`Detach`]: the
//! caller's future then only *waits* for it. A [`Tracker`] counts the tasks, so that a shutdown can
//! wait until the last of them is done.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use resilient::detach::{DetachLayer, Tracker};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let tracker = Tracker::new();
//! let service = DetachLayer::new(tracker.clone())
//!     .layer(service_fn(|n: u32| async move { Ok::<_, Infallible>(n + 1) }));
//!
//! assert_eq!(service.oneshot(1).await.ok(), Some(2));
//! tracker.close_and_wait().await; // nothing runs any more
//! # }
//! ```
//!
//! # Clone
//!
//! Clones share the tracker, and clone the inner service.
//!
//! # Order
//!
//! Everything that may be dropped (timeouts, load shedding) goes above, everything that must be
//! held as long as the work runs (concurrency limits) goes below.
//!
//! # Cancel safety
//!
//! That is the point: dropping the response future leaves the work running.
//!
//! # Panics
//!
//! Calls must be made inside a tokio runtime. A panic of the inner future does not spread: the
//! caller gets [`Lost`].

mod error;
mod future;
mod layer;
mod tracker;

use std::task::{Context, Poll};

use tower::{BoxError, Service};

pub use error::Lost;
pub use future::ResponseFuture;
pub use layer::DetachLayer;
pub use tracker::Tracker;

/// Runs the calls of `S` on tracked tasks. See the [module](crate::detach).
#[derive(Clone, Debug)]
pub struct Detach<S> {
    inner: S,
    tracker: Tracker,
}

impl<S> Detach<S> {
    /// Wraps `inner`; its calls are counted by `tracker`.
    pub fn new(inner: S, tracker: Tracker) -> Self {
        Self { inner, tracker }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives the inner service back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Request> Service<Request> for Detach<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ResponseFuture::new(self.tracker.spawn(self.inner.call(request)))
    }
}
