use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::metrics::CommitMetrics;

/// Who is told how long syncs take, if anybody. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Syncs(Arc<OnceLock<Arc<CommitMetrics>>>);

impl Syncs {
    /// Tells `commits` from now on. There is one who is told.
    pub(super) fn observe(&self, commits: &Arc<CommitMetrics>) {
        self.0.get_or_init(|| Arc::clone(commits));
    }

    pub(super) fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        let Some(commits) = self.0.get() else {
            return sync();
        };
        let begun = Instant::now();
        let synced = sync();
        commits.synced(begun.elapsed());
        synced
    }
}
