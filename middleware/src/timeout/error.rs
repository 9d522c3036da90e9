use std::fmt;
use std::time::Duration;

/// The time of a call was over before its answer was there. Whether the call took effect is not
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    after: Duration,
}

impl Elapsed {
    pub(super) fn new(after: Duration) -> Self {
        Self { after }
    }

    /// The limit that was kept.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not answered within {:?}", self.after)
    }
}

impl std::error::Error for Elapsed {}
