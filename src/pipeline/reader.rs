use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::Mutex;
use tokio::task;

use super::snapshot::{FIRST_NAME, Snapshot};
use crate::kv::{Kv, KvError, Listed, Range};
use crate::telemetry;

/// Reads the accounts. Whoever asks gets them as of a moment after asking; those who ask while a
/// list is under way share the next one, and nothing is listed again that has not changed.
#[derive(Debug)]
pub(super) struct Reader {
    kv: Kv,
    /// How many have asked.
    asked: AtomicU64,
    newest: Arc<Mutex<Newest>>,
}

#[derive(Debug)]
struct Newest {
    /// Those who had asked before the newest list began: its result is theirs.
    answers: u64,
    result: Result<Arc<Snapshot>, Arc<KvError>>,
}

impl Reader {
    pub(super) fn new(kv: Kv) -> Self {
        let newest = Newest {
            answers: 0,
            result: Ok(Arc::default()),
        };
        Self {
            kv,
            asked: AtomicU64::new(0),
            newest: Arc::new(Mutex::new(newest)),
        }
    }

    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>, Arc<KvError>> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut newest = Arc::clone(&self.newest).lock_owned().await;
        if newest.answers >= ticket {
            return newest.result.clone();
        }
        let answers = self.asked.load(Ordering::SeqCst);
        let kv = self.kv.clone();
        let mut listing = Box::pin(async move {
            let result = list(&kv, newest.result.as_ref().ok()).await;
            *newest = Newest { answers, result };
            newest.result.clone()
        });
        // A store in this process knows at once that nothing has changed.
        if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(listing.as_mut().poll(cx))).await {
            return result;
        }
        // On a task of its own: a list that takes long must not begin anew whenever the one who
        // asked for it has gone.
        match task::spawn(telemetry::carried(listing)).await {
            Ok(result) => result,
            Err(lost) => Err(Arc::new(KvError::Unavailable(lost.into()))),
        }
    }
}

async fn list(kv: &Kv, last: Option<&Arc<Snapshot>>) -> Result<Arc<Snapshot>, Arc<KvError>> {
    let unless = last.and_then(|last| last.stamp());
    let listed = kv.list(Range::from(FIRST_NAME), unless).await?;
    match (listed, last) {
        (Listed::Unchanged, Some(last)) => Ok(Arc::clone(last)),
        (Listed::Unchanged, None) => Err(KvError::Unavailable(
            "the store claims that nothing has changed since nothing".into(),
        )
        .into()),
        (Listed::Entries(entries, stamp), _) => {
            let entries = entries.all().await?;
            // There may be very many.
            let read = task::spawn_blocking(move || Snapshot::new(entries, stamp)).await;
            let snapshot = read.map_err(|lost| KvError::Unavailable(lost.into()))?;
            let unreadable = snapshot.unreadable().len();
            if last.is_none_or(|last| last.unreadable().len() != unreadable) && unreadable > 0 {
                tracing::warn!(
                    values = unreadable,
                    "the store holds what is no balance; it is left alone, and not shown"
                );
            }
            Ok(Arc::new(snapshot))
        }
    }
}
