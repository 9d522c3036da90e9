use tokio::time::Instant;

/// How an attempt ended, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Finished: a success, or a refusal that another attempt cannot change.
    Done,
    /// It certainly had no effect: worth another attempt after a delay.
    NotDone,
    /// It may have had its effect, or may yet: worth another attempt only where requests are
    /// idempotent.
    Unknown,
    /// Somebody else changed what the attempt was based on: another one, based on fresh state,
    /// is due at once.
    Conflict,
}

/// Tells the [`Class`] of an attempt, until when there may be another, and readies a request for it.
pub trait Classify<Request, Response, Error> {
    /// The class of `result`, which `request` came to.
    fn classify(&self, request: &Request, result: &Result<Response, Error>) -> Class;

    /// The deadline that `request` carries, if it does: no retry of it, of a conflict neither, is
    /// planned to begin later, so that the last failure is told to whoever still waits for it. Waiting
    /// for readiness is not foreseen. Only retries are limited: an attempt that was begun needs a
    /// [timeout](crate::timeout).
    fn deadline(&self, request: &Request) -> Option<Instant> {
        let _ = request;
        None
    }

    /// Called before `request` is sent again, with the class of the attempt that failed: the place
    /// to note in the request that an earlier attempt may have taken effect.
    fn again(&self, request: &mut Request, class: Class) {
        let _ = (request, class);
    }
}
