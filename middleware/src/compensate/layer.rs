use tower::Layer;

use super::Compensate;

/// Applies [`Compensate`] to services. Each of them gets a clone of the service for fences and undos.
#[derive(Clone, Debug)]
pub struct CompensateLayer<U> {
    undo: U,
}

impl<U> CompensateLayer<U> {
    /// A layer whose services send their fences and undos to `undo`.
    pub fn new(undo: U) -> Self {
        Self { undo }
    }
}

impl<S, U: Clone> Layer<S> for CompensateLayer<U> {
    type Service = Compensate<S, U>;

    fn layer(&self, inner: S) -> Self::Service {
        Compensate::new(inner, self.undo.clone())
    }
}
