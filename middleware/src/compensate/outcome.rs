/// How a plan of steps `T` ended, where a step comes to errors `E`, its fence or undo to errors `U`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Outcome<T, E, U> {
    /// Every step was made.
    Done,
    /// Nothing of the plan remains.
    Undone {
        /// The error of the step that was not made; `None` where the service answered
        /// [`Never`](super::Standing::Never).
        cause: Option<E>,
    },
    /// It is not known whether `step` was made, or will be. Nothing was undone: the steps before it
    /// stand, the steps after it were not sent. Somebody else must see to it.
    Unknown {
        /// The step in doubt.
        step: T,
        /// Its error.
        cause: E,
        /// The error of its fence.
        fence: U,
    },
    /// A step that had to be taken back could not be. The steps after it are undone, the steps
    /// before it stand. Somebody else must see to it.
    Stuck {
        /// The error of the step that was not made, as in [`Undone`](Outcome::Undone).
        cause: Option<E>,
        /// The error of the undo.
        undo: U,
    },
}
