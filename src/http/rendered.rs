use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::task;

use super::error::Error;
use crate::pipeline::Snapshot;

type Render = Arc<dyn Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync>;

/// A body that depends on the accounts only: rendered once for each snapshot of them.
pub(super) struct Rendered {
    render: Render,
    newest: Mutex<Option<(Arc<Snapshot>, Bytes)>>,
}

impl Rendered {
    pub(super) fn new(
        render: impl Fn(&Snapshot) -> Result<Bytes, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            render: Arc::new(render),
            newest: Mutex::new(None),
        }
    }

    /// The body for `snapshot`.
    pub(super) async fn of(&self, snapshot: Arc<Snapshot>) -> Result<Bytes, Error> {
        let mut newest = self.newest.lock().await;
        if let Some((rendered, body)) = &*newest
            && Arc::ptr_eq(rendered, &snapshot)
        {
            return Ok(body.clone());
        }
        // Not on this thread: there may be very many accounts.
        let (render, seen) = (Arc::clone(&self.render), Arc::clone(&snapshot));
        let rendered = task::spawn_blocking(move || render(&seen)).await;
        let body = rendered.map_err(|_| Error::Internal("a body could not be rendered"))??;
        *newest = Some((snapshot, body.clone()));
        Ok(body)
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}
