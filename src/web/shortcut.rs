use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Method, Request};
use tower::util::Either;
use tower::{Layer, Service};

/// Puts a [`Shortcut`] in front of a router.
#[derive(Clone, Debug)]
pub struct ShortcutLayer<R> {
    method: Method,
    path: &'static str,
    route: R,
}

/// Serves the one route by which nearly all requests come; all others go to the router, which has it too,
/// for its other methods.
///
/// A router looks the path up, notes the parameters that it has (none) in a map of the request, and keeps
/// each route in a box of its own: a twentieth of the instructions of a transfer.
///
/// It does not ask the two whether they are ready: both must always be, as axum's services are.
#[derive(Clone, Debug)]
pub struct Shortcut<R, S> {
    to: ShortcutLayer<R>,
    router: S,
}

impl<R> ShortcutLayer<R> {
    /// Requests by `method` for exactly `path` go to `route`.
    pub fn new(method: Method, path: &'static str, route: R) -> Self {
        Self {
            method,
            path,
            route,
        }
    }
}

impl<R: Clone, S> Layer<S> for ShortcutLayer<R> {
    type Service = Shortcut<R, S>;

    fn layer(&self, router: S) -> Self::Service {
        Shortcut {
            to: self.clone(),
            router,
        }
    }
}

impl<R, S> Service<Request<Body>> for Shortcut<R, S>
where
    R: Service<Request<Body>> + Clone,
    S: Service<Request<Body>, Response = R::Response, Error = R::Error> + Clone,
{
    type Response = R::Response;
    type Error = R::Error;
    type Future = <Either<R, S> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ShortcutLayer {
            method,
            path,
            route,
        } = &self.to;
        let is_it = request.method() == method && request.uri().path() == *path;
        let mut service: Either<R, S> = match is_it {
            true => Either::Left(route.clone()),
            false => Either::Right(self.router.clone()),
        };
        service.call(request)
    }
}
