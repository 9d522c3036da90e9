use std::collections::HashMap;
use std::mem;

use super::Key;

/// What is known of keys, in two generations: what was not used while the young one filled up is
/// forgotten.
#[derive(Debug)]
pub(crate) struct Generations<T> {
    /// So many in each.
    most: usize,
    young: HashMap<Key, T>,
    old: HashMap<Key, T>,
}

impl<T> Generations<T> {
    /// Keeps at least the last `most`, and twice as many at the most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    pub(crate) fn remember(&mut self, key: Key, known: T) {
        if self.young.len() >= self.most {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    /// Takes out what is known of `key`.
    pub(crate) fn recall(&mut self, key: &Key) -> Option<T> {
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
