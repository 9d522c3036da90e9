use tower::Layer;

use super::{Faults, Inject};

/// Applies [`Inject`] to services. All of them share the layer's [`Faults`].
#[derive(Clone, Debug)]
pub struct InjectLayer<K, F, KeyOf, Answer> {
    faults: Faults<K, F>,
    key_of: KeyOf,
    answer: Answer,
}

impl<K, F, KeyOf, Answer> InjectLayer<K, F, KeyOf, Answer> {
    /// A layer that looks up calls in `faults` by `key_of` (calls without a key are let through),
    /// and makes the answers of those that fail with `answer`.
    pub fn new(faults: Faults<K, F>, key_of: KeyOf, answer: Answer) -> Self {
        Self {
            faults,
            key_of,
            answer,
        }
    }
}

impl<S, K, F, KeyOf: Clone, Answer: Clone> Layer<S> for InjectLayer<K, F, KeyOf, Answer> {
    type Service = Inject<S, K, F, KeyOf, Answer>;

    fn layer(&self, inner: S) -> Self::Service {
        Inject {
            inner,
            faults: self.faults.clone(),
            key_of: self.key_of.clone(),
            answer: self.answer.clone(),
        }
    }
}
