use std::convert::Infallible;
use std::future::{self, Future, Ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use axum::serve::IncomingStream;
use pin_project_lite::pin_project;
use tower::Service;

use super::activity::Activity;
use super::arrivals::Arrivals;

/// Makes an [`Attended`] for each connection.
#[derive(Clone, Debug)]
pub(super) struct Attending<App>(pub(super) App);

/// An app that notes on the connection when it has a request, and when it has answered: of a request that was read,
/// not all may be there, and of one that is there, the answer to the one before may yet be written. While the server is
/// leaving, it makes every answer the last one.
#[derive(Clone, Debug)]
pub(super) struct Attended<App> {
    app: App,
    activity: Arc<Activity>,
}

impl<App: Clone> Service<IncomingStream<'_, Arrivals>> for Attending<App> {
    type Response = Attended<App>;
    type Error = Infallible;
    type Future = Ready<Result<Attended<App>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, Arrivals>) -> Self::Future {
        future::ready(Ok(Attended {
            app: self.0.clone(),
            activity: stream.io().activity(),
        }))
    }
}

impl<App: Service<Request, Response = Response>> Service<Request> for Attended<App> {
    type Response = Response;
    type Error = App::Error;
    type Future = Answering<App::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), App::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.activity.asked();
        Answering {
            answer: self.app.call(request),
            activity: Arc::clone(&self.activity),
        }
    }
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        activity: Arc<Activity>,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        let is_last = this.activity.answered();
        if let (true, Ok(answer)) = (is_last, &mut answer) {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        Poll::Ready(answer)
    }
}
