use tower::BoxError;

use super::Entry;

/// A request to a store failed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The write was refused, since what it was based on has changed. Where requests cross a
    /// network this may be the second arrival of a write whose first was made: read again.
    #[error("conflict")]
    Conflict(#[source] Conflict),
    /// The request certainly had no effect.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
    /// A write may have been made, or may yet be.
    #[error("the outcome of a write is not known")]
    Unknown(#[source] BoxError),
    /// The request can never succeed as it stands. It had no effect.
    #[error("invalid request to the store: {0}")]
    Invalid(String),
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Keys have other versions.
    #[error("a key has another version")]
    Version {
        /// All the keys of the write whose version was not the one named, with what they held when it
        /// was refused (`""` and 0 for nothing); empty where the store does not tell.
        moved: Vec<Entry>,
    },
    /// The store was reset.
    #[error("the store was reset; its epoch is {current}")]
    Epoch {
        /// Its epoch.
        current: u64,
    },
}

impl Conflict {
    /// That a key has another version; the store does not tell which.
    #[must_use]
    pub fn somewhere() -> Self {
        Self::Version { moved: Vec::new() }
    }
}
