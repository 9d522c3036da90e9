use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::body::Body;
use super::error::Error;
use super::stamped::Stamped;
use crate::json::{self, Misread};
use crate::kv::Kv;
use crate::kv::wire::{MAX_PUTS, ResetQuery, WirePut};
use crate::web::{Object, OwnSite, Resets};

/// What a put must be.
const PUT: &str = r#"{"key": text, "value": text, "version": integer from 0}"#;

/// `POST /api/put`: 200 with an empty body when the put is durable.
pub(super) async fn put(
    _: OwnSite,
    State(kv): State<Kv>,
    Body(body): Body,
) -> Result<impl IntoResponse, Error> {
    let Object(put) = json::read::<Object<WirePut>>(&body)
        .map_err(|misread| invalid(misread, &format!("A put must be {PUT}")))?;
    let epoch = put.epoch;
    Ok(Stamped::new(
        kv.put(put.into_put(), epoch).await?,
        StatusCode::OK,
    ))
}

/// `POST /api/transaction`: 200 with an empty body when all puts are durable.
pub(super) async fn transaction(
    _: OwnSite,
    State(kv): State<Kv>,
    Body(body): Body,
) -> Result<impl IntoResponse, Error> {
    let puts = json::read::<Vec<Object<WirePut>>>(&body).map_err(|misread| {
        invalid(
            misread,
            &format!("A transaction must be a list of puts, [{PUT}, …]"),
        )
    })?;
    if puts.len() > MAX_PUTS {
        return Err(Error::Invalid(
            format!("A transaction must have at most {MAX_PUTS} puts.").into(),
        ));
    }
    let mut epochs = puts.iter().filter_map(|Object(put)| put.epoch);
    let epoch = epochs.next();
    if epochs.any(|other| Some(other) != epoch) {
        return Err(Error::Invalid(
            "The puts of a transaction must name the same epoch.".into(),
        ));
    }
    let puts = puts.into_iter().map(|Object(put)| put.into_put()).collect();
    Ok(Stamped::new(
        kv.transaction(puts, epoch).await?,
        StatusCode::OK,
    ))
}

/// `GET /api/reset`: 200 with an empty body when there are no keys any more; 428, and nothing is changed, where the
/// query names another epoch than the present one. That it is a GET is owed to old clients.
pub(super) async fn reset(
    State(kv): State<Kv>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if let Some(refusal) = Resets::Open.refusal(&method, &headers) {
        return Ok(refusal);
    }
    let query: ResetQuery = serde_urlencoded::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| Error::Invalid("The query may have epoch=NUMBER, once.".into()))?;
    let stamp = kv.reset(query.epoch).await?;
    Ok(Stamped::new(stamp, StatusCode::OK).into_response())
}

/// The answer to a body that is none of this `form`.
fn invalid(misread: Misread, form: &str) -> Error {
    Error::Invalid(match misread {
        Misread::Other(place) => format!("{form}: see {place}.").into(),
        no_json => no_json.to_string().into(),
    })
}
