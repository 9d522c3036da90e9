use tower::Layer;

use super::{Detach, Tracker};

/// Applies [`Detach`] to services. All of them share one [`Tracker`].
#[derive(Clone, Debug)]
pub struct DetachLayer {
    tracker: Tracker,
}

impl DetachLayer {
    /// A layer whose services count their calls with `tracker`.
    pub fn new(tracker: Tracker) -> Self {
        Self { tracker }
    }
}

impl<S> Layer<S> for DetachLayer {
    type Service = Detach<S>;

    fn layer(&self, inner: S) -> Detach<S> {
        Detach::new(inner, self.tracker.clone())
    }
}
