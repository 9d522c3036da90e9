use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A key: any non-empty text.
pub type Key = Arc<str>;

/// A value: any text.
pub type Value = Arc<str>;

/// A value and its version. `Default` is that of a key that is not there: `""` and 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// The value.
    pub value: Value,
    /// How often the key was written since the last reset.
    pub version: u64,
}

impl Default for Versioned {
    fn default() -> Self {
        Self {
            value: Arc::from(""),
            version: 0,
        }
    }
}

/// A key with its value and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Its version, from 1.
    pub version: u64,
}

impl Entry {
    /// `key` with what it holds.
    pub(crate) fn new(key: Key, Versioned { value, version }: Versioned) -> Self {
        Self {
            key,
            value,
            version,
        }
    }

    /// The key, and what it holds.
    pub(crate) fn into_row(self) -> (Key, Versioned) {
        let Self {
            key,
            value,
            version,
        } = self;
        (key, Versioned { value, version })
    }
}

/// A write of one key, on the condition that it still has a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Key,
    /// The value that it is to have.
    pub value: Value,
    /// The version that it must have before; 0 where it must not be there.
    pub version: u64,
}

impl Put {
    /// A put of `value` under `key`, in the place of `version`.
    #[must_use]
    pub fn new(key: impl Into<Key>, value: impl Into<Value>, version: u64) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            version,
        }
    }
}

/// When something was read or written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Raised by each reset and restore. That of a new store is the time at which it was made (milliseconds since
    /// 1970), so that no two have the same.
    pub epoch: u64,
    /// How many writes (puts, transactions, resets) were made, resets and restarts notwithstanding.
    pub revision: u64,
}

/// Which keys to list: those that begin with `prefix` and are not before `start` (both may be
/// empty), at most `limit` of them, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// What the keys begin with.
    pub prefix: Arc<str>,
    /// Where to begin, inclusive.
    pub start: Arc<str>,
    /// How many at the most; `None` for all.
    pub limit: Option<usize>,
}

impl Range {
    /// The keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        Self {
            prefix: prefix.into(),
            ..Self::default()
        }
    }

    /// The keys from `start` on.
    #[must_use]
    pub fn from(start: &str) -> Self {
        Self {
            start: start.into(),
            ..Self::default()
        }
    }

    /// Whether `key` is in it, the limit aside.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&*self.prefix) && key >= &*self.start
    }

    /// What comes after a page of it that ends with `last`.
    pub(crate) fn after(&self, last: &str) -> Self {
        // The least text that comes after it.
        let start = format!("{last}\0").into();
        Self {
            start,
            ..self.clone()
        }
    }

    /// The least key that can be in it.
    pub(super) fn first(&self) -> &str {
        Ord::max(&self.start, &self.prefix)
    }
}
