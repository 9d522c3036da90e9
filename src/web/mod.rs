//! What stands around every HTTP service of this program, whatever its routes.

mod body;
mod health;
mod measured;
mod object;
mod problem;
mod request_id;
mod reset;
mod routes;
mod security;
mod shortcut;
mod site;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;

pub use body::{Unread, read};
pub use health::Readiness;
pub use object::Object;
pub use problem::Problem;
pub use reset::{Resets, Token};
pub use routes::{Routes, compressed};
pub use shortcut::{Shortcut, ShortcutLayer};
pub use site::OwnSite;

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
///
/// `in_front` is a layer in front of the router (`Identity` for none).
pub fn around<L>(
    routes: Routes,
    in_front: L,
    edge: Edge,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static
where
    L: Layer<Router>,
    L::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let (router, templates) = routes.probes(edge.readiness).into_parts();
    let table = edge.requests.map(|requests| requests.table(templates));
    ServiceBuilder::new()
        // Every request has an id and a trace, its client's or ours; they are in each line that is
        // written below, and the answer repeats the id.
        .layer(request_id::IdentifiedLayer)
        // What becomes of every request, and how long it takes.
        .layer(measured::MeasuredLayer { table })
        // Whatever the router or a layer below refuses, says so as the handlers do; browsers are told
        // what an answer may do.
        .map_response(|answer: Response<_>| {
            security::confined(problem::explain(answer.map(Body::new)))
        })
        // A bug answers 500, and the connection lives on.
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(in_front)
        .service(router)
}
