use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How often connections are looked at while one becomes idle.
const LOOKS: u32 = 16;

/// Between two looks at them.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When a connection was used last that must end.
const CUT: u64 = u64::MAX;

/// The open connections, which event loop each is on, and when it was last of use.
#[derive(Debug)]
pub(super) struct Activities {
    begun: Instant,
    open: Mutex<Open>,
    /// Told when the last connection has closed.
    closed: Notify,
}

#[derive(Debug)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
    /// How many are on each event loop.
    loads: Vec<usize>,
}

/// A connection's place among those that are open, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    activities: Arc<Activities>,
    activity: Arc<Activity>,
    key: u64,
    event_loop: usize,
}

/// What is known of one connection outside of it.
#[derive(Debug)]
struct Activity {
    /// When something was written last, or a request began (or it was opened), in milliseconds
    /// since `begun`; [`CUT`] when it must end. One number, so that it is either of use again or cut.
    last_used: AtomicU64,
    /// The task that serves the connection.
    waker: Mutex<Option<Waker>>,
}

impl Activities {
    /// None yet, on `event_loops` event loops.
    pub(super) fn on(event_loops: usize) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            open: Mutex::new(Open {
                next: 0,
                connections: HashMap::new(),
                loads: vec![0; event_loops],
            }),
            closed: Notify::new(),
        })
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Adds a connection, on the event loop that has the fewest.
    pub(super) fn add(self: &Arc<Self>) -> Place {
        let activity = Arc::new(Activity {
            last_used: AtomicU64::new(self.now()),
            waker: Mutex::new(None),
        });
        let mut open = self.lock();
        let (key, event_loop) = open.add(Arc::clone(&activity));
        Place {
            activities: Arc::clone(self),
            activity,
            key,
            event_loop,
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

    /// Cuts those that are of no use for `timeout`, and a little later than that at the most, for as
    /// long as somebody has `these`. One look at all of them now and then costs less than a timer for
    /// each, which would be asked whenever its connection is.
    pub(super) async fn cut_idle(these: Weak<Self>, timeout: Duration) {
        let pause = (timeout / LOOKS).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        loop {
            sleep(pause).await;
            match these.upgrade() {
                Some(activities) => activities.cut_unused_for(timeout),
                None => return,
            }
        }
    }

    fn cut_unused_for(&self, timeout: Duration) {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let now = self.now();
        let is_idle = |last_used| now.saturating_sub(last_used) >= timeout;
        let idle: Vec<_> = self.lock().uncut().filter(|one| is_idle(one.0)).collect();
        // Whoever is woken may want the lock.
        for (last_used, activity) in idle {
            activity.cut(last_used);
        }
    }

    /// Cuts the connection that was of no use for the longest time.
    pub(super) fn cut_longest_idle(&self) {
        let longest_idle = self.lock().uncut().min_by_key(|one| one.0);
        if let Some((last_used, activity)) = longest_idle {
            activity.cut(last_used);
        }
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

impl Open {
    /// Those that need not end yet, and when they were used last.
    fn uncut(&self) -> impl Iterator<Item = (u64, Arc<Activity>)> {
        let used = |activity: &Arc<Activity>| (activity.last_used(), Arc::clone(activity));
        let all = self.connections.values().map(used);
        all.filter(|(last_used, _)| *last_used != CUT)
    }

    fn add(&mut self, activity: Arc<Activity>) -> (u64, usize) {
        let key = self.next;
        self.next += 1;
        self.connections.insert(key, activity);
        let least = (0..self.loads.len()).min_by_key(|&event_loop| self.loads[event_loop]);
        let event_loop = least.unwrap_or_default();
        self.loads[event_loop] += 1;
        (key, event_loop)
    }

    fn remove(&mut self, place: &Place) {
        self.connections.remove(&place.key);
        self.loads[place.event_loop] -= 1;
    }
}

impl Place {
    /// The index of the event loop that it is on.
    pub(super) fn event_loop(&self) -> usize {
        self.event_loop
    }

    /// Notes that the connection is of use just now; `false` if it is too late, for it was cut.
    pub(super) fn touch(&self) -> bool {
        let now = self.activities.now();
        let uncut = |last_used| (last_used != CUT).then_some(now);
        let last_used = &self.activity.last_used;
        last_used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, uncut)
            .is_ok()
    }

    /// Whether the connection must end.
    pub(super) fn is_cut(&self) -> bool {
        self.activity.last_used() == CUT
    }

    /// Sees to it that `waker` is woken when the connection is cut.
    pub(super) fn watch(&self, waker: &Waker) {
        self.activity.watch(waker);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.activities.lock();
        open.remove(self);
        if open.connections.is_empty() {
            self.activities.closed.notify_waiters();
        }
    }
}

impl Activity {
    fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Acquire)
    }

    fn watch(&self, waker: &Waker) {
        let mut watching = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !watching
            .as_ref()
            .is_some_and(|watching| watching.will_wake(waker))
        {
            *watching = Some(waker.clone());
        }
    }

    /// Has the connection end, if it was not of use since `last_used`.
    fn cut(&self, last_used: u64) {
        let cut =
            self.last_used
                .compare_exchange(last_used, CUT, Ordering::AcqRel, Ordering::Relaxed);
        if cut.is_err() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn who_is_of_use_in_time_is_not_cut() {
        let activities = Activities::on(1);
        tokio::spawn(Activities::cut_idle(Arc::downgrade(&activities), TIMEOUT));
        let (used, idle) = (activities.add(), activities.add());
        for _ in 0..4 {
            sleep(TIMEOUT / 2).await;
            assert!(used.touch());
        }
        assert!(!used.is_cut() && idle.is_cut());
        sleep(TIMEOUT + LONGEST_PAUSE).await;
        assert!(used.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_cut_is_of_no_use_any_more_and_who_was_of_use_is_not_cut() {
        let activities = Activities::on(1);
        let (one, other) = (activities.add(), activities.add());
        let judged = other.activity.last_used();
        sleep(TIMEOUT).await;
        assert!(other.touch());
        other.activity.cut(judged);
        assert!(!other.is_cut());
        activities.cut_longest_idle();
        assert!(one.is_cut() && !one.touch() && one.is_cut());
        activities.cut_longest_idle();
        assert!(other.is_cut());
    }
}
