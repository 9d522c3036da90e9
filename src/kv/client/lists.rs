use std::time::Duration;

use reqwest::header::{HeaderMap, IF_NONE_MATCH};
use reqwest::redirect;
use reqwest::{StatusCode, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use tokio::time::timeout;

use super::{CONNECT_TIMEOUT, POOL_IDLE_TIMEOUT, answer, trace};
use crate::kv::wire::{self, ListQuery, path};
use crate::kv::{Entry, KvError, KvResponse, Range, Stamp};

/// Retries of a list that fails: it stands alone, and nothing above tries it again.
const RETRIES: u32 = 2;

/// Asks for lists, again if that fails in passing.
#[derive(Debug)]
pub(super) struct Lists {
    /// Parsed once, not for each request.
    address: Url,
    timeout: Duration,
    client: ClientWithMiddleware,
}

impl Lists {
    /// From the server at `base`, with four times `timeout` for all tries together.
    pub(super) fn new(base: Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(timeout * 3)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            // Retries belong to those who know what may be sent twice: here, to the middleware.
            .retry(reqwest::retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .build()?;
        let policy = ExponentialBackoff::builder()
            .retry_bounds(Duration::from_millis(50), Duration::from_millis(500))
            .jitter(Jitter::Full)
            .build_with_max_retries(RETRIES);
        let mut address = base;
        address.set_path(path::LIST);
        Ok(Self {
            address,
            timeout: timeout * 4,
            client: ClientBuilder::new(client)
                .with(RetryTransientMiddleware::new_with_policy(policy))
                .build(),
        })
    }

    pub(super) async fn list(
        &self,
        range: Range,
        unless: Option<Stamp>,
    ) -> Result<KvResponse, KvError> {
        let query = ListQuery {
            prefix: (*range.prefix).into(),
            start: (*range.start).into(),
            limit: range.limit,
        };
        let mut address = self.address.clone();
        // Text and numbers can always be written as a query.
        address.set_query(serde_urlencoded::to_string(query).ok().as_deref());
        let mut headers = HeaderMap::new();
        trace::pass(&mut headers);
        let mut request = self.client.get(address).headers(headers);
        if let Some(stamp) = unless {
            request = request.header(IF_NONE_MATCH, wire::etag(stamp));
        }
        let listed = listed(request.timeout(self.timeout), range, unless);
        let answer = timeout(self.timeout, listed).await;
        answer.unwrap_or_else(|late| Err(KvError::Unavailable(late.into())))
    }
}

async fn listed(
    request: RequestBuilder,
    range: Range,
    unless: Option<Stamp>,
) -> Result<KvResponse, KvError> {
    let answer = request.send().await;
    let answer = answer.map_err(|error| KvError::Unavailable(error.into()))?;
    if answer.status() == StatusCode::NOT_MODIFIED && unless.is_some() {
        return Ok(KvResponse::Unchanged);
    }
    answer::of_read(answer.status())?;
    let stamp = answer::stamp(answer.headers());
    let mut entries: Vec<Entry> = answer::decoded(answer.bytes().await)?;
    // A store that knows no ranges has sent everything, in whatever order.
    entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    entries.retain(|entry| range.contains(&entry.key));
    entries.truncate(range.limit.unwrap_or(usize::MAX));
    Ok(KvResponse::List { entries, stamp })
}
