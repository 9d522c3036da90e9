use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::task;

use super::error::Error;
use super::tagged::Tagged;
use crate::pipeline::Snapshot;

type Render = Arc<dyn Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync>;

/// A body that depends on the accounts only, and its tag: rendered once for each snapshot of them.
pub(super) struct Rendered {
    render: Render,
    newest: Arc<ArcSwapOption<(Arc<Snapshot>, Tagged)>>,
    /// Held by who renders, so that one does.
    rendering: Arc<Mutex<()>>,
}

impl Rendered {
    pub(super) fn new(
        render: impl Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Arc::new(render),
            newest: Arc::default(),
            rendering: Arc::default(),
        }
    }

    /// The body for `snapshot`.
    pub(super) async fn of(&self, snapshot: &Arc<Snapshot>) -> Result<Tagged, Error> {
        if let Some(tagged) = self.known(snapshot) {
            return Ok(tagged);
        }
        let one_at_a_time = Arc::clone(&self.rendering).lock_owned().await;
        if let Some(tagged) = self.known(snapshot) {
            return Ok(tagged);
        }
        // Not on this thread: there may be very many accounts. Nor is it begun anew whenever the one
        // who asked for it has gone.
        let (render, newest) = (Arc::clone(&self.render), Arc::clone(&self.newest));
        let snapshot = Arc::clone(snapshot);
        let rendered = task::spawn_blocking(move || {
            let tagged = Tagged::new(snapshot.stamp(), render(&snapshot)?);
            newest.store(Some(Arc::new((snapshot, tagged.clone()))));
            drop(one_at_a_time);
            Ok(tagged)
        });
        let rendered = rendered.await;
        rendered.map_err(|_| Error::Internal("a body could not be rendered"))?
    }

    fn known(&self, snapshot: &Arc<Snapshot>) -> Option<Tagged> {
        let newest = self.newest.load();
        let (rendered, tagged) = &**newest.as_ref()?;
        Arc::ptr_eq(rendered, snapshot).then(|| tagged.clone())
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}
