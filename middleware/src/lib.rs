//! Resilience for [`tower`] services.
//!
//! | Module | What it does |
//! |---|---|
//! | [`retry`] | a policy for tower's own `Retry`: outcomes in classes, jittered delays, conflicts apart from errors |
//! | [`detach`] | runs a call to its end on a tracked task, whatever becomes of the caller |
//! | `inject` | makes calls fail or wait on purpose (feature `testing`) |
//!
//! Nothing in here knows what the services do. Each layer keeps the promises of a tower service:
//! readiness is asked of the very instance that is called, errors of readiness pass through, and
//! dropping a future releases what it holds, except where outliving its caller is the point
//! ([`detach`]).

pub mod detach;
#[cfg(feature = "testing")]
pub mod inject;
pub mod retry;

/// Compiles and runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
