use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Quarantined;

pin_project! {
    /// Waits for the call, or comes to its refusal at once.
    #[derive(Debug)]
    pub struct ResponseFuture<Call> {
        #[pin]
        state: State<Call>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<Call> {
        // The fuse was intact when the call was made; what becomes of it later does not matter.
        Called {
            #[pin]
            call: Call,
        },
        // The fuse was blown; the reason is handed out once.
        Refused {
            refusal: Option<Quarantined>,
        },
    }
}

impl<Call> ResponseFuture<Call> {
    pub(super) fn called(call: Call) -> Self {
        Self {
            state: State::Called { call },
        }
    }

    pub(super) fn refused(refusal: Quarantined) -> Self {
        Self {
            state: State::Refused {
                refusal: Some(refusal),
            },
        }
    }
}

impl<Call, Response, Error> Future for ResponseFuture<Call>
where
    Call: Future<Output = Result<Response, Error>>,
    Error: From<Quarantined>,
{
    type Output = Call::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { call } => call.poll(cx),
            StateProj::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Err(refusal.into())),
                None => panic!("polled after it was ready"),
            },
        }
    }
}
