//! Limits the time of a call, the waiting for readiness included.
//!
//! A service that is full is not ready: it makes its callers wait *before* they call. A timeout
//! that begins with the call does not see that time, and so never ends the longest of waits. A
//! [`Timeout`] is always ready itself. It asks the inner service for readiness as part of each call,
//! and measures both together.
//!
//! # Example
//!
//! ```
//! use std::future::pending;
//! use std::time::Duration;
//!
//! use resilient::timeout::{Elapsed, TimeoutLayer};
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let never = service_fn(|_: &str| pending::<Result<(), BoxError>>());
//! let service = TimeoutLayer::new(Duration::from_secs(1)).layer(never);
//!
//! let error = service.oneshot("call").await.unwrap_err();
//! assert_eq!(error.to_string(), "not answered within 1s");
//! assert_eq!(error.downcast_ref().map(Elapsed::after), Some(Duration::from_secs(1)));
//! # }
//! ```
//!
//! The errors keep the type of the inner service's, which must have room for [`Elapsed`]. For a
//! service that cannot fail, such as a route of a web server, map its errors first:
//! `MapErrLayer::new(BoxError::from)` right below the [`TimeoutLayer`]. Or have a type that tells:
//!
//! ```
//! use std::time::Duration;
//!
//! use resilient::timeout::{Elapsed, Timeout};
//! use tower::{ServiceExt, service_fn};
//!
//! #[derive(Debug, PartialEq)]
//! enum Failure {
//!     Refused,
//!     Late(Duration),
//! }
//!
//! impl From<Elapsed> for Failure {
//!     fn from(elapsed: Elapsed) -> Self {
//!         Self::Late(elapsed.after())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let limit = Duration::from_millis(250);
//! let inner = service_fn(async |takes: Duration| {
//!     tokio::time::sleep(takes).await;
//!     Err::<(), _>(Failure::Refused)
//! });
//! let service = Timeout::new(inner, limit);
//!
//! assert_eq!(service.clone().oneshot(limit).await, Err(Failure::Refused));
//! assert_eq!(service.oneshot(2 * limit).await, Err(Failure::Late(limit)));
//! # }
//! ```
//!
//! # Clone
//!
//! Clones share nothing: each call has a clone of the inner service and a time of its own. State
//! that the inner service's clones share (a limit, say) stays shared.
//!
//! # Order
//!
//! Above whatever can make a call wait: limits, queues, connections. Below a
//! [retry](crate::retry) it limits each attempt, above it the whole. What outlives its caller
//! ([`detach`](crate::detach)) goes below, or it is cut off. As the service is always ready, layers
//! above that act on readiness (load shedding) have nothing to act on: they go below as well.
//!
//! # Cancel safety
//!
//! Dropping the future drops the inner one, or gives up its place in the queue for readiness. The
//! end of the time does the same. Whether a call that was under way took effect is then not known; a
//! call that was still waiting for readiness certainly was not made.
//!
//! # Errors
//!
//! [`Elapsed`] when the time is over. Errors of the inner service, those of its readiness included,
//! are what calls come to, as they are; `poll_ready` has none.
//!
//! The inner service is looked at before the clock: an answer that is there at the deadline counts.
//! So does, with a limit of zero, one that is there at once; any other call has then elapsed, and
//! may have been begun.
//!
//! # Panics
//!
//! Calls must be made inside a tokio runtime with a timer.

mod error;
mod future;
mod layer;

use std::task::{Context, Poll};
use std::time::Duration;

use tower::{Service, ServiceExt as _};

pub use error::Elapsed;
pub use future::ResponseFuture;
pub use layer::TimeoutLayer;

/// Limits the time of calls of `S`. See the [module](crate::timeout).
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    after: Duration,
}

impl<S> Timeout<S> {
    /// Wraps `inner`; its calls end no later than `after` from when they were made. Any duration will
    /// do.
    pub fn new(inner: S, after: Duration) -> Self {
        Self { inner, after }
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

impl<S, Request> Service<Request> for Timeout<S>
where
    S: Service<Request> + Clone,
    S::Error: From<Elapsed>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // A plain clone will do: this instance is never asked for readiness, so it holds none.
        ResponseFuture::new(self.inner.clone().oneshot(request), self.after)
    }
}
