use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::serve::IncomingStream;
use tower::Service;

use super::activity::Activity;
use super::arrivals::Arrivals;

/// Makes an [`Attended`] for each connection.
#[derive(Clone, Debug)]
pub(super) struct Attending<App>(pub(super) App);

/// An app that notes on the connection that a request has come: bytes of it may be read long before, or be there
/// already when the answer to the one before it is written.
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
        ready(Ok(Attended {
            app: self.0.clone(),
            activity: stream.io().activity(),
        }))
    }
}

impl<App: Service<Request>> Service<Request> for Attended<App> {
    type Response = App::Response;
    type Error = App::Error;
    type Future = App::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), App::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> App::Future {
        self.activity.asked();
        self.app.call(request)
    }
}
