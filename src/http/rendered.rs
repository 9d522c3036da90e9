use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::task;

use super::error::Error;
use crate::pipeline::Snapshot;

type Render = Arc<dyn Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync>;

/// A body that depends on the accounts only: rendered once for each snapshot of them.
pub(super) struct Rendered {
    render: Render,
    newest: ArcSwapOption<(Arc<Snapshot>, Bytes)>,
    /// Held by who renders, so that one does.
    rendering: Mutex<()>,
}

impl Rendered {
    pub(super) fn new(
        render: impl Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Arc::new(render),
            newest: ArcSwapOption::empty(),
            rendering: Mutex::new(()),
        }
    }

    /// The body for `snapshot`.
    pub(super) async fn of(&self, snapshot: &Arc<Snapshot>) -> Result<Bytes, Error> {
        if let Some(body) = self.known(snapshot) {
            return Ok(body);
        }
        let _one_at_a_time = self.rendering.lock().await;
        if let Some(body) = self.known(snapshot) {
            return Ok(body);
        }
        // Not on this thread: there may be very many accounts.
        let (render, seen) = (Arc::clone(&self.render), Arc::clone(snapshot));
        let rendered = task::spawn_blocking(move || render(&seen)).await;
        let body = rendered.map_err(|_| Error::Internal("a body could not be rendered"))??;
        let newest = (Arc::clone(snapshot), body.clone());
        self.newest.store(Some(Arc::new(newest)));
        Ok(body)
    }

    fn known(&self, snapshot: &Arc<Snapshot>) -> Option<Bytes> {
        let newest = self.newest.load();
        let (rendered, body) = &**newest.as_ref()?;
        Arc::ptr_eq(rendered, snapshot).then(|| body.clone())
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}
