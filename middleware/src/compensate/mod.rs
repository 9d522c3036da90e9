//! Makes the steps of a plan in order; when one cannot be made, takes back the ones before it.
//!
//! A saga (Hector Garcia-Molina and Kenneth Salem, *Sagas*, SIGMOD 1987): several requests to
//! services that share no transaction, and one answer for the whole. What it needs to know of a
//! request is a [`Step`]; what a service must answer is a [`Standing`].
//!
//! An error does not tell whether the step happened: the request may have got lost, or only its
//! answer, or it is still on its way. So before anything is taken back, the step is *fenced*: a
//! request that makes sure that it never happens, unless it has already. If it has, the plan goes on
//! forward, as though there had been no error. Without a fence, a step that arrives late would remain
//! of a plan that was said to be undone.
//!
//! Fences and undos go to a service of their own, which should be the more patient one: while a step
//! may be given up for any reason, nobody but the [`Outcome`] stands behind an undo that is given up.
//!
//! # Example
//!
//! ```
//! use resilient::compensate::{CompensateLayer, Outcome, Standing, Step};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! /// A booking, and what calls it off.
//! #[derive(Clone, Debug, PartialEq)]
//! enum Trip { Book(&'static str), Cancel(&'static str) }
//!
//! impl Step for Trip {
//!     fn fence(&self) -> Self {
//!         match self { Self::Book(what) | Self::Cancel(what) => Self::Cancel(what) }
//!     }
//!     fn undo(&self) -> Option<Self> {
//!         Some(self.fence()) // here, it is the same request
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), &'static str> {
//! let agency = service_fn(|trip: Trip| async move {
//!     match trip {
//!         Trip::Book("hotel") => Ok(Standing::Never), // it is full
//!         Trip::Book(_) => Ok(Standing::Made),
//!         Trip::Cancel(_) => Err("only by phone"),
//!     }
//! });
//! let phone = service_fn(|trip: Trip| async move {
//!     assert_eq!(trip, Trip::Cancel("flight"));
//!     Ok::<_, &'static str>(Standing::Never)
//! });
//!
//! let service = CompensateLayer::new(phone).layer(agency);
//! let both = vec![Trip::Book("flight"), Trip::Book("hotel")];
//! assert_eq!(service.clone().oneshot(both).await?, Outcome::Undone { cause: None });
//! assert_eq!(service.oneshot(vec![Trip::Book("flight")]).await?, Outcome::Done);
//! # Ok(())
//! # }
//! ```
//!
//! Undos that are tried again, and plans that are finished without their callers:
//!
//! ```
//! # use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use resilient::compensate::{CompensateLayer, Outcome, Standing, Step};
//! use resilient::detach::{DetachLayer, Tracker};
//! use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
//! use tower::retry::RetryLayer;
//! use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[derive(Clone)]
//! # struct Always;
//! # impl<Request, Response, Error> Classify<Request, Response, Error> for Always {
//! #     fn classify(&self, _: &Request, result: &Result<Response, Error>) -> Class {
//! #         if result.is_ok() { Class::Done } else { Class::NotDone }
//! #     }
//! # }
//! # #[derive(Clone, Debug, PartialEq)]
//! # struct Booking;
//! # impl Step for Booking {
//! #     fn fence(&self) -> Self { Booking }
//! #     fn undo(&self) -> Option<Self> { Some(Booking) }
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! # let agency = service_fn(|_: Booking| async { Ok::<_, Infallible>(Standing::Made) });
//! let backoff = Backoff::new(Duration::from_millis(150), Duration::from_secs(2), 1.0, 60)?;
//! let patient = RetryLayer::new(Policy::new(Always, backoff, Conflicts::default()));
//!
//! let plans = ServiceBuilder::new()
//!     .layer(DetachLayer::new(Tracker::new()))
//!     .layer(CompensateLayer::new(patient.layer(agency.clone())))
//!     .service(agency);
//! assert_eq!(plans.oneshot(vec![Booking; 3]).await?, Outcome::Done);
//! # Ok(())
//! # }
//! ```
//!
//! # Clone
//!
//! Clones share nothing but what the clones of the two services share. Each request goes to an
//! instance of its own: the first step to the one that was asked for readiness, every other step,
//! fence and undo to a fresh clone that is asked for its own.
//!
//! # Order
//!
//! [`Detach`](crate::detach) goes above, whatever applies to one request (retries, timeouts) below.
//! Retries above would make a plan again that was undone, and must not follow
//! [`Unknown`](Outcome::Unknown) or [`Stuck`](Outcome::Stuck). The service for the steps must answer
//! an error that leaves the step in doubt as an error, and [`Never`](Standing::Never) only if the
//! step cannot happen any more.
//!
//! Undos run one after the other, the last step first, as a step may rest on the ones before it. For
//! the same reason nothing further is undone once an undo has failed: see
//! [`Stuck`](Outcome::Stuck).
//!
//! # Cancel safety
//!
//! None: dropping the future in the middle leaves the plan half made, without telling anybody. Put
//! [`Detach`](crate::detach) above. Dropping it before the first poll has sent nothing.
//!
//! A plan is kept in memory alone: if the process ends in the middle, then whoever starts next must
//! finish or undo it, from a record that was written before the plan began.
//!
//! # Errors
//!
//! The future itself never comes to an error: what went wrong is in the [`Outcome`]. Readiness of the
//! service for the steps is asked before a plan begins, and its error passes through; nothing was
//! sent then. After that, an error of readiness counts as the error of the step, fence or undo that
//! waited for it.

mod future;
mod layer;
mod outcome;
mod step;

use std::mem;
use std::task::{Context, Poll};

use tower::Service;

pub use future::ResponseFuture;
pub use layer::CompensateLayer;
pub use outcome::Outcome;
pub use step::{Standing, Step};

/// Makes plans by the requests of `S`, fences and undoes by those of `U`. See the
/// [module](crate::compensate).
#[derive(Clone, Debug)]
pub struct Compensate<S, U> {
    inner: S,
    undo: U,
}

impl<S, U> Compensate<S, U> {
    /// Makes steps with `inner`; fences them and takes them back with `undo`.
    pub fn new(inner: S, undo: U) -> Self {
        Self { inner, undo }
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

impl<S, U, T> Service<Vec<T>> for Compensate<S, U>
where
    S: Service<T, Response = Standing> + Clone,
    U: Service<T, Response = Standing> + Clone,
    T: Step,
{
    type Response = Outcome<T, S::Error, U::Error>;
    type Error = S::Error;
    type Future = ResponseFuture<S, U, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, plan: Vec<T>) -> Self::Future {
        // The future takes the very instance that was asked for readiness.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        ResponseFuture::new(ready, self.undo.clone(), plan)
    }
}
