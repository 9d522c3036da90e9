//! A bounded memory of what was used lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// What is known of keys, in two generations: what was not used while the young one filled up is
/// forgotten.
#[derive(Debug)]
pub(crate) struct Generations<K, T> {
    /// So many in each.
    most: usize,
    young: HashMap<K, T>,
    old: HashMap<K, T>,
}

impl<K: Eq + Hash, T> Generations<K, T> {
    /// Keeps at least the last `most`, and twice as many at the most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(crate) fn remember(&mut self, key: K, known: T) {
        if self.young.len() >= self.most {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    /// Takes out what is known of `key`.
    pub(crate) fn recall(&mut self, key: &K) -> Option<T> {
        // Most of the time there is no older one, and nothing to be looked for.
        let old = match self.old.is_empty() {
            true => None,
            false => self.old.remove(key),
        };
        self.young.remove(key).or(old)
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_last_are_known_and_no_more_than_twice_as_many() {
        let mut known = Generations::new(3);
        for key in 0..10 {
            known.remember(key, key);
        }
        let kept: Vec<_> = (0..10).filter_map(|key| known.recall(&key)).collect();
        assert_eq!(kept, [6, 7, 8, 9]);
        assert!((0..10).all(|key| known.recall(&key).is_none()));
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_was_remembered_last(steps in vec((0..6_u8, 0..3_u8), 0..60)) {
            let mut known = Generations::new(2);
            let mut last = HashMap::new();
            for (number, (key, step)) in steps.into_iter().enumerate() {
                if step > 0 {
                    known.remember(key, number);
                    last.insert(key, number);
                } else if let Some(recalled) = known.recall(&key) {
                    prop_assert_eq!(last.remove(&key), Some(recalled));
                    prop_assert!(known.recall(&key).is_none());
                }
            }
        }
    }
}
