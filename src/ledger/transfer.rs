use super::{Amount, Name};

/// Money that one person gave for another: the sender is owed it afterwards, the receiver owes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    sender: Name,
    receiver: Name,
    amount: Amount,
}

impl Transfer {
    /// A transfer of `amount` from `sender` to `receiver`.
    ///
    /// # Errors
    ///
    /// [`SamePerson`] if the two are one.
    pub fn new(sender: Name, receiver: Name, amount: Amount) -> Result<Self, SamePerson> {
        if sender == receiver {
            Err(SamePerson)
        } else {
            Ok(Self {
                sender,
                receiver,
                amount,
            })
        }
    }

    /// Whose balance grows.
    #[must_use]
    pub fn sender(&self) -> &Name {
        &self.sender
    }

    /// Whose balance shrinks.
    #[must_use]
    pub fn receiver(&self) -> &Name {
        &self.receiver
    }

    /// By how much.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }
}

/// Sender and receiver of a transfer are the same person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be another person than the sender")]
pub struct SamePerson;
