use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower::retry::budget::Budget;
use tower::util::rng::{HasherRng, Rng};

use super::{Backoff, Class, Classify, Delays};

/// How conflicts are retried: the first ones at once, the further ones by a short backoff, for as long
/// as `within` allows. See [`Conflicts::never`] too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conflicts {
    /// So many of a request are retried at once. More than one where a conflict tells what it should
    /// have known: waiting would only make that out of date.
    pub at_once: u32,
    /// Delays of the further ones. Its number of trials counts.
    pub backoff: Backoff,
    /// Measured from the first conflict of a request: later ones are not retried. If it is zero,
    /// none is.
    pub within: Duration,
}

impl Conflicts {
    /// No conflict is retried: the caller hears of each.
    #[must_use]
    pub fn never() -> Self {
        Self {
            within: Duration::ZERO,
            ..Self::default()
        }
    }
}

impl Default for Conflicts {
    /// One at once, then 1 ms doubling to 16 ms, fully jittered, for 3 s.
    fn default() -> Self {
        let backoff = Backoff::new(
            Duration::from_millis(1),
            Duration::from_millis(16),
            1.0,
            u32::MAX,
        )
        .expect("the constants are in range");
        Self {
            at_once: 1,
            backoff,
            within: Duration::from_secs(3),
        }
    }
}

/// Decides for tower's [`Retry`](tower::retry::Retry) whether and when to try again.
///
/// See the [module](crate::retry) for an example.
pub struct Policy<C, R = HasherRng> {
    classify: C,
    errors: Delays,
    conflicts: Delays,
    conflicts_at_once: u32,
    conflicts_within: Duration,
    first_conflict: Option<Instant>,
    /// Without one, requests do not limit the retries of each other.
    budget: Option<Arc<dyn Budget + Send + Sync>>,
    random: Arc<Mutex<R>>,
}

impl<C> Policy<C> {
    /// A policy that asks `classify`, retries errors by `errors` and conflicts by `conflicts`.
    pub fn new(classify: C, errors: Backoff, conflicts: Conflicts) -> Self {
        Self::with_random(classify, errors, conflicts, HasherRng::new())
    }
}

impl<C, R: Rng> Policy<C, R> {
    /// The same, with a source of randomness of the caller's: a seeded one makes runs repeatable.
    pub fn with_random(classify: C, errors: Backoff, conflicts: Conflicts, random: R) -> Self {
        Self {
            classify,
            errors: errors.delays(),
            conflicts: conflicts.backoff.delays(),
            conflicts_at_once: conflicts.at_once,
            conflicts_within: conflicts.within,
            first_conflict: None,
            budget: None,
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// The same, with retries of errors paid for from `budget`, which every clone shares: a success
    /// deposits, a retry withdraws, and is not made if the budget is empty. See the
    /// [module](crate::retry#budget) for what counts, and how large one should be.
    #[must_use]
    pub fn budget<B: Budget + Send + Sync + 'static>(self, budget: Arc<B>) -> Self {
        Self {
            budget: Some(budget),
            ..self
        }
    }

    fn after_error(&mut self) -> Option<Duration> {
        // A poisoned lock only means that another request panicked; any state of it is as random.
        self.errors
            .next(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn after_conflict(&mut self) -> Option<Duration> {
        let first = *self.first_conflict.get_or_insert_with(Instant::now);
        if first.elapsed() >= self.conflicts_within {
            return None;
        }
        match self.conflicts_at_once.checked_sub(1) {
            Some(left) => {
                self.conflicts_at_once = left;
                Some(Duration::ZERO)
            }
            None => self
                .conflicts
                .next(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.withdraw())
    }
}

impl<C, R, Request, Response, Error> tower::retry::Policy<Request, Response, Error> for Policy<C, R>
where
    C: Classify<Request, Response, Error>,
    R: Rng,
    Request: Clone,
{
    type Future = Waiting;

    fn retry(
        &mut self,
        request: &mut Request,
        result: &mut Result<Response, Error>,
    ) -> Option<Waiting> {
        let class = self.classify.classify(request, result);
        let delay = match class {
            Class::Done => {
                if result.is_ok() {
                    self.deposit();
                }
                None
            }
            Class::Conflict => self.after_conflict(),
            Class::NotDone | Class::Unknown => self.after_error(),
        }?;
        if let Some(deadline) = self.classify.deadline(request) {
            // A moment beyond the reach of the clock is later than any deadline.
            Instant::now()
                .checked_add(delay)
                .filter(|begin| *begin <= deadline)?;
        }
        // Last, so that only a retry that is made is paid for.
        if class != Class::Conflict && !self.withdraw() {
            return None;
        }
        self.classify.again(request, class);
        Some(Waiting::new(delay))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

impl<C: Clone, R> Clone for Policy<C, R> {
    fn clone(&self) -> Self {
        Self {
            classify: self.classify.clone(),
            errors: self.errors.clone(),
            conflicts: self.conflicts.clone(),
            conflicts_at_once: self.conflicts_at_once,
            conflicts_within: self.conflicts_within,
            first_conflict: self.first_conflict,
            budget: self.budget.clone(),
            random: Arc::clone(&self.random),
        }
    }
}

impl<C: fmt::Debug, R> fmt::Debug for Policy<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("classify", &self.classify)
            .field("errors", &self.errors)
            .field("conflicts", &self.conflicts)
            .field("conflicts_at_once", &self.conflicts_at_once)
            .field("conflicts_within", &self.conflicts_within)
            .field("budget", &self.budget.is_some())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Ends when the next attempt is due. Where that is at once, other tasks get a turn first: so a
    /// service that fails without waiting cannot keep a thread to itself.
    #[derive(Debug)]
    pub struct Waiting {
        #[pin]
        sleep: Option<Sleep>,
        yielded: bool,
    }
}

impl Waiting {
    fn new(delay: Duration) -> Self {
        Self {
            sleep: (!delay.is_zero()).then(|| sleep(delay)),
            yielded: false,
        }
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(sleep) = this.sleep.as_pin_mut() {
            return sleep.poll(cx);
        }
        if *this.yielded {
            return Poll::Ready(());
        }
        *this.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
