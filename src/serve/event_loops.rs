use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads that each serve connections of their own, for as long as this lives.
///
/// A connection stays on one thread from its beginning to its end, as in Netty and Envoy, so that
/// what belongs to it stays in one core's cache. On a runtime whose threads take work from each
/// other, it moves with nearly every request: measured, a tenth more requests a second without.
#[derive(Debug)]
pub struct EventLoops {
    /// The first is the runtime on which everything else runs, too.
    handles: Vec<Handle>,
    /// The others.
    runtimes: Vec<Runtime>,
}

/// Event loops could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start {threads} event loops: {source}; choose fewer --threads, or allow more open files"
)]
pub struct StartError {
    threads: usize,
    source: io::Error,
}

impl EventLoops {
    /// The runtime that this is called on, alone.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self {
            handles: vec![Handle::current()],
            runtimes: Vec::new(),
        }
    }

    /// The runtime that this is called on, and `threads - 1` threads beside it.
    ///
    /// # Errors
    ///
    /// A sentence, if the operating system does not give so many.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(threads: usize) -> Result<Self, StartError> {
        let start = |source| StartError { threads, source };
        let mut loops = Self::current();
        for _ in 1..threads {
            // Of the two kinds of runtime this one: to wake one of its tasks from another thread
            // costs no call of the operating system while it is awake.
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("event-loop")
                .enable_all()
                .build()
                .map_err(start)?;
            loops.handles.push(runtime.handle().clone());
            loops.runtimes.push(runtime);
        }
        Ok(loops)
    }

    /// Runs a task made by `task` on each.
    pub(super) fn spawn<T, Output>(&self, mut task: impl FnMut() -> T) -> Vec<JoinHandle<Output>>
    where
        T: Future<Output = Output> + Send + 'static,
        Output: Send + 'static,
    {
        let spawn = |handle: &Handle| handle.spawn(task());
        self.handles.iter().map(spawn).collect()
    }
}

impl Drop for EventLoops {
    fn drop(&mut self) {
        // Without waiting, which a task must not.
        for runtime in self.runtimes.drain(..) {
            runtime.shutdown_background();
        }
    }
}
