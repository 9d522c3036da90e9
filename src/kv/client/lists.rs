use std::time::Duration;

use reqwest::header::{HeaderMap, IF_NONE_MATCH};
use reqwest::{Response, StatusCode, Url, redirect};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{Jitter, RetryTransientMiddleware};
use tokio::time::timeout;
use tower::BoxError;

use super::array::Array;
use super::{CONNECT_TIMEOUT, POOL_IDLE_TIMEOUT, answer, trace};
use crate::kv::entries::{PAGE, Source};
use crate::kv::wire::{self, ListQuery, path};
use crate::kv::{Entries, Entry, KvError, KvResponse, Range, Stamp};

/// Retries of a list that fails: it stands alone, and nothing above tries it again.
const RETRIES: u32 = 2;

/// How long the rest of a list may take, where its begin was there in time: it may be long, and who reads it slow. What
/// falls silent ends before.
const REST_WITHIN: Duration = Duration::from_secs(60);

/// Asks for lists, again if that fails in passing.
#[derive(Debug)]
pub(super) struct Lists {
    /// Parsed once, not for each request.
    address: Url,
    timeout: Duration,
    client: ClientWithMiddleware,
}

impl Lists {
    /// From the server at `base`, with four times `timeout` for all tries together until a list has begun to arrive.
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
        let listed = listed(request, range, unless, self.timeout.max(REST_WITHIN));
        let listed = timeout(self.timeout, listed).await;
        listed.unwrap_or_else(|late| Err(unavailable(late)))
    }
}

async fn listed(
    request: RequestBuilder,
    range: Range,
    unless: Option<Stamp>,
    rest_within: Duration,
) -> Result<KvResponse, KvError> {
    let answer = request.send().await.map_err(unavailable)?;
    if answer.status() == StatusCode::NOT_MODIFIED && unless.is_some() {
        return Ok(KvResponse::Unchanged);
    }
    answer::of_read(answer.status())?;
    let stamp = answer::stamp(answer.headers());
    let mut arriving = Arriving {
        answer,
        array: Array::default(),
        ended: false,
    };
    let entries = match stamp {
        Some(_) => Entries::of(arriving, rest_within).await?,
        // A store that knows no ranges has sent everything, in whatever order.
        None => {
            let mut all = Vec::new();
            while !arriving.ended {
                all.extend(arriving.next_page().await?);
            }
            all.sort_unstable_by(|one: &Entry, other| one.key.cmp(&other.key));
            all.retain(|entry| range.contains(&entry.key));
            all.truncate(range.limit.unwrap_or(usize::MAX));
            all.into()
        }
    };
    Ok(KvResponse::List { entries, stamp })
}

/// A list that arrives.
struct Arriving {
    answer: Response,
    array: Array,
    ended: bool,
}

impl Source for Arriving {
    /// The next entries: so many that it is worth to hand them on, but for the last ones.
    async fn next_page(&mut self) -> Result<Vec<Entry>, KvError> {
        let mut page = Vec::new();
        while page.len() < PAGE && !self.ended {
            match self.answer.chunk().await.map_err(unavailable)? {
                Some(part) => page.append(&mut self.array.take(&part).map_err(unavailable)?),
                None => {
                    self.array.end().map_err(unavailable)?;
                    self.ended = true;
                }
            }
        }
        Ok(page)
    }

    fn has_ended(&self) -> bool {
        self.ended
    }
}

fn unavailable(error: impl Into<BoxError>) -> KvError {
    KvError::Unavailable(error.into())
}
