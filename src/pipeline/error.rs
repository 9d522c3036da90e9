use std::sync::Arc;

use resilient::batch::Full;
use resilient::quarantine::Quarantined;
use resilient::retry::Class;
use resilient::timeout::Elapsed;
use tower::BoxError;
use tower::load_shed::error::Overloaded;
use uuid::Uuid;

use super::posting::Posting;
use super::record::Outcome;
use crate::kv::{Key, KvError};
use crate::telemetry::Chain;

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
    /// It was certainly not made, since as many are under way as may be.
    #[error("transfer {id} was refused: too many are under way")]
    Overloaded {
        /// The transfer.
        id: Uuid,
    },
    /// It was certainly not made, since none is while the ledger is suspect.
    #[error("transfer {id} was refused: {reason}")]
    Quarantined {
        /// The transfer.
        id: Uuid,
        /// What is wrong with the ledger.
        reason: Arc<str>,
    },
    /// It was not made, for its client has given the same name to another transfer.
    #[error("its key is that of another transfer, {id}")]
    KeyTaken {
        /// The other one.
        id: Uuid,
    },
    /// Nothing was begun, since it could not be learned whether one was made under its key before. To post it
    /// again under the same key is safe.
    #[error("it is not known whether a transfer was made under its key before")]
    Unclaimed {
        /// What keeps us from knowing.
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

/// What stands against an attempt.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the balance of {person:?} would leave the range that is counted")]
    OutOfRange { person: Key },
    #[error("what the store holds for {person:?} is no balance")]
    Unreadable { person: Key },
    #[error("{person:?} has too many open transfers")]
    Full { person: Key },
    #[error("the transfer was given up before")]
    Undone,
    #[error("it is too late to begin with it")]
    Late,
    #[error("the ledger was reset")]
    Reset,
    #[error("others were faster, time and again")]
    CrowdedOut,
    #[error("it was to be made together with others of which one cannot be")]
    Parted,
    #[error("the store says contradictory things of the transfer")]
    Contradiction,
    #[error("an attempt took too long")]
    Slow(#[from] Elapsed),
    #[error(transparent)]
    Store(#[from] KvError),
}

impl Cause {
    /// What another attempt is worth.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Store(KvError::Conflict(_)) | Self::Full { .. } => Class::Conflict,
            Self::Store(KvError::Unavailable(_)) => Class::NotDone,
            Self::Store(KvError::Unknown(_)) | Self::Slow(_) => Class::Unknown,
            Self::Store(KvError::Invalid(_))
            | Self::OutOfRange { .. }
            | Self::Unreadable { .. }
            | Self::Undone
            | Self::Late
            | Self::Reset
            | Self::CrowdedOut
            | Self::Parted
            | Self::Contradiction => Class::Done,
        }
    }

    /// Whether nothing of the transfer is in the ledger any more: it was reset.
    pub(super) fn is_past(&self) -> bool {
        matches!(self, Self::Reset | Self::Contradiction)
    }

    /// The same without names of people, for the log.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::OutOfRange { .. } => "a balance would leave the range that is counted".to_owned(),
            Self::Unreadable { .. } => "what the store holds for a person is no balance".to_owned(),
            Self::Full { .. } => "a person has too many open transfers".to_owned(),
            Self::Store(KvError::Invalid(_)) => "the store calls a request invalid".to_owned(),
            other => Chain(other).to_string(),
        }
    }
}

/// A transfer that came to no good end.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failed {
    #[source]
    pub(super) cause: Arc<Cause>,
    /// Whether it may have been made all the same, or may yet be.
    pub(super) doubt: bool,
}

impl Failed {
    /// It was not made, and never will be.
    pub(super) fn certain(cause: impl Into<Arc<Cause>>) -> Self {
        Self {
            cause: cause.into(),
            doubt: false,
        }
    }

    /// Whether it may yet be made, so that it must be looked after.
    pub(super) fn may_be_open(&self) -> bool {
        self.doubt && !matches!(*self.cause, Cause::Reset)
    }

    /// It may have been made.
    pub(super) fn in_doubt(cause: impl Into<Arc<Cause>>) -> Self {
        Self {
            cause: cause.into(),
            doubt: true,
        }
    }
}

impl TransferError {
    /// Whether the transfer was certainly not made, and never will be.
    pub(super) fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::Unclaimed { .. })
    }

    /// What an error of the layers says of `posting`; `Ok` if it was made for all that.
    pub(super) fn from_stack(error: BoxError, posting: &Posting) -> Result<(), Self> {
        let id = posting.id;
        let error = match error.downcast::<Failed>() {
            Ok(failed) => return Err(Self::from_failed(*failed, id)),
            Err(error) => error,
        };
        Err(match error.downcast::<Quarantined>() {
            Ok(quarantined) => Self::Quarantined {
                id,
                reason: Arc::clone(quarantined.reason()),
            },
            // Everything else comes from above what runs: the work was not begun, goes on, or was lost
            // in the middle.
            Err(_) if posting.ended() == Some(Outcome::Done) => return Ok(()),
            Err(cause) if posting.ended() == Some(Outcome::Undone) => {
                Self::NotApplied { id, cause }
            }
            Err(cause) if posting.give_up() => match cause.is::<Full>() || cause.is::<Overloaded>()
            {
                true => Self::Overloaded { id },
                false => Self::NotApplied { id, cause },
            },
            Err(cause) => Self::Unknown { id, cause },
        })
    }

    fn from_failed(Failed { cause, doubt }: Failed, id: Uuid) -> Self {
        match &*cause {
            _ if doubt => Self::Unknown {
                id,
                cause: cause.into(),
            },
            Cause::OutOfRange { person } => Self::OutOfRange {
                person: person.to_string(),
            },
            Cause::Unreadable { person } => Self::Unreadable {
                person: person.to_string(),
            },
            _ => Self::NotApplied {
                id,
                cause: cause.into(),
            },
        }
    }
}
