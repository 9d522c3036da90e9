use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::task;

use super::error::Error;
use crate::pipeline::View;

/// A body that depends on the accounts only: rendered once for each view of them.
pub(super) struct Rendered {
    render: fn(&View) -> Result<Bytes, Error>,
    newest: Mutex<Option<(Arc<View>, Bytes)>>,
}

impl Rendered {
    pub(super) fn new(render: fn(&View) -> Result<Bytes, Error>) -> Self {
        Self {
            render,
            newest: Mutex::new(None),
        }
    }

    /// The body for `view`.
    pub(super) async fn of(&self, view: Arc<View>) -> Result<Bytes, Error> {
        let mut newest = self.newest.lock().await;
        if let Some((rendered, body)) = &*newest
            && Arc::ptr_eq(rendered, &view)
        {
            return Ok(body.clone());
        }
        // Not on this thread: there may be very many accounts.
        let (render, seen) = (self.render, Arc::clone(&view));
        let rendered = task::spawn_blocking(move || render(&seen)).await;
        let body = rendered.map_err(|_| Error::Internal("a body could not be rendered"))??;
        *newest = Some((view, body.clone()));
        Ok(body)
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}
