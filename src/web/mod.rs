//! What stands around every HTTP service of this program, whatever its routes.

mod health;
mod measured;
mod object;
mod problem;
mod request_id;
mod reset;
mod routes;
mod security;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use tower::{Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use health::Readiness;
pub use object::Object;
pub use problem::Problem;
pub use reset::{Resets, Token};
pub use routes::Routes;

use crate::metrics::RequestMetrics;

/// What a service shows of itself to those who operate it.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Whether it should be sent requests.
    pub readiness: Readiness,
    /// Where its requests are counted; `None` if nobody wants to know.
    pub requests: Option<Arc<RequestMetrics>>,
}

/// `routes` and the probes, with the layers around them.
///
/// They stand around the router instead of in it (`Router::layer` puts a boxed copy of them around
/// every route).
pub fn around(
    routes: Routes,
    edge: Edge,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let (router, templates) = routes.probes(edge.readiness).into_parts();
    let table = edge.requests.map(|requests| requests.table(templates));
    ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        // What becomes of every request, and how long it takes.
        .layer(measured::MeasuredLayer { table })
        // Every request has an id and a trace, its client's or ours; they are in each line that is
        // written below, and the answer repeats the id.
        .layer(request_id::IdentifiedLayer)
        // One line for each request, at debug.
        .layer(request_id::trace_layer())
        // Browsers are told what an answer may do.
        .layer(security::headers())
        // For clients that ask for it.
        .layer(CompressionLayer::new())
        // A bug answers 500, and the connection lives on.
        .layer(CatchPanicLayer::custom(problem::panicked))
        // Whatever the router or a layer below refuses, says so as the handlers do.
        .map_response(problem::explain)
        .service(router)
}
