use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The open connections, and when each was last of use.
#[derive(Debug)]
pub(super) struct Activities {
    begun: Instant,
    open: Mutex<Open>,
    /// Told when the last connection has closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// What is known of one connection outside of it.
#[derive(Debug)]
pub(super) struct Activity {
    /// When something was written last, or a request began (or it was opened), in milliseconds
    /// since `begun`.
    last_used: AtomicU64,
    cut: AtomicBool,
    /// The task that serves the connection.
    waker: Mutex<Option<Waker>>,
}

impl Default for Activities {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            open: Mutex::default(),
            closed: Notify::new(),
        }
    }
}

impl Activities {
    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Adds a connection, under a key for [`remove`](Self::remove).
    pub(super) fn add(&self) -> (u64, Arc<Activity>) {
        let activity = Arc::new(Activity {
            last_used: AtomicU64::new(self.now()),
            cut: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        let mut open = self.lock();
        let key = open.next;
        open.next += 1;
        open.connections.insert(key, Arc::clone(&activity));
        (key, activity)
    }

    pub(super) fn remove(&self, key: u64) {
        let mut open = self.lock();
        open.connections.remove(&key);
        if open.connections.is_empty() {
            self.closed.notify_waiters();
        }
    }

    /// Ends when no connection is open.
    pub(super) async fn none_left(&self) {
        loop {
            let closed = self.closed.notified();
            if self.len() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Cuts the connection that was of no use for the longest time.
    pub(super) fn cut_longest_idle(&self) {
        let open = self.lock();
        let uncut = open
            .connections
            .values()
            .filter(|activity| !activity.is_cut());
        if let Some(activity) =
            uncut.min_by_key(|activity| activity.last_used.load(Ordering::Relaxed))
        {
            activity.cut();
        }
    }

    /// Notes that the connection was of use just now.
    pub(super) fn touch(&self, activity: &Activity) {
        activity.last_used.store(self.now(), Ordering::Relaxed);
    }

    /// When `activity` has been idle for `timeout`.
    pub(super) fn idle_at(&self, activity: &Activity, timeout: Duration) -> Instant {
        self.begun + Duration::from_millis(activity.last_used.load(Ordering::Relaxed)) + timeout
    }

    fn now(&self) -> u64 {
        // Milliseconds of 584 million years.
        self.begun.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Sees to it that `waker` is woken when the connection is cut.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut watching = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !watching
            .as_ref()
            .is_some_and(|watching| watching.will_wake(waker))
        {
            *watching = Some(waker.clone());
        }
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
