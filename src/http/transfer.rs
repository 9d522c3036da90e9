use std::error::Error as _;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use http_body_util::BodyExt;
use uuid::Uuid;

use super::error::Error;
use super::once::Once;
use super::{App, MAX_BODY, body, status};
use crate::telemetry::{self, Context, Id};
use crate::web::OwnSite;

/// `POST /api/transfer`: 200 with an empty body when the transfer is in the ledger. `Location` is
/// where one sees what became of it. With an `Idempotency-Key` it is made once, however often it is posted.
pub(super) async fn transfer(
    State(app): State<Arc<App>>,
    _: OwnSite,
    Once(key): Once,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Error> {
    let transfer = body::parse(&read(body).await?)?;
    let id = new_id();
    let id = match key {
        Some(key) => app.ledger.transfer_once(key, id, transfer).await?,
        None => app.ledger.transfer(id, transfer).await.map(|()| id)?,
    };
    Ok((StatusCode::OK, [(LOCATION, status::path(id))]))
}

/// The id of the request, if it is one of ours: one name is enough for both. It is made just now then, so
/// that ids come in the order of transfers. Else a new one.
fn new_id() -> Uuid {
    match telemetry::current().as_deref().map(Context::id) {
        Some(Id::Own(id)) => *id,
        _ => Uuid::now_v7(),
    }
}

/// Reads a body that is not too long. Where its length is told, a longer one is not even read.
async fn read(mut body: Body) -> Result<Bytes, Error> {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Error::BodyTooLarge);
    }
    // Nearly always all of it comes at once, and is read where it is.
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    let mut more = Vec::new();
    loop {
        if first.len().max(more.len()) > MAX_BODY {
            return Err(Error::BodyTooLarge);
        }
        let Some(part) = next(&mut body).await? else {
            break;
        };
        if more.is_empty() {
            more.extend_from_slice(&first);
        }
        more.extend_from_slice(&part);
    }
    Ok(if more.is_empty() { first } else { more.into() })
}

/// The next part of `body`; `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(error = error.source(), "a body could not be read");
            Error::BodyUnread
        })?;
        // What else there is are trailers.
        if let Ok(part) = frame.into_data() {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use http_body_util::channel::Channel;

    use super::*;

    /// A body that comes in these parts. `None` stands for trailers.
    async fn body(parts: &[Option<&'static str>]) -> Body {
        let (mut sender, body) = Channel::<Bytes>::new(parts.len().max(1));
        for part in parts {
            let sent = match part {
                Some(text) => sender.send_data(Bytes::from_static(text.as_bytes())).await,
                None => sender.send_trailers(HeaderMap::new()).await,
            };
            sent.expect("there is room for all parts");
        }
        Body::new(body)
    }

    #[tokio::test]
    async fn a_body_is_read_whole_in_whatever_parts_it_comes() {
        let whole = "0123456789";
        let ways: [&[Option<&str>]; 7] = [
            &[Some(whole)],
            &[Some(whole), Some("")],
            &[Some(""), Some(whole)],
            &[Some(""), Some("0"), Some(""), Some("123456789")],
            &[Some("01234"), Some("56789"), None],
            &[Some("0"), Some("1"), Some("23456789")],
            &[Some(""), Some(""), Some(whole), None],
        ];
        for parts in ways {
            let read = read(body(parts).await).await;
            assert_eq!(read.ok().as_deref(), Some(whole.as_bytes()), "{parts:?}");
        }
        for parts in [&[][..], &[Some("")], &[Some(""), Some(""), None], &[None]] {
            let read = read(body(parts).await).await;
            assert_eq!(read.ok().as_deref(), Some(&[][..]), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_may_have_so_many_bytes_and_not_one_more_in_whatever_parts_it_comes() {
        let full: &str = "x".repeat(MAX_BODY).leak();
        let (half, rest) = full.split_at(MAX_BODY / 2);
        for parts in [&[Some(full)][..], &[Some(""), Some(half), Some(rest)]] {
            let mut parts = parts.to_vec();
            assert_eq!(
                read(body(&parts).await).await.map(|body| body.len()).ok(),
                Some(MAX_BODY)
            );
            parts.push(Some("x"));
            let read = read(body(&parts).await).await;
            assert!(matches!(read, Err(Error::BodyTooLarge)), "{}", parts.len());
        }
    }
}
