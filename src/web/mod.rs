//! What stands around every HTTP service of this program, whatever its routes.

mod health;
mod object;
mod problem;
mod request_id;
mod security;
mod site;

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use health::healthz;
pub use object::Object;
pub use problem::Problem;
pub use site::is_wanted;

/// `routes` with the layers around them.
///
/// They stand around the router instead of in it (`Router::layer` puts a boxed copy of them around
/// every route).
pub fn around(
    routes: Router,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        // Every request has an id, its client's or ours, and the answer repeats it.
        .map_request(request_id::distrust)
        .layer(request_id::take_or_make())
        // One line for each request, with its id.
        .layer(request_id::trace())
        .layer(request_id::repeat())
        // Browsers are told what an answer may do.
        .layer(security::headers())
        // For clients that ask for it.
        .layer(CompressionLayer::new())
        // A bug answers 500, and the connection lives on.
        .layer(CatchPanicLayer::custom(problem::panicked))
        // Whatever the router or a layer below refuses, says so as the handlers do.
        .map_response(problem::explain)
        .service(routes)
}
