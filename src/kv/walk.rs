use std::time::Duration;

use tokio::task;
use tokio::time::timeout;

use super::entries::Pages;
use super::{Entries, Entry, KvError, KvResponse, Range, Stamp};
use crate::store::{Fault, Snapshot};

/// The most entries that are read at a time.
const PAGE: usize = 1024;

/// The longest that a list may take: a client that is slower keeps what was overwritten since from being forgotten.
const LIST_WITHIN: Duration = Duration::from_secs(600);

/// Lists `range` of `snapshot`, unless that is of `unless`.
pub(super) async fn list<S: Snapshot>(
    snapshot: S,
    range: Range,
    unless: Option<Stamp>,
) -> Result<KvResponse, KvError> {
    let stamp = Some(snapshot.stamp());
    if unless == stamp {
        return Ok(KvResponse::Unchanged);
    }
    let mut walk = Walk {
        snapshot,
        rest: Some(range),
    };
    let first = walk.next_page().await?;
    if walk.rest.is_none() {
        let entries = first.into();
        return Ok(KvResponse::List { entries, stamp });
    }
    let (pages, entries) = Entries::paged(first);
    task::spawn(async move {
        match timeout(LIST_WITHIN, walk.send(&pages)).await {
            Ok(Ok(())) => pages.end().await,
            Ok(Err(error)) => pages.fail(error).await,
            Err(_) => tracing::warn!("a list was cut off: nobody has read it to its end in time"),
        }
    });
    Ok(KvResponse::List { entries, stamp })
}

/// A walk through a list.
struct Walk<S> {
    snapshot: S,
    /// What is still to be listed; `None` at the end.
    rest: Option<Range>,
}

impl<S: Snapshot> Walk<S> {
    /// Sends what is still to be listed.
    async fn send(mut self, pages: &Pages) -> Result<(), KvError> {
        while self.rest.is_some() {
            let page = self.next_page().await?;
            if !pages.send(page).await {
                break;
            }
        }
        Ok(())
    }

    /// The next entries. They are read on a thread for blocking work: that may be long, and from disk.
    async fn next_page(&mut self) -> Result<Vec<Entry>, KvError> {
        let Some(rest) = self.rest.take() else {
            return Ok(Vec::new());
        };
        let limit = rest.limit.unwrap_or(usize::MAX);
        let range = Range {
            limit: Some(limit.min(PAGE)),
            ..rest.clone()
        };
        let snapshot = self.snapshot.clone();
        let page = task::spawn_blocking(move || snapshot.list(&range)).await;
        let page = page
            .map_err(|lost| KvError::Unavailable(lost.into()))?
            .map_err(unreadable)?;
        if let Some(last) = page.last()
            && page.len() == PAGE
            && limit > PAGE
        {
            self.rest = Some(Range {
                limit: rest.limit.map(|limit| limit - PAGE),
                ..rest.after(&last.key)
            });
        }
        Ok(page)
    }
}

pub(super) fn unreadable(fault: Fault) -> KvError {
    KvError::Unavailable(fault.into())
}
