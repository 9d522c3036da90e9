/// The largest balance, either way: 2^53 − 1, up to which every program that reads JSON numbers as
/// floating point has them exact.
pub const MAX_BALANCE: i64 = (1 << 53) - 1;

/// What is transferred: 1 to [`MAX_BALANCE`], in whatever unit the group counts (cents, say).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

impl Amount {
    /// An amount of `units`.
    ///
    /// # Errors
    ///
    /// [`InvalidAmount`] outside 1 to [`MAX_BALANCE`].
    pub fn new(units: i64) -> Result<Self, InvalidAmount> {
        match units {
            ..1 => Err(InvalidAmount::TooSmall),
            1..=MAX_BALANCE => Ok(Self(units)),
            _ => Err(InvalidAmount::TooLarge),
        }
    }

    /// The number of units.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// A number that is no [`Amount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Zero or negative.
    #[error("must be at least 1")]
    TooSmall,
    /// Past [`MAX_BALANCE`].
    #[error("must be at most {MAX_BALANCE}")]
    TooLarge,
}
