use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower::util::rng::{HasherRng, Rng};

use super::{Backoff, Class, Classify, Delays};

/// How conflicts are retried: the first at once, the further ones by a short backoff, for as long
/// as `within` allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conflicts {
    /// Delays from the second conflict of a request on. Its number of trials counts.
    pub backoff: Backoff,
    /// Measured from the first conflict of a request: later ones are not retried.
    pub within: Duration,
}

impl Default for Conflicts {
    /// 1 ms doubling to 16 ms, fully jittered, for 3 s.
    fn default() -> Self {
        let backoff = Backoff::new(
            Duration::from_millis(1),
            Duration::from_millis(16),
            1.0,
            u32::MAX,
        )
        .expect("the constants are in range");
        Self {
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
    conflicts_within: Duration,
    within: Duration,
    first_failure: Option<Instant>,
    first_conflict: Option<Instant>,
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
            conflicts_within: conflicts.within,
            within: Duration::MAX,
            first_failure: None,
            first_conflict: None,
            random: Arc::new(Mutex::new(random)),
        }
    }

    /// The same, but without a retry that would begin later than `limit` after the first failure of a
    /// request: so that the last failure is told to whoever still waits for it.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self {
            within: limit,
            ..self
        }
    }

    fn after_error(&mut self) -> Option<Duration> {
        // A poisoned lock only means that another request panicked; any state of it is as random.
        self.errors
            .next(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn after_conflict(&mut self) -> Option<Duration> {
        match self.first_conflict {
            None => {
                self.first_conflict = Some(Instant::now());
                Some(Duration::ZERO)
            }
            Some(first) if first.elapsed() < self.conflicts_within => self
                .conflicts
                .next(&mut *self.random.lock().unwrap_or_else(PoisonError::into_inner)),
            Some(_) => None,
        }
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
            Class::Done => None,
            Class::Conflict => self.after_conflict(),
            Class::NotDone | Class::Unknown => self.after_error(),
        }?;
        let first_failure = *self.first_failure.get_or_insert_with(Instant::now);
        if first_failure.elapsed().saturating_add(delay) > self.within {
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
            conflicts_within: self.conflicts_within,
            within: self.within,
            first_failure: self.first_failure,
            first_conflict: self.first_conflict,
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
            .field("within", &self.within)
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
