use std::fmt;
use std::future::Future;
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use pin_project_lite::pin_project;
use tower::Service;
use tower::util::Oneshot;

use super::{Outcome, Standing, Step};

pin_project! {
    /// Makes the steps of a plan, and takes them back if one cannot be made.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, U, T>
    where
        S: Service<T>,
        U: Service<T>,
    {
        service: S,
        undo: U,
        // In the order in which they were made: the last one is the first to be undone.
        made: Vec<T>,
        left: vec::IntoIter<T>,
        #[pin]
        state: State<S, U, T>,
    }
}

pin_project! {
    /// What is waited for: each time for the readiness of an instance and then for its answer, which
    /// is what `Oneshot` does.
    #[project = StateProj]
    enum State<S, U, T>
    where
        S: Service<T>,
        U: Service<T>,
    {
        /// Nothing: there are no steps. The plan is done.
        Empty,
        /// The answer to `step`.
        ///
        /// - `Made`: to `Making` of the next step; the plan is done if there is none.
        /// - `Never`: to `Undoing`.
        /// - An error: to `Fencing`, since the step may have happened, or may yet.
        Making {
            #[pin]
            call: Oneshot<S, T>,
            step: T,
        },
        /// The answer to the fence of `step`.
        ///
        /// - `Made`: it was only the answer that got lost; to `Making` of the next step.
        /// - `Never`: to `Undoing`.
        /// - An error: the plan ends as `Unknown`.
        Fencing {
            #[pin]
            call: Oneshot<U, T>,
            step: T,
            // Taken at the end of this state.
            cause: Option<S::Error>,
        },
        /// The answer to the undo of the last step that still stands.
        ///
        /// - Any answer: to `Undoing` of the step before it; the plan is undone if there is none.
        /// - An error: the plan ends as `Stuck`.
        Undoing {
            #[pin]
            call: Oneshot<U, T>,
            // Taken at the end of this state; `None` if the service answered `Never`.
            cause: Option<S::Error>,
        },
        /// Nothing any more.
        Ended,
    }
}

/// The next state, or the end.
type Transition<S, U, T> =
    ControlFlow<Outcome<T, <S as Service<T>>::Error, <U as Service<T>>::Error>, State<S, U, T>>;

impl<S, U, T> ResponseFuture<S, U, T>
where
    S: Service<T> + Clone,
    U: Service<T>,
    T: Clone,
{
    /// `ready` is the instance that was asked for readiness: it gets the first step.
    pub(super) fn new(ready: S, undo: U, plan: Vec<T>) -> Self {
        let service = ready.clone();
        let mut left = plan.into_iter();
        let state = match left.next() {
            Some(step) => make(ready, step),
            None => State::Empty,
        };
        Self {
            service,
            undo,
            made: Vec::new(),
            left,
            state,
        }
    }
}

impl<S, U, T> Future for ResponseFuture<S, U, T>
where
    S: Service<T, Response = Standing> + Clone,
    U: Service<T, Response = Standing> + Clone,
    T: Step,
{
    type Output = Result<Outcome<T, S::Error, U::Error>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let transition = match this.state.as_mut().project() {
                StateProj::Empty => Break(Outcome::Done),
                StateProj::Making { call, step } => match ready!(call.poll(cx)) {
                    Ok(Standing::Made) => {
                        this.made.push(step.clone());
                        make_next(this.service, this.left)
                    }
                    Ok(Standing::Never) => undo_last(this.undo, this.made, None),
                    Err(cause) => Continue(State::Fencing {
                        call: Oneshot::new(this.undo.clone(), step.fence()),
                        step: step.clone(),
                        cause: Some(cause),
                    }),
                },
                StateProj::Fencing { call, step, cause } => match ready!(call.poll(cx)) {
                    Ok(Standing::Made) => {
                        this.made.push(step.clone());
                        make_next(this.service, this.left)
                    }
                    Ok(Standing::Never) => undo_last(this.undo, this.made, cause.take()),
                    Err(fence) => Break(Outcome::Unknown {
                        step: step.clone(),
                        cause: cause.take().expect("it is taken once, here or above"),
                        fence,
                    }),
                },
                StateProj::Undoing { call, cause } => match ready!(call.poll(cx)) {
                    Ok(_) => undo_last(this.undo, this.made, cause.take()),
                    Err(undo) => Break(Outcome::Stuck {
                        cause: cause.take(),
                        undo,
                    }),
                },
                StateProj::Ended => panic!("polled after it was ready"),
            };
            match transition {
                Continue(state) => this.state.set(state),
                Break(outcome) => {
                    this.state.set(State::Ended);
                    return Poll::Ready(Ok(outcome));
                }
            }
        }
    }
}

fn make<S, U, T>(service: S, step: T) -> State<S, U, T>
where
    S: Service<T>,
    U: Service<T>,
    T: Clone,
{
    State::Making {
        call: Oneshot::new(service, step.clone()),
        step,
    }
}

fn make_next<S, U, T>(service: &S, left: &mut vec::IntoIter<T>) -> Transition<S, U, T>
where
    S: Service<T> + Clone,
    U: Service<T>,
    T: Clone,
{
    match left.next() {
        Some(step) => Continue(make(service.clone(), step)),
        None => Break(Outcome::Done),
    }
}

/// Takes back the last step that stands and can be taken back.
fn undo_last<S, U, T>(undo: &U, made: &mut Vec<T>, cause: Option<S::Error>) -> Transition<S, U, T>
where
    S: Service<T>,
    U: Service<T> + Clone,
    T: Step,
{
    while let Some(step) = made.pop() {
        if let Some(request) = step.undo() {
            let call = Oneshot::new(undo.clone(), request);
            return Continue(State::Undoing { call, cause });
        }
    }
    Break(Outcome::Undone { cause })
}

impl<S, U, T> fmt::Debug for ResponseFuture<S, U, T>
where
    S: Service<T>,
    U: Service<T>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Empty => "empty",
            State::Making { .. } => "making",
            State::Fencing { .. } => "fencing",
            State::Undoing { .. } => "undoing",
            State::Ended => "ended",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .field("made", &self.made.len())
            .field("left", &self.left.len())
            .finish_non_exhaustive()
    }
}
