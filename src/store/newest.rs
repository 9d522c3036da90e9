use std::sync::{PoisonError, RwLock};

/// The newest commit, which every reader sees. Only the writer changes it, in place, while nobody reads:
/// so it copies what a snapshot still holds, and nothing else.
#[derive(Debug)]
pub struct Newest<S>(RwLock<S>);

impl<S: Clone> Newest<S> {
    pub(super) fn new(first: S) -> Self {
        Self(RwLock::new(first))
    }

    /// It, as a whole. Later commits do not change what this returns.
    #[must_use]
    pub fn snapshot(&self) -> S {
        // Nothing panics while it is changed.
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows another commit.
    pub(super) fn change(&self, change: impl FnOnce(&mut S)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Shows `next` in its place.
    pub(super) fn replace(&self, next: S) {
        let mut last = next;
        self.change(|newest| std::mem::swap(newest, &mut last));
        // What was shown before is freed here, where no reader waits for it.
    }
}
