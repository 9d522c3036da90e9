use std::fmt;
use std::sync::{Arc, Mutex};

use tower::Layer;

use super::Network;

/// Applies [`Network`] to services. All of them share the layer's script.
pub struct NetworkLayer<X, R, L> {
    script: Arc<Mutex<X>>,
    refused: R,
    lost: L,
}

impl<X, R, L> NetworkLayer<X, R, L> {
    /// A layer that lets happen what `script` tells. `refused` makes the error of a request that was
    /// not sent, `lost` that of one which nobody can tell about.
    pub fn new(script: X, refused: R, lost: L) -> Self {
        Self {
            script: Arc::new(Mutex::new(script)),
            refused,
            lost,
        }
    }
}

impl<S, X, R: Clone, L: Clone> Layer<S> for NetworkLayer<X, R, L> {
    type Service = Network<S, X, R, L>;

    fn layer(&self, inner: S) -> Self::Service {
        Network {
            inner,
            script: Arc::clone(&self.script),
            refused: self.refused.clone(),
            lost: self.lost.clone(),
        }
    }
}

impl<X, R: Clone, L: Clone> Clone for NetworkLayer<X, R, L> {
    fn clone(&self) -> Self {
        Self {
            script: Arc::clone(&self.script),
            refused: self.refused.clone(),
            lost: self.lost.clone(),
        }
    }
}

impl<X, R, L> fmt::Debug for NetworkLayer<X, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkLayer").finish_non_exhaustive()
    }
}
