/// The rules that make transfers exact.
///
/// Whoever runs a ledger keeps them all ([`Rules::default`]). They can be broken, one at a time, so
/// that a simulation can show that it would notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What a change depends on is read after the cell that it changes.
    pub guard_after_cell: bool,
    /// It is read again for each try.
    pub guard_for_each_try: bool,
    /// That a transfer is not in the outbox does not mean that it never was: its record is asked.
    pub record_tells: bool,
    /// The record is written before the transfer leaves the outbox.
    pub record_before_retire: bool,
    /// The receiver's mark is removed when the transfer has left the outbox.
    pub retire_before_prune: bool,
    /// A transfer is undone only when its debit cannot be made any more.
    pub fence_before_undo: bool,
    /// *Not applied* is said only when a put has made it so (a seal, a tombstone).
    pub seal_before_not_applied: bool,
    /// A put that was refused for its version may be the second arrival of one that was made.
    pub conflict_is_doubt: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            guard_after_cell: true,
            guard_for_each_try: true,
            record_tells: true,
            record_before_retire: true,
            retire_before_prune: true,
            fence_before_undo: true,
            seal_before_not_applied: true,
            conflict_is_doubt: true,
        }
    }
}
