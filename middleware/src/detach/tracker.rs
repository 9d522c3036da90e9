use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Counts detached work, and waits for it. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    tasks: TaskTracker,
}

impl Tracker {
    /// A tracker of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.tasks.len()
    }

    /// Waits until no call is under way, those included that begin meanwhile.
    pub async fn close_and_wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs `work` to its end on a task of its own, as one more call that is under way.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work)
    }
}
