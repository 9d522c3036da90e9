//! Services that fail, and what tries them again.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use resilient::retry::{Backoff, Class, Classify, Conflicts, Policy};

/// An error of the inner service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed(pub(crate) &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed on purpose: {}", self.0)
    }
}

impl Error for Failed {}

/// Tries errors again, so many times, `delay` later.
pub(crate) fn policy(delay: Duration, trials: u32) -> Policy<Always> {
    let backoff = Backoff::new(delay, delay, 0.0, trials).expect("a valid backoff");
    Policy::new(Always, backoff, Conflicts::default())
}

/// Takes every error for one after which nothing was done.
#[derive(Clone)]
pub(crate) struct Always;

impl<Request, Response, Error> Classify<Request, Response, Error> for Always {
    fn classify(&self, _: &Request, result: &Result<Response, Error>) -> Class {
        match result {
            Ok(_) => Class::Done,
            Err(_) => Class::NotDone,
        }
    }
}
