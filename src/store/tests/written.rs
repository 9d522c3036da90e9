//! Rows that are written at random, and what must be shown of them.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::{Backend, Entry, Range, Snapshot, Stamp, everything};
use crate::store::state::{self, Changes};
use crate::store::{Key, Versioned};

/// All that was written since the last reset.
pub(in crate::store) type Written = BTreeMap<Key, Versioned>;

/// Of two kinds, one after the other. Most differ in what comes after their first eight bytes, a few in those.
fn key(number: usize) -> String {
    let kind = if number < 540 { "a" } else { "b" };
    format!("{kind}/name/{number:04}")
}

/// New rows side by side, or anywhere, or rows written again.
fn some_rows(written: &Written, chance: &mut Chance) -> Written {
    let mut rows = Written::new();
    for _ in 0..=chance.below(3) {
        let first = chance.below(1_000);
        let count = chance.one_of([1, 2, 10, 60]);
        for number in first..first + count {
            let key = Key::from(key(number));
            let version = written.get(&key).map_or(1, |row| row.version + 1);
            if version == 1 || chance.percent(30) {
                let value = "y".repeat(chance.one_of([0, 1, 100, 300])).into();
                rows.insert(key, Versioned { value, version });
            }
        }
    }
    rows
}

/// A row that was just made.
pub(in crate::store) fn new_row(key: &str) -> (Key, Versioned) {
    let value = "{}".into();
    (key.into(), Versioned { value, version: 1 })
}

/// Commits rows at random, seldom after a reset.
pub(in crate::store) fn change(
    store: &mut impl Backend,
    written: &mut Written,
    chance: &mut Chance,
) {
    if chance.percent(3) {
        let stamp = store.newest().snapshot().stamp();
        store.commit(state::reset(stamp)).unwrap();
        written.clear();
    }
    commit(store, some_rows(written, chance), written);
}

/// Commits `rows`, which are added to what was written.
pub(in crate::store) fn commit(store: &mut impl Backend, rows: Written, written: &mut Written) {
    let last = store.newest().snapshot().stamp();
    let stamp = Stamp {
        revision: last.revision + 1,
        ..last
    };
    written.extend(rows.clone());
    let reset = false;
    store.commit(Changes { stamp, reset, rows }).unwrap();
    store.tidy().unwrap();
}

/// Checks every key, all of them, and a part of them.
pub(in crate::store) fn compare(shown: &impl Snapshot, written: &Written, chance: &mut Chance) {
    let all = entries(written);
    assert_eq!(everything(shown), all);
    let keys = (0..1_060)
        .map(key)
        .chain(written.keys().map(|key| key.to_string()));
    for key in keys {
        let expected = written.get(&*key).cloned().unwrap_or_default();
        assert_eq!(shown.version(&key).unwrap(), expected.version, "{key}");
        assert_eq!(shown.get(&key).unwrap(), expected, "{key}");
    }
    let range = Range {
        prefix: ["", "a", "a/05", "b/06"][chance.below(4)].into(),
        start: key(chance.below(1_060)).into(),
        limit: chance.one_of([None, Some(1), Some(30)]),
    };
    let mut expected: Vec<_> = all
        .into_iter()
        .filter(|row| range.contains(&row.key))
        .collect();
    expected.truncate(range.limit.unwrap_or(usize::MAX));
    assert_eq!(shown.list(&range).unwrap(), expected, "{range:?}");
}

pub(in crate::store) fn entries(written: &Written) -> Vec<Entry> {
    let rows = written.clone().into_iter();
    rows.map(|(key, row)| Entry::new(key, row)).collect()
}
