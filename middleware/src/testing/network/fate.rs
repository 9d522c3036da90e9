use std::time::Duration;

/// What the network does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives, and so does the answer.
    Fine,
    /// It is refused before it was sent, and the caller can tell.
    Refused,
    /// It is lost on the way, and nobody can tell.
    Lost,
    /// It arrives, and its answer is lost: to the caller, the same as [`Lost`](Fate::Lost).
    Unanswered,
    /// It arrives twice, one after the other, and the second answer comes back.
    Doubled,
    /// It arrives when nobody waits for it any more, after whatever was sent since: to the caller,
    /// the same as [`Lost`](Fate::Lost).
    Late,
}

/// What happens to one request, and when.
///
/// The caller waits for `before` and `after`, and in between for the service where it gets the
/// request; whether an answer or an error comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// What happens.
    pub fate: Fate,
    /// How long the request is under way.
    pub before: Duration,
    /// How long the answer is under way, or until the caller gets an error in its place.
    pub after: Duration,
    /// How long after that a [`Late`](Fate::Late) request arrives; of no effect in other cases.
    pub late_by: Duration,
}

impl Happening {
    /// `fate`, without delay.
    #[must_use]
    pub fn new(fate: Fate) -> Self {
        Self {
            fate,
            before: Duration::ZERO,
            after: Duration::ZERO,
            late_by: Duration::ZERO,
        }
    }
}
