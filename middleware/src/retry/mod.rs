//! A policy for tower's [`Retry`](tower::retry::Retry): what to try again, when, and how often.
//!
//! An attempt ends in one of four classes ([`Class`]); [`Classify`] says which. Errors wait for the
//! delays of a [`Backoff`] and are limited in number. Conflicts (somebody else was faster) say
//! nothing about the health of the service below: the first ones are tried again at once, the
//! further ones within milliseconds, limited by time ([`Conflicts`]).
//!
//! Three things limit the retries of errors: their number, the [deadline](#deadline) of the request,
//! and the [budget](#budget) of all requests together.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
//! use tower::{Layer, ServiceExt, retry::RetryLayer, service_fn};
//!
//! /// Every error is worth another try.
//! #[derive(Clone)]
//! struct Always;
//!
//! impl<Request, Response, Error> Classify<Request, Response, Error> for Always {
//!     fn classify(&self, _: &Request, result: &Result<Response, Error>) -> Class {
//!         if result.is_ok() { Class::Done } else { Class::NotDone }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `Retry` clones the service: what its attempts have in common is behind an `Arc`.
//! let attempts = Arc::new(AtomicU32::new(0));
//! let counter = Arc::clone(&attempts);
//! let flaky = service_fn(move |name: &'static str| {
//!     let earlier = counter.fetch_add(1, Ordering::Relaxed);
//!     async move { if earlier < 2 { Err("not yet") } else { Ok(format!("hello, {name}")) } }
//! });
//!
//! // Up to 6 retries after random delays, of at most 150 ms, 300 ms, 600 ms and so on up to 2 s.
//! let backoff = Backoff::new(Duration::from_millis(150), Duration::from_secs(2), 1.0, 6)?;
//! let policy = Policy::new(Always, backoff, Conflicts::default());
//! let service = RetryLayer::new(policy).layer(flaky);
//!
//! assert_eq!(service.oneshot("world").await?, "hello, world");
//! assert_eq!(attempts.load(Ordering::Relaxed), 3);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Classify`] that tells all four classes apart, and lets the server know when an earlier
//! attempt may have taken effect:
//!
//! ```
//! use resilient::retry::{Class, Classify};
//!
//! /// A write that holds only for the revision it was based on; answered by an HTTP status.
//! #[derive(Clone)]
//! struct Put {
//!     value: i64,
//!     perhaps_written: bool,
//! }
//!
//! #[derive(Clone)]
//! struct ByStatus;
//!
//! impl<Error> Classify<Put, u16, Error> for ByStatus {
//!     fn classify(&self, _: &Put, result: &Result<u16, Error>) -> Class {
//!         match result {
//!             Ok(409) => Class::Conflict,
//!             Ok(429 | 503) => Class::NotDone,
//!             Ok(500..) | Err(_) => Class::Unknown, // it may be the answer that got lost
//!             Ok(_) => Class::Done,
//!         }
//!     }
//!
//!     fn again(&self, put: &mut Put, class: Class) {
//!         put.perhaps_written |= class == Class::Unknown;
//!     }
//! }
//! #
//! # let mut put = Put { value: 1, perhaps_written: false };
//! # for (status, class) in [(409, Class::Conflict), (503, Class::NotDone), (504, Class::Unknown), (200, Class::Done)] {
//! #     assert_eq!(ByStatus.classify(&put, &Ok::<_, ()>(status)), class);
//! #     Classify::<_, u16, ()>::again(&ByStatus, &mut put, class);
//! #     assert_eq!(put.perhaps_written, matches!(status, 504 | 200));
//! # }
//! ```
//!
//! # Deadline
//!
//! A request that somebody waits for has a deadline, whatever number of retries is left, and several
//! requests made for the same caller have the same one. It belongs into the request, where
//! [`Classify::deadline`] finds it:
//!
//! ```
//! use std::time::Duration;
//!
//! use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
//! use tokio::time::Instant;
//! use tower::{ServiceExt, retry::Retry, service_fn};
//!
//! #[derive(Clone)]
//! struct Get {
//!     until: Instant,
//! }
//!
//! #[derive(Clone)]
//! struct UntilDeadline;
//!
//! impl<Response, Error> Classify<Get, Response, Error> for UntilDeadline {
//!     fn classify(&self, _: &Get, result: &Result<Response, Error>) -> Class {
//!         if result.is_ok() { Class::Done } else { Class::NotDone }
//!     }
//!
//!     fn deadline(&self, get: &Get) -> Option<Instant> {
//!         Some(get.until)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Attempts are due after 0, 100, 200, 300 ms, and so on.
//! let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100), 0.0, 9)?;
//! let down = service_fn(|_: Get| async { Err::<(), _>("down") });
//! let service = Retry::new(Policy::new(UntilDeadline, backoff, Conflicts::never()), down);
//!
//! let start = Instant::now();
//! let get = Get { until: start + Duration::from_millis(250) };
//! assert_eq!(service.oneshot(get).await, Err("down"));
//! assert_eq!(start.elapsed(), Duration::from_millis(200));
//! # Ok(())
//! # }
//! ```
//!
//! # Budget
//!
//! A number of retries limits the requests of one caller. When everything fails, all callers
//! together still send a multiple of the usual load, just when it can be borne least. A
//! [budget](Policy::budget) keeps the retries of all in proportion to the successes:
//!
//! | An attempt that was | does what to the budget |
//! |---|---|
//! | [`Class::Done`] and `Ok` | deposits |
//! | [`Class::Done`] and `Err`: a refusal | nothing |
//! | [`Class::NotDone`] or [`Class::Unknown`] | withdraws for the retry, if one is made; without the means for it, none is |
//! | [`Class::Conflict`] | nothing: it tells of rivals, and not of a service in trouble |
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! # use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};
//! use tower::retry::budget::TpsBudget;
//! # #[derive(Clone)]
//! # struct Always;
//! # impl<Request, Response, Error> Classify<Request, Response, Error> for Always {
//! #     fn classify(&self, _: &Request, result: &Result<Response, Error>) -> Class {
//! #         if result.is_ok() { Class::Done } else { Class::NotDone }
//! #     }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let backoff = Backoff::new(Duration::from_millis(150), Duration::from_secs(2), 1.0, 6)?;
//!
//! // A retry for each success of the last 10 s, and 5 a second besides.
//! let budget = Arc::new(TpsBudget::new(Duration::from_secs(10), 5, 1.0));
//! let policy = Policy::new(Always, backoff, Conflicts::default()).budget(budget);
//! # let _: Policy<Always> = policy;
//! # Ok(())
//! # }
//! ```
//!
//! Three traps of [`TpsBudget`](tower::retry::budget::TpsBudget):
//!
//! - Up to a share of 1.0, it withdraws `1 / share` deposits for a retry, *without the fraction*:
//!   0.6 acts as 1.0, and 0.4 as 0.5. Take 1.0, 0.5 or 0.25.
//! - Where a share `p` of all attempts fails as a matter of course, each success takes `p / (1 − p)`
//!   retries: 0.5 for a third. The usual 0.2 starves such callers. About 1.0 and a reserve (which also
//!   serves those who have just begun) is for them, and still stops the flood when nothing succeeds.
//! - What was earned in its time is kept, however much it is: a busy service that goes away gets all of
//!   it at once. [`TokenBucket`] keeps a few only.
//!
//! # Clone
//!
//! tower clones the policy for each request: the attempts are counted for that request alone. The
//! source of randomness is shared by all clones, so that no two requests wait in step, and so is the
//! budget. Requests must be `Clone` too, which an HTTP request with a streamed body is not: collect the
//! body above.
//!
//! # Order
//!
//! Put a timeout for one attempt *below* `Retry`, one for the whole *above*. Retry in one place
//! only: three layers of three attempts are 27 requests.
//!
//! # Cancel safety
//!
//! Dropping the future between two attempts gives up the further ones. Whether the attempt under
//! way took effect is then not known; [`detach`](crate::detach) keeps a caller from doing that.
//! Dropping returns nothing to the budget.
//!
//! # Errors
//!
//! What the last attempt came to passes as it is, and so does an error of readiness between two
//! attempts, which is final. The policy adds none of its own; a [`Backoff`] that cannot be is an
//! [`InvalidBackoff`].
//!
//! # Panics
//!
//! Requests must be sent inside a tokio runtime with a timer, by which retries wait.

mod backoff;
mod bucket;
mod classify;
mod policy;

pub use backoff::{Backoff, Delays, InvalidBackoff};
pub use bucket::TokenBucket;
pub use classify::{Class, Classify};
pub use policy::{Conflicts, Policy, Waiting};
