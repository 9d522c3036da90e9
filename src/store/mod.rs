//! The embedded engine: a versioned key-value store with one writer.
//!
//! ```text
//! Store (handle) ──► Shared: queue to the writer, newest snapshot
//!                       │
//!                    Writer: takes all waiting writes, decides them in order (state.rs),
//!                            makes them durable in one commit (a Backend: disk/, memory.rs),
//!                            shows the commit to readers, then answers everybody
//! ```
//!
//! A key that is not there has value `""` and version 0; each write of it raises its version by
//! one. Two numbers stamp every answer: the *revision* counts the writes, the *epoch* is raised by resets, after
//! which the versions start again. Readers take the newest commit as a whole, and do not wait while one is made
//! durable.

mod backend;
mod disk;
mod dump;
mod entry;
mod epoch;
mod error;
mod memory;
mod merged;
mod newest;
mod prefixed;
mod restore;
mod rows;
mod runs;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use backend::{Backend, Snapshot};
pub use disk::{Disk, FILE_NAME};
pub use dump::{Dump, DumpError, DumpWriter};
pub use entry::{Entry, Key, Put, Range, Stamp, Value, Versioned};
pub(crate) use epoch::IMPORT_GAP;
pub use error::{Fault, OpenError, WriteError};
pub use memory::Memory;
pub use newest::Newest;
pub use restore::{DumpFailed, RestoreFailed, dump, restore};
pub use state::{Refusal, Write};
pub use writer::Writer;

use writer::Waiting;

/// Writes that may wait for the writer; further ones wait for a place in this queue.
const QUEUE: usize = 4096;

/// A handle to an open store. Clones are handles to the same store.
#[derive(Debug)]
pub struct Store<B: Backend> {
    shared: Arc<Shared<B::Snapshot>>,
}

#[derive(Debug)]
struct Shared<S> {
    /// To the writer, which ends when the last handle is dropped.
    queue: mpsc::Sender<Waiting>,
    /// What readers see.
    newest: Arc<Newest<S>>,
}

impl<B: Backend> Store<B> {
    /// A store kept in `backend`, and its writer, which the caller must run.
    pub fn new(backend: B) -> (Self, Writer<B>) {
        let newest = Arc::clone(backend.newest());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared { queue, newest });
        (Self { shared }, Writer::new(waiting, backend))
    }

    /// The newest commit, as a whole.
    #[must_use]
    pub fn snapshot(&self) -> B::Snapshot {
        self.shared.newest.snapshot()
    }

    /// The value and version of `key`, and the stamp of the commit that they were read from.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the place where the store is kept cannot be read.
    pub fn get(&self, key: &str) -> Result<(Versioned, Stamp), Fault> {
        let newest = self.snapshot();
        Ok((newest.get(key)?, newest.stamp()))
    }

    /// Makes one write: all of it or nothing. When this returns `Ok`, it is where the backend
    /// keeps it (on disk: synced), and every later read sees it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Refused`]: nothing was changed. [`WriteError::Lost`]: the writer ended before
    /// it answered; whether the write was made is known after the next start.
    pub async fn write(&self, write: Write) -> Result<Stamp, WriteError> {
        let (waiting, answer) = Waiting::new(write);
        let sent = self.shared.queue.send(waiting).await;
        sent.map_err(|_| WriteError::Closed)?;
        answer.await.map_err(|_| WriteError::Lost)?
    }
}

impl<B: Backend> Clone for Store<B> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}
