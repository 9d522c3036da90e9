/// A step of a plan: a request that can be called off, and taken back.
///
/// The requests of [`fence`](Step::fence) and [`undo`](Step::undo) may be sent more than once, and
/// must come to the same then (be idempotent).
pub trait Step: Clone {
    /// The request that makes sure that this step, if it has not happened, never will. Its answer
    /// tells which of the two it is: [`Made`](Standing::Made) or [`Never`](Standing::Never).
    #[must_use]
    fn fence(&self) -> Self;

    /// The request that takes this step back; `None` where there is nothing to take back.
    #[must_use]
    fn undo(&self) -> Option<Self>;
}

/// What is known of a step after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It has happened.
    Made,
    /// It has not, and never will.
    Never,
}
