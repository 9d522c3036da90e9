//! Makes calls fail or wait on purpose, the same way each time: for experiments and tests.
//!
//! Calls have keys (a path, say), and each key at most one [`Fault`], which can be changed while
//! the service is in use.
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use resilient::inject::{Fault, Faults, InjectLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let faults = Faults::<&str, &str>::new();
//! faults.set("write", Fault { fail_next: 1, ..Fault::new("refused") });
//!
//! let service = InjectLayer::new(faults, |_: &&str| Some("write"), |failure: &&'static str| *failure)
//!     .layer(service_fn(|_: &str| async { Ok::<_, Infallible>("done") }));
//! assert_eq!(service.clone().oneshot("call").await, Ok("refused"));
//! assert_eq!(service.oneshot("call").await, Ok("done"));
//! # }
//! ```
//!
//! # Clone
//!
//! All services of a layer share its [`Faults`].
//!
//! # Cancel safety
//!
//! A call that is dropped during its delay was counted, and used up its failure.

mod faults;
mod future;
mod layer;

use std::hash::Hash;
use std::task::{Context, Poll};

use tower::Service;

pub use faults::{Fault, Faults, Seen};
pub use future::ResponseFuture;
pub use layer::InjectLayer;

/// Fails or delays some calls of `S`. See the [module](crate::inject).
#[derive(Clone, Debug)]
pub struct Inject<S, K, F, KeyOf, Answer> {
    inner: S,
    faults: Faults<K, F>,
    key_of: KeyOf,
    answer: Answer,
}

impl<S, K, F, KeyOf, Answer> Inject<S, K, F, KeyOf, Answer> {
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

impl<S, K, F, KeyOf, Answer, Request> Service<Request> for Inject<S, K, F, KeyOf, Answer>
where
    S: Service<Request>,
    K: Eq + Hash + Clone,
    F: Clone,
    KeyOf: Fn(&Request) -> Option<K>,
    Answer: Fn(&F) -> S::Response,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(key) = (self.key_of)(&request) else {
            return ResponseFuture::undisturbed(self.inner.call(request));
        };
        let (delay, failure) = self.faults.next(key);
        match failure {
            Some(failure) => ResponseFuture::failed(delay, (self.answer)(&failure)),
            None => ResponseFuture::delayed(delay, self.inner.call(request)),
        }
    }
}
