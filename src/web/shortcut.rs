use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Method, Request};
use tower::util::Either;
use tower::{Layer, Service};

/// Puts a [`Shortcut`] in front of a router.
#[derive(Clone, Debug)]
pub struct ShortcutLayer<Route> {
    method: Method,
    path: &'static str,
    route: Route,
}

/// Serves the one route by which nearly all requests come; all others go to the router, which has it too,
/// for its other methods.
///
/// A router looks the path up, notes the parameters that it has (none) in a map of the request, and keeps
/// each route in a box of its own: a twentieth of the instructions of a transfer.
#[derive(Clone, Debug)]
pub struct Shortcut<Route, Router> {
    method: Method,
    path: &'static str,
    route: Route,
    router: Router,
}

impl<Route> ShortcutLayer<Route> {
    /// Requests by `method` for exactly `path` go to `route`.
    pub fn new(method: Method, path: &'static str, route: Route) -> Self {
        Self {
            method,
            path,
            route,
        }
    }
}

impl<Route: Clone, Router> Layer<Router> for ShortcutLayer<Route> {
    type Service = Shortcut<Route, Router>;

    fn layer(&self, router: Router) -> Self::Service {
        let Self {
            method,
            path,
            route,
        } = self.clone();
        Shortcut {
            method,
            path,
            route,
            router,
        }
    }
}

impl<Route, Router> Service<Request<Body>> for Shortcut<Route, Router>
where
    Route: Service<Request<Body>> + Clone,
    Router: Service<Request<Body>, Response = Route::Response, Error = Route::Error> + Clone,
{
    type Response = Route::Response;
    type Error = Route::Error;
    type Future = <Either<Route, Router> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // axum's services are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_it = request.method() == self.method && request.uri().path() == self.path;
        let mut service: Either<Route, Router> = match is_it {
            true => Either::Left(self.route.clone()),
            false => Either::Right(self.router.clone()),
        };
        service.call(request)
    }
}
