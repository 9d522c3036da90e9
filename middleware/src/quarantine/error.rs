use std::fmt;
use std::sync::Arc;

/// The call was refused, and had no effect: the service is in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    reason: Arc<str>,
}

impl Quarantined {
    pub(super) fn new(reason: Arc<str>) -> Self {
        Self { reason }
    }

    /// Why, in the words of whoever blew the fuse.
    #[must_use]
    pub fn reason(&self) -> &Arc<str> {
        &self.reason
    }
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused, in quarantine: {}", self.reason)
    }
}

impl std::error::Error for Quarantined {}
