//! The routes of the server `kvstore`: HTTP over a [`KvService`], nothing else.

mod body;
mod error;
mod fault;
mod list;
mod stamped;
mod write;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use resilient::inject::InjectLayer;
use tower::Service;
use tower::layer::util::Identity;

pub use fault::HttpFaults;

use crate::kv::wire::{GetQuery, path};
use crate::kv::{Kv, KvService};
use crate::web::{self, Edge, Routes, compressed};
use error::Error;
use stamped::Stamped;

/// The whole server over `store`; with `faults`, requests can be made to fail by `/api/fault`.
pub fn app(
    store: KvService,
    faults: Option<HttpFaults>,
    edge: Edge,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let routes = Routes::new()
        .route(path::GET, get(read))
        .route(path::LIST, compressed(get(list::list)))
        .route(path::PUT, post(write::put))
        .route(path::TRANSACTION, post(write::transaction))
        .route(path::RESET, any(write::reset))
        .map(|router| router.with_state(Kv::new(store)));
    let routes = match faults {
        None => routes,
        Some(faults) => routes
            .map(|router| {
                let inject = InjectLayer::new(faults.clone(), fault::path, fault::answer);
                router.layer(inject)
            })
            .route(
                "/api/fault",
                get(fault::report)
                    .post(fault::set)
                    .delete(fault::clear)
                    .with_state(faults),
            ),
    };
    web::around(routes.healthz(), Identity::new(), edge)
}

/// `GET /api/get?id=KEY`: the value and version of a key.
async fn read(State(kv): State<Kv>, RawQuery(query): RawQuery) -> Result<impl IntoResponse, Error> {
    let query: GetQuery<'_> = serde_urlencoded::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| Error::Invalid("The query must be ?id=KEY.".into()))?;
    match query.id {
        Some(key) if !key.is_empty() => {
            let (versioned, stamp) = kv.get(key.into()).await?;
            Ok(Stamped::new(stamp, axum::Json(versioned)))
        }
        _ => Err(Error::Invalid("The query must name a key: ?id=KEY.".into())),
    }
}
