use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Blows the fuse and lifts the quarantine. Clones act on the same one; it is intact at first.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    fuse: Arc<Fuse>,
}

#[derive(Debug, Default)]
struct Fuse {
    /// Whether there is a reason, for every call to look at without a lock. Changed under that of `reason`.
    is_blown: AtomicBool,
    /// Why calls are refused; `None` while they are not.
    reason: watch::Sender<Option<Arc<str>>>,
}

impl Handle {
    /// A fuse that is intact.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses, because of `reason`, every call that begins after this. If it was blown already the
    /// first reason stays: what is found later is often but a consequence.
    pub fn blow(&self, reason: impl Into<Arc<str>>) {
        // Made before the state is locked: a conversion is the caller's code.
        let reason = reason.into();
        self.fuse.reason.send_if_modified(|state| {
            let intact = state.is_none();
            state.get_or_insert(reason);
            self.fuse.is_blown.store(true, Ordering::SeqCst);
            intact
        });
    }

    /// Ends the quarantine: lets calls through again. Nothing happens if there is none.
    pub fn lift(&self) {
        self.fuse.reason.send_if_modified(|state| {
            self.fuse.is_blown.store(false, Ordering::SeqCst);
            state.take().is_some()
        });
    }

    /// Why calls are refused, or `None` if they are not.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        match self.fuse.is_blown.load(Ordering::SeqCst) {
            true => self.fuse.reason.borrow().clone(),
            false => None,
        }
    }

    /// Waits for changes: of the newest reason, and of `None` for intact. What was the case before
    /// counts as seen. Changes between two looks at it come as one.
    ///
    /// Do not keep what its `borrow` returns: [`blow`](Self::blow), [`lift`](Self::lift) and then
    /// every call that is refused wait for it to be dropped.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.fuse.reason.subscribe()
    }
}
