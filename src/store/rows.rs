use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::{Entry, Key, Range, Versioned};

/// Keys and what they hold, sorted. Clones share their nodes: whoever changes one of them copies only the
/// paths that it changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(OrdMap<Key, Versioned>);

impl Rows {
    pub(super) fn get(&self, key: &str) -> Option<&Versioned> {
        self.0.get(key)
    }

    /// Writes `rows` over what is there.
    pub(super) fn write(&mut self, rows: BTreeMap<Key, Versioned>) {
        for (key, versioned) in rows {
            self.0.insert(key, versioned);
        }
    }

    /// All of them.
    pub(super) fn cloned(&self) -> impl Iterator<Item = (Key, Versioned)> {
        let rows = self.0.iter();
        rows.map(|(key, versioned)| (Arc::clone(key), versioned.clone()))
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range(&self, range: &Range) -> impl Iterator<Item = Entry> {
        let from = Bound::Included(range.first());
        self.0
            .range::<_, str>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&*range.prefix))
            .map(|(key, Versioned { value, version })| Entry {
                key: Arc::clone(key),
                value: Arc::clone(value),
                version: *version,
            })
    }
}
