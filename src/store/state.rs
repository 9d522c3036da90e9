//! What a write decides. Pure and synchronous: the same writes in the same order come to the same
//! end, whoever drives them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Backend, Entry, Fault, Key, Put, Range, Snapshot, Stamp, Versioned};

/// A write to the store: all of it happens, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Puts at different keys, all or none.
    Puts {
        /// At most one a key.
        puts: Vec<Put>,
        /// The epoch that the versions were read in; `None` accepts any.
        epoch: Option<u64>,
    },
    /// Forgets all keys and begins the next epoch.
    Reset {
        /// The epoch that is to end; `None` ends any.
        epoch: Option<u64>,
    },
}

/// Why a write was not made. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Keys have other versions by now: all of those, sorted, and what they hold (`""` and 0 for none).
    #[error("keys have other versions by now: {}", .0.len())]
    Version(Vec<Entry>),
    /// The store was reset since the versions were read.
    #[error("the store was reset: its epoch is {current} by now")]
    Epoch {
        /// The epoch of the store.
        current: u64,
    },
    /// A key is empty.
    #[error("a key must not be empty")]
    EmptyKey,
    /// A key stands in a transaction more than once.
    #[error("the key {0:?} stands in the transaction more than once")]
    SameKey(Key),
    /// The version of a key cannot be raised.
    #[error("the version of {0:?} is the last one there is")]
    LastVersion(Key),
    /// What a reset would have forgotten could not be put aside, so there was none.
    #[error("the copy that is kept before a reset could not be written")]
    CopyFailed,
}

/// What one commit changes.
#[derive(Debug)]
pub struct Changes {
    /// When it happens.
    pub(super) stamp: Stamp,
    /// Whether everything from before is forgotten, before `rows` are written.
    pub(super) reset: bool,
    /// The new values and versions.
    pub(super) rows: BTreeMap<Key, Versioned>,
}

/// Writes that were decided and wait to be committed together, on top of the commit before.
pub(super) struct Draft<B: Backend> {
    base: B::Snapshot,
    changes: Changes,
}

impl<B: Backend> Draft<B> {
    /// On top of the newest commit.
    pub(super) fn new(backend: &B) -> Self {
        let base = backend.newest().snapshot();
        let changes = Changes {
            stamp: base.stamp(),
            reset: false,
            rows: BTreeMap::new(),
        };
        Self { base, changes }
    }

    /// Decides `puts`; if they are accepted, the draft holds them. `backend` is where it will be committed.
    pub(super) fn put(
        &mut self,
        backend: &mut B,
        puts: &[Put],
        epoch: Option<u64>,
    ) -> Result<Result<Stamp, Refusal>, Fault> {
        let in_order = match in_order(puts) {
            Ok(in_order) => in_order,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = self.accepts(epoch) {
            return Ok(Err(refusal));
        }
        let moved = self.moved(backend, &in_order)?;
        if !moved.is_empty() {
            return Ok(Err(Refusal::Version(moved)));
        }
        let rows = in_order.into_iter().map(|put| {
            let versioned = Versioned {
                value: Arc::clone(&put.value),
                version: put.version + 1,
            };
            (Arc::clone(&put.key), versioned)
        });
        if self.changes.rows.is_empty() {
            // Much faster than one by one.
            self.changes.rows = rows.collect();
        } else {
            self.changes.rows.extend(rows);
        }
        if !puts.is_empty() {
            self.changes.stamp.revision += 1;
        }
        Ok(Ok(self.changes.stamp))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.stamp == self.base.stamp()
    }

    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Whether it is in `epoch`, if one is named.
    pub(super) fn accepts(&self, epoch: Option<u64>) -> Result<(), Refusal> {
        let current = self.changes.stamp.epoch;
        match epoch {
            Some(epoch) if epoch != current => Err(Refusal::Epoch { current }),
            _ => Ok(()),
        }
    }

    /// What has moved since the versions of `puts` were read, which are sorted by key.
    fn moved(&self, backend: &mut B, puts: &[&Put]) -> Result<Vec<Entry>, Fault> {
        let mut moved = Vec::new();
        let mut gap = None;
        for (at, put) in puts.iter().enumerate() {
            let changed = self.changes.rows.get(&put.key);
            let next_is_new = puts.get(at + 1).is_some_and(|next| next.version == 0);
            let version = match changed {
                Some(changed) => changed.version,
                None if put.version == 0 => self.version_of_new(&put.key, next_is_new, &mut gap)?,
                None => backend.version(&self.base, &put.key)?,
            };
            if version != put.version {
                let current = match changed {
                    Some(changed) => changed.clone(),
                    None => self.base.get(&put.key)?,
                };
                moved.push(Entry::new(Arc::clone(&put.key), current));
            }
        }
        Ok(moved)
    }

    /// The version of `key`, which is probably not there. Keys that are made one after the other, as those
    /// of records are, lie in one `gap` of the store: it is looked up once for all.
    fn version_of_new(
        &self,
        key: &Key,
        next_is_new: bool,
        gap: &mut Option<Gap>,
    ) -> Result<u64, Fault> {
        if gap.as_ref().is_some_and(|gap| gap.reaches(key)) {
            return Ok(0);
        }
        if !next_is_new {
            return self.base.version(key);
        }
        let next = self.base.list(&Range {
            start: Arc::clone(key),
            limit: Some(1),
            ..Range::default()
        })?;
        match next.into_iter().next() {
            Some(entry) if entry.key == *key => Ok(entry.version),
            next => {
                *gap = Some(Gap {
                    end: next.map(|entry| entry.key),
                });
                Ok(0)
            }
        }
    }
}

/// A range of keys that are not there, which begins at the last one that was looked up.
struct Gap {
    /// The first key after it that is there.
    end: Option<Key>,
}

impl Gap {
    /// Whether a later `key` is in it.
    fn reaches(&self, key: &Key) -> bool {
        self.end.as_ref().is_none_or(|end| key < end)
    }
}

/// The changes of a reset of what `last` shows.
pub(super) fn reset(last: Stamp) -> Changes {
    let stamp = Stamp {
        epoch: last.epoch + 1,
        revision: last.revision + 1,
    };
    Changes {
        stamp,
        reset: true,
        rows: BTreeMap::new(),
    }
}

/// `puts` sorted by key, if they can be said to be right without knowing the store.
fn in_order(puts: &[Put]) -> Result<Vec<&Put>, Refusal> {
    for put in puts {
        if put.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        if put.version == u64::MAX {
            return Err(Refusal::LastVersion(Arc::clone(&put.key)));
        }
    }
    let mut in_order: Vec<_> = puts.iter().collect();
    // Stable, for it merges what is in order already: records nearly are, and after them people.
    in_order.sort_by(|one, other| one.key.cmp(&other.key));
    match in_order.windows(2).find(|pair| pair[0].key == pair[1].key) {
        Some(pair) => Err(Refusal::SameKey(Arc::clone(&pair[0].key))),
        None => Ok(in_order),
    }
}
