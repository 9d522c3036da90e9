use tower::BoxError;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A key has another version.
    #[error("a key has another version")]
    Version,
    /// The store was reset.
    #[error("the store was reset; its epoch is {current}")]
    Epoch {
        /// Its epoch.
        current: u64,
    },
}
