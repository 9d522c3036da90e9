use tower::Layer;

use super::{Handle, Probe};

/// Applies [`Probe`] to services. All of them count for one [`Handle`].
#[derive(Clone, Debug)]
pub struct ProbeLayer {
    handle: Handle,
}

impl ProbeLayer {
    /// A layer whose probes count for `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl<S> Layer<S> for ProbeLayer {
    type Service = Probe<S>;

    fn layer(&self, inner: S) -> Probe<S> {
        Probe::new(inner, self.handle.clone())
    }
}
