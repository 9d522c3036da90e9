use std::time::Duration;

use tokio::task;

use super::entries::{PAGE, Source};
use super::{Entries, Entry, KvError, KvResponse, Range, Stamp};
use crate::store::{Fault, Snapshot};

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
    let walk = Walk {
        snapshot,
        rest: Some(range),
    };
    let entries = Entries::of(walk, LIST_WITHIN).await?;
    Ok(KvResponse::List { entries, stamp })
}

/// A walk through a list.
struct Walk<S> {
    snapshot: S,
    /// What is still to be listed; `None` at the end.
    rest: Option<Range>,
}

impl<S: Snapshot> Source for Walk<S> {
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

    fn has_ended(&self) -> bool {
        self.rest.is_none()
    }
}

pub(super) fn unreadable(fault: Fault) -> KvError {
    KvError::Unavailable(fault.into())
}
