use tower::Layer;

use super::{Handle, Quarantine};

/// Applies [`Quarantine`] to services. All of them obey one [`Handle`].
#[derive(Clone, Debug)]
pub struct QuarantineLayer {
    handle: Handle,
}

impl QuarantineLayer {
    /// A layer whose services refuse their calls while `handle` is blown.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl<S> Layer<S> for QuarantineLayer {
    type Service = Quarantine<S>;

    fn layer(&self, inner: S) -> Quarantine<S> {
        Quarantine::new(inner, self.handle.clone())
    }
}
