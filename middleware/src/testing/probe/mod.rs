//! Sees what a layer does to the service below it.
//!
//! A [`Probe`] goes under the layer in question, and a [`Handle`] tells what it saw: calls without
//! readiness, clones, calls under way, calls and instances that were dropped or kept. It lets
//! everything pass as it is. What `tower_test::mock` catches by a panic, in a single service, this
//! counts, in any.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use resilient::testing::probe::{Handle, ProbeLayer, Seen};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Infallible> {
//! let handle = Handle::new();
//! let mut service = ProbeLayer::new(handle.clone())
//!     .layer(service_fn(|n: u32| async move { Ok::<_, Infallible>(n + 1) }));
//!
//! assert_eq!(service.ready().await?.call(1).await?, 2);
//! assert_eq!(handle.seen(), Seen { calls: 1, instances: 1, most_in_flight: 1, ..Seen::default() });
//!
//! // A common mistake: a clone is called, and only the original was asked for readiness.
//! service.ready().await?;
//! drop(service.clone().call(2));
//! assert_eq!((handle.seen().unready, handle.seen().dropped), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Clone
//!
//! Clones count for the same handle. Readiness is of the instance alone: a clone has none.
//!
//! # Panics
//!
//! Those of a [strict](Handle::strict) handle panic when they are called without having been ready.

mod future;
mod handle;
mod instance;
mod layer;

use std::task::{Context, Poll, ready};

use tower::Service;

pub use future::ResponseFuture;
pub use handle::{Handle, Seen};
pub use layer::ProbeLayer;

use future::Flight;
use instance::Instance;

/// Counts what happens to `S`. See the [module](crate::testing::probe).
#[derive(Debug)]
pub struct Probe<S> {
    inner: S,
    instance: Instance,
    ready: bool,
}

impl<S> Probe<S> {
    /// Counts what happens to `inner` for `handle`.
    pub fn new(inner: S, handle: Handle) -> Self {
        Self {
            inner,
            instance: Instance::new(handle),
            ready: false,
        }
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

impl<S: Clone> Clone for Probe<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            instance: self.instance.clone(),
            ready: false,
        }
    }
}

impl<S: Service<Request>, Request> Service<Request> for Probe<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.ready = false;
        ready!(self.inner.poll_ready(cx))?;
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let handle = self.instance.handle();
        let was_ready = std::mem::take(&mut self.ready);
        handle.update(|seen| {
            seen.calls += 1;
            seen.unready += u64::from(!was_ready);
        });
        assert!(
            was_ready || !handle.is_strict(),
            "called without having been ready"
        );
        let flight = Flight::new(handle.clone());
        ResponseFuture::new(self.inner.call(request), flight)
    }
}
