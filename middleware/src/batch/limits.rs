use std::fmt;

use super::InvalidLimits;

/// How much is taken on, and how much of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) requests: usize,
    pub(super) admitted: usize,
    pub(super) in_flight: usize,
    pub(super) enough: usize,
}

impl Limits {
    /// At most `requests` a batch, ten times as many waiting or under way, one batch at a time.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] if it is zero.
    pub fn new(requests: usize) -> Result<Self, InvalidLimits> {
        Ok(Self {
            requests: positive(requests, "requests in a batch")?,
            admitted: requests.saturating_mul(10),
            in_flight: 1,
            enough: usize::MAX,
        })
    }

    /// The same with at most `admitted` requests that wait or are under way; more are refused.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] if it is zero.
    pub fn admitted(self, admitted: usize) -> Result<Self, InvalidLimits> {
        Ok(Self {
            admitted: positive(admitted, "admitted requests")?,
            ..self
        })
    }

    /// The same, where a batch of `enough` requests waits for no more, if it has at least half of those
    /// that are there: the other half comes together while it is under way. Without this, all who ask
    /// again at once when they are answered are in one batch, and nothing is done beside it.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] if it is zero.
    pub fn enough(self, enough: usize) -> Result<Self, InvalidLimits> {
        Ok(Self {
            enough: positive(enough, "requests that are enough")?,
            ..self
        })
    }

    /// The same with up to `in_flight` batches at a time. With more than one they may overtake each
    /// other: requests must not depend on those of another batch.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] if it is zero.
    pub fn in_flight(self, in_flight: usize) -> Result<Self, InvalidLimits> {
        Ok(Self {
            in_flight: positive(in_flight, "batches in flight")?,
            ..self
        })
    }
}

fn positive(limit: usize, of: &'static str) -> Result<usize, InvalidLimits> {
    match limit {
        0 => Err(InvalidLimits::new(of)),
        _ => Ok(limit),
    }
}

/// What a request adds to the weight of its batch, and how heavy one may be.
pub(super) struct Weighing<Request> {
    pub(super) most: usize,
    pub(super) weigh: fn(&Request) -> usize,
}

impl<Request> Weighing<Request> {
    pub(super) fn nothing() -> Self {
        Self {
            most: usize::MAX,
            weigh: |_| 0,
        }
    }
}

impl<Request> Clone for Weighing<Request> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Request> Copy for Weighing<Request> {}

impl<Request> fmt::Debug for Weighing<Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighing")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}
