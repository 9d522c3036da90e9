use tower::BoxError;
use uuid::Uuid;

use super::posting::Posting;
use super::transaction::{Cause, Failed};

/// A transfer was not made, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A balance would leave ±[`MAX_BALANCE`](crate::ledger::MAX_BALANCE). It was not made.
    #[error("the balance of {person:?} would leave the range that is counted")]
    OutOfRange {
        /// Whose.
        person: String,
    },
    /// What the store holds for a person is no balance; nothing was overwritten. It was not made.
    #[error("what the store holds for {person:?} is no balance")]
    Unreadable {
        /// For whom.
        person: String,
    },
    /// It was certainly not made: another attempt is safe.
    #[error("transfer {id} was not made")]
    NotApplied {
        /// The transfer.
        id: Uuid,
        /// What stood against it.
        #[source]
        cause: BoxError,
    },
    /// It may have been made, or may yet be.
    #[error("it is not known whether transfer {id} was made")]
    Unknown {
        /// The transfer.
        id: Uuid,
        /// What keeps us from knowing.
        #[source]
        cause: BoxError,
    },
}

impl TransferError {
    /// Tells what an error of the layers says of `posting`.
    pub(super) fn from_stack(error: BoxError, posting: &Posting) -> Self {
        let id = posting.id;
        match error.downcast::<Failed>() {
            Ok(failed) => Self::from_attempt(*failed, id),
            // Everything else comes from above Detach: the work goes on, or was lost in the middle.
            Err(cause) if posting.give_up() => Self::NotApplied { id, cause },
            Err(cause) => Self::Unknown { id, cause },
        }
    }

    fn from_attempt(Failed { cause, doubt }: Failed, id: Uuid) -> Self {
        match cause {
            cause if doubt => Self::Unknown {
                id,
                cause: cause.into(),
            },
            Cause::OutOfRange { person } => Self::OutOfRange {
                person: person.to_string(),
            },
            Cause::Unreadable { person } => Self::Unreadable {
                person: person.to_string(),
            },
            cause @ (Cause::Store(_) | Cause::Undone) => Self::NotApplied {
                id,
                cause: cause.into(),
            },
        }
    }
}
