//! Resilience for [`tower`] services.
//!
//! | Module | What it does |
//! |---|---|
//! | [`retry`] | a policy for tower's own `Retry`: outcomes in classes, jittered delays, conflicts apart from errors, a shared budget |
//! | [`timeout`] | limits the time of a call, waiting for readiness included |
//! | [`compensate`] | runs steps in order; when one cannot be made, takes back the ones before it |
//! | [`quarantine`] | refuses every call while something is known to be wrong |
//! | [`batch`] | folds the requests that wait into one call of a service of batches |
//! | [`detach`] | runs a call to its end on a tracked task, whatever becomes of the caller |
//! | `inject` | makes calls fail or wait on purpose, by key (feature `testing`) |
//! | `testing` | a probe of what a layer does to its service, and a network that loses, doubles and reorders (feature `testing`) |
//!
//! Nothing in here knows what the services do. Each layer keeps the promises of a tower service:
//! readiness is asked of the very instance that is called, errors of readiness pass through, and
//! dropping a future releases what it holds, except where outliving its caller is the point
//! ([`detach`], [`batch`]).

pub mod batch;
pub mod compensate;
pub mod detach;
#[cfg(feature = "testing")]
pub mod inject;
pub mod quarantine;
pub mod retry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timeout;

/// Compiles and runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
