use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
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

/// For so long after it was opened, or answered, a connection is not idle yet: its client may be about to ask.
const NEW_FOR: Duration = Duration::from_millis(100);

/// How much all connections together may hold of requests that were not answered yet, in bytes. It takes up to twice
/// that, and a pod has 512 MiB, in which the ledger must find room, too. One that holds 64 KiB, far more than
/// requests have as a rule, finds room beside a thousand others of that kind.
const MAX_HELD: usize = 64 << 20;

/// What is known of a connection's use: when it was used last, in milliseconds, and in the lowest bit
/// whether its client waits for an answer. One number, so that it is either of use again or [`CUT`].
type Use = u64;

/// The bit of one whose client waits for an answer.
const ASKED: Use = 1;

/// That of a connection that must end.
const CUT: Use = Use::MAX;

/// The open connections, which event loop each is on, and when it was last of use.
#[derive(Debug)]
pub(super) struct Activities {
    begun: Instant,
    open: Mutex<Open>,
    /// How much all hold that hold much, in bytes. Signed, since what one adds another may subtract before.
    held: AtomicIsize,
    /// Whether every answer is to be the last one on its connection.
    leaving: Arc<AtomicBool>,
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
pub(super) struct Activity {
    /// When something was written last, or a request began to come (or it was opened), since `begun`, and
    /// whether somebody waits for an answer: from when a request has come until all of its answer is written.
    last_use: AtomicU64,
    /// Whether the app has a request of it, and no answer yet.
    is_serving: AtomicBool,
    /// Whether the server is leaving, as all of its connections know.
    leaving: Arc<AtomicBool>,
    /// How much it holds, as far as that was told, in bytes: a part of the sum.
    held: AtomicUsize,
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
            held: AtomicIsize::new(0),
            leaving: Arc::default(),
            closed: Notify::new(),
        })
    }

    /// Makes every answer from now on the last one on its connection.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Adds a connection, on the event loop that has the fewest.
    pub(super) fn add(self: &Arc<Self>) -> Place {
        let activity = Arc::new(Activity {
            last_use: AtomicU64::new(self.now() << 1),
            is_serving: AtomicBool::new(false),
            leaving: Arc::clone(&self.leaving),
            held: AtomicUsize::new(0),
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
        let is_idle = |last_use| now.saturating_sub(milliseconds(last_use)) >= timeout;
        let idle: Vec<_> = self.lock().uncut().filter(|one| is_idle(one.0)).collect();
        // Whoever is woken may want the lock.
        for (last_use, activity) in idle {
            activity.cut(last_use);
        }
    }

    /// Cuts the connection that was of no use for the longest time; one on which somebody waits for an
    /// answer, or has just come, only if there are no others.
    pub(super) fn cut_longest_idle(&self) {
        let now = self.now();
        let is_idle = |last_use| {
            let pause = now.saturating_sub(milliseconds(last_use));
            !is_asked(last_use) && pause >= NEW_FOR.as_millis() as u64
        };
        let open = self.lock();
        let order = |last_use| (!is_idle(last_use), milliseconds(last_use));
        let longest_idle = open.uncut().min_by_key(|one| order(one.0));
        drop(open);
        if let Some((last_use, activity)) = longest_idle {
            activity.cut(last_use);
        }
    }

    /// Cuts the connection that holds the most; one on which somebody waits for an answer only if no other holds
    /// anything.
    fn cut_largest(&self) {
        let open = self.lock();
        let holds_any = |one: &(Use, Arc<Activity>)| one.1.held() > 0;
        let order = |one: &(Use, Arc<Activity>)| (!is_asked(one.0), one.1.held());
        let largest = open.uncut().filter(holds_any).max_by_key(order);
        drop(open);
        if let Some((last_use, activity)) = largest
            && activity.cut(last_use)
        {
            // It is about to be let go: nobody else needs to be cut for it.
            self.hold(&activity, 0);
        }
    }

    /// Notes that `activity` holds so much, in bytes; how much all do.
    fn hold(&self, activity: &Activity, bytes: usize) -> usize {
        let before = activity.held.swap(bytes, Ordering::Relaxed);
        let more = bytes as isize - before as isize;
        let all = self.held.fetch_add(more, Ordering::Relaxed) + more;
        usize::try_from(all).unwrap_or_default()
    }

    /// In milliseconds since `begun`.
    fn now(&self) -> u64 {
        // 63 bits of milliseconds last 292 million years.
        self.begun.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Those that need not end yet, and when they were used last.
    fn uncut(&self) -> impl Iterator<Item = (Use, Arc<Activity>)> {
        let used = |activity: &Arc<Activity>| (activity.last_use(), Arc::clone(activity));
        let all = self.connections.values().map(used);
        all.filter(|(last_use, _)| *last_use != CUT)
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

    /// What its requests are noted in.
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Notes that the connection is of use just now; `false` if it is too late, for it was cut.
    pub(super) fn used(&self) -> bool {
        let now = self.activities.now() << 1;
        self.activity.update(|last_use| now | last_use & ASKED)
    }

    /// Notes that all was written that was there to write: if the app has no request, nobody waits for more. (Who
    /// gets a long answer in parts counts as idle between two of them.)
    pub(super) fn written(&self) {
        if !self.activity.is_serving.load(Ordering::Relaxed) {
            self.activity.update(|last_use| last_use & !ASKED);
        }
    }

    /// Notes that there is more to write than its client has read.
    pub(super) fn awaited(&self) {
        self.activity.awaited();
    }

    /// Notes how much the connection holds of requests, in bytes. Where all hold too much, one of them is cut; it may be
    /// this one.
    pub(super) fn holds(&self, bytes: usize) {
        if self.activities.hold(&self.activity, bytes) > MAX_HELD {
            self.activities.cut_largest();
        }
    }

    /// Whether the connection must end.
    pub(super) fn is_cut(&self) -> bool {
        self.activity.last_use() == CUT
    }

    /// Sees to it that `waker` is woken when the connection is cut.
    pub(super) fn watch(&self, waker: &Waker) {
        self.activity.watch(waker);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.activities.hold(&self.activity, 0);
        let mut open = self.activities.lock();
        open.remove(self);
        if open.connections.is_empty() {
            self.activities.closed.notify_waiters();
        }
    }
}

impl Activity {
    /// Notes that a request has come.
    pub(super) fn asked(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
        self.awaited();
    }

    /// Notes that the app has answered; whether that answer is to be the last one.
    pub(super) fn answered(&self) -> bool {
        self.is_serving.store(false, Ordering::Relaxed);
        self.leaving.load(Ordering::Relaxed)
    }

    /// Notes that somebody waits for an answer, or for the rest of it.
    fn awaited(&self) {
        // It leaves a cut one cut.
        self.last_use.fetch_or(ASKED, Ordering::AcqRel);
    }

    /// Changes what is known of the connection's use, unless it was cut; whether it was not.
    fn update(&self, change: impl Fn(Use) -> Use) -> bool {
        let uncut = |last_use| (last_use != CUT).then(|| change(last_use));
        let last_use = &self.last_use;
        last_use
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, uncut)
            .is_ok()
    }

    fn last_use(&self) -> Use {
        self.last_use.load(Ordering::Acquire)
    }

    /// In bytes.
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
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

    /// Has the connection end, if it was not of use since `last_use`; whether it was not.
    fn cut(&self, last_use: Use) -> bool {
        let cut =
            self.last_use
                .compare_exchange(last_use, CUT, Ordering::AcqRel, Ordering::Relaxed);
        if cut.is_err() {
            return false;
        }
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

fn milliseconds(last_use: Use) -> u64 {
    last_use >> 1
}

fn is_asked(last_use: Use) -> bool {
    last_use & ASKED != 0
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
            assert!(used.used());
        }
        assert!(!used.is_cut() && idle.is_cut());
        sleep(TIMEOUT + LONGEST_PAUSE).await;
        assert!(used.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_an_answer_or_has_just_come_is_cut_last() {
        let activities = Activities::on(1);
        let (waiting, silent, answered) = (activities.add(), activities.add(), activities.add());
        waiting.activity.asked();
        sleep(TIMEOUT).await;
        // A request that has begun to come is none yet.
        assert!(silent.used());
        sleep(TIMEOUT).await;
        answered.activity.asked();
        assert!(answered.used() && !answered.activity.answered());
        answered.written();
        let cut = |new: &Place| {
            activities.cut_longest_idle();
            [&waiting, &silent, &answered, new].map(Place::is_cut)
        };
        sleep(NEW_FOR).await;
        let new = activities.add();
        assert_eq!(cut(&new), [false, true, false, false]);
        assert_eq!(cut(&new), [false, true, true, false]);
        // Nobody is idle: who was of no use for the longest time.
        assert_eq!(cut(&new), [true, true, true, false]);
        assert_eq!(cut(&new), [true; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_ended_when_all_of_it_is_written() {
        let activities = Activities::on(1);
        let place = activities.add();
        let is_asked = || is_asked(place.activity.last_use());
        place.activity.asked();
        // An answer to the one before, or that the body may come.
        place.written();
        assert!(place.used() && is_asked());
        assert!(!place.activity.answered());
        assert!(is_asked());
        place.written();
        assert!(!is_asked());
        // Its client has not read all that was there to write.
        place.awaited();
        assert!(place.used() && is_asked());
        place.written();
        assert!(!is_asked());
        activities.leave();
        assert!(place.activity.answered());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_cut_is_of_no_use_any_more_and_who_was_of_use_is_not_cut() {
        let activities = Activities::on(1);
        let (one, other) = (activities.add(), activities.add());
        let judged = other.activity.last_use();
        sleep(TIMEOUT).await;
        assert!(other.used());
        other.activity.cut(judged);
        assert!(!other.is_cut());
        activities.cut_longest_idle();
        assert!(one.is_cut() && !one.used());
        one.activity.asked();
        one.activity.answered();
        one.written();
        assert!(one.is_cut());
        activities.cut_longest_idle();
        assert!(other.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_hold_too_much_one_is_cut_that_holds_the_most() {
        let activities = Activities::on(1);
        let [one, most, other] = [(); 3].map(|()| activities.add());
        one.holds(MAX_HELD / 4);
        most.holds(MAX_HELD / 2);
        other.holds(MAX_HELD / 4);
        let cut = || [&one, &most, &other].map(Place::is_cut);
        assert_eq!(cut(), [false; 3]);
        other.holds(MAX_HELD / 4 + 1);
        assert_eq!(cut(), [false, true, false]);
        // It counts no more, and not twice.
        drop(most);
        one.holds(MAX_HELD / 2);
        assert_eq!([&one, &other].map(Place::is_cut), [false; 2]);
        one.holds(0);
        other.holds(MAX_HELD);
        assert!(!other.is_cut());
        other.holds(MAX_HELD + 1);
        assert!(other.is_cut() && !one.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_taken_from_those_first_who_wait_for_no_answer() {
        let activities = Activities::on(1);
        let [waiting, answered, small] = [(); 3].map(|()| activities.add());
        waiting.activity.asked();
        waiting.holds(MAX_HELD);
        answered.holds(1);
        assert!(!waiting.is_cut() && answered.is_cut() && !small.is_cut());
        waiting.holds(MAX_HELD + 1);
        assert!(waiting.is_cut() && !small.is_cut());
    }
}
