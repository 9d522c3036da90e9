//! Refuses every call while something is known to be wrong.
//!
//! Some faults do not pass by themselves, and each further call makes them worse: records that do
//! not add up, a disk that lied about a write. Whoever finds one blows the fuse, by a [`Handle`] and
//! with a reason. From then on calls are refused with that reason, until somebody who looked into it
//! lifts the quarantine.
//!
//! # Example
//!
//! ```
//! use resilient::quarantine::{Handle, Quarantined, QuarantineLayer};
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let handle = Handle::new();
//! let service = QuarantineLayer::new(handle.clone())
//!     .layer(service_fn(|n: u32| async move { Ok::<_, BoxError>(n + 1) }));
//! assert_eq!(service.clone().oneshot(1).await.ok(), Some(2));
//!
//! handle.blow("the sum is off by 3");
//! let error = service.clone().oneshot(1).await.unwrap_err();
//! let reason = error.downcast_ref().map(Quarantined::reason);
//! assert_eq!(reason.map(|reason| &**reason), Some("the sum is off by 3"));
//!
//! handle.lift();
//! assert_eq!(service.oneshot(1).await.ok(), Some(2));
//! # }
//! ```
//!
//! Whoever must tell others of it waits for the changes:
//!
//! ```
//! use resilient::quarantine::Handle;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let handle = Handle::new();
//! let mut changes = handle.subscribe();
//! let alarm = tokio::spawn(async move {
//!     // Fails only when every handle and every service with one is gone.
//!     let reason = changes.wait_for(Option::is_some).await.ok()?.clone()?;
//!     Some(format!("in quarantine: {reason}"))
//! });
//!
//! handle.blow("checksum");
//! assert_eq!(alarm.await.ok().flatten().as_deref(), Some("in quarantine: checksum"));
//! # }
//! ```
//!
//! # Clone
//!
//! There is one fuse for a [`Handle`], its clones, the layers made with them, and all services of
//! those layers: under a web server, for all routes and connections. The inner service is cloned
//! for each clone, and for each call that is refused (below).
//!
//! # Order
//!
//! As far up as the doubt reaches. A [retry](crate::retry) above should take a refusal for final
//! ([`Class::Done`](crate::retry::Class::Done)): it does not pass within seconds.
//!
//! Readiness is passed on as it is, in quarantine too: a refusal there would end the
//! service for good, while one in `call` ends with the quarantine. So calls wait for a service
//! below that is not ready before they are refused. Where that may be long, put a
//! [timeout](crate::timeout) in between, which is always ready.
//!
//! What the inner service reserved when it was asked for readiness (a permit of a limit, a place in
//! a queue) is given back when the call is refused: the instance that holds it is replaced by a
//! clone that does not. Otherwise callers who do not come again would keep it from the others.
//!
//! # Cancel safety
//!
//! Dropping the future drops the inner one. Calls under way when the fuse blows go on to their end.
//!
//! # Errors
//!
//! [`Quarantined`], which the error of the inner service must have room for; for a service that
//! cannot fail, put `MapErrLayer::new(BoxError::from)` right below. Errors of the inner service and
//! of its readiness pass as they are.

mod error;
mod future;
mod handle;
mod layer;

use std::mem;
use std::task::{Context, Poll};

use tower::Service;

pub use error::Quarantined;
pub use future::ResponseFuture;
pub use handle::Handle;
pub use layer::QuarantineLayer;

/// Refuses the calls of `S` while its [`Handle`] says so. See the [module](crate::quarantine).
#[derive(Clone, Debug)]
pub struct Quarantine<S> {
    inner: S,
    handle: Handle,
}

impl<S> Quarantine<S> {
    /// Wraps `inner`; its calls are refused while `handle` is blown.
    pub fn new(inner: S, handle: Handle) -> Self {
        Self { inner, handle }
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

impl<S, Request> Service<Request> for Quarantine<S>
where
    S: Service<Request> + Clone,
    S::Error: From<Quarantined>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.handle.reason() {
            None => ResponseFuture::called(self.inner.call(request)),
            Some(reason) => {
                // What was reserved goes with the instance that is not called.
                let unreserved = self.inner.clone();
                drop(mem::replace(&mut self.inner, unreserved));
                ResponseFuture::refused(Quarantined::new(reason))
            }
        }
    }
}
