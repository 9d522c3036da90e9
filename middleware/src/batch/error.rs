use std::fmt;
use std::sync::Arc;

use tower::BoxError;

/// No place for a further request: as many wait, or are under way, as may. It was not begun.
#[derive(Debug)]
pub struct Full {
    admitted: usize,
}

impl Full {
    pub(super) fn new(admitted: usize) -> Self {
        Self { admitted }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests wait or are under way already",
            self.admitted
        )
    }
}

impl std::error::Error for Full {}

/// The batch of a request ended without an answer to it: it panicked, its answers were too few, or
/// its runtime was shut down. What was done until then is not known.
#[derive(Debug)]
pub struct Lost {
    _private: (),
}

impl Lost {
    pub(super) fn new() -> Self {
        Self { _private: () }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch of the request ended without an answer to it")
    }
}

impl std::error::Error for Lost {}

/// A batch failed as a whole. Its requests share the error, which is the source of this one.
#[derive(Clone, Debug)]
pub struct BatchFailed {
    error: Arc<BoxError>,
}

impl BatchFailed {
    pub(super) fn new(error: BoxError) -> Self {
        Self {
            error: Arc::new(error),
        }
    }
}

impl fmt::Display for BatchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the batch of the request failed as a whole")
    }
}

impl std::error::Error for BatchFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&**self.error)
    }
}

/// A limit of zero: nothing could ever be done.
#[derive(Debug)]
pub struct InvalidLimits {
    limit: &'static str,
}

impl InvalidLimits {
    pub(super) fn new(limit: &'static str) -> Self {
        Self { limit }
    }
}

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit of {} must be at least 1", self.limit)
    }
}

impl std::error::Error for InvalidLimits {}
