use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::merged::Merged;
use super::runs::{Piece, pieces};
use super::{Entry, Key, Range, Versioned};

/// Keys and what they hold, sorted. Clones share their nodes: whoever changes one of them copies only the
/// paths that it changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Rows by themselves. They hide those in runs.
    singles: OrdMap<Key, Versioned>,
    /// First key → all rows of the [run](super::runs).
    runs: OrdMap<Key, Run>,
}

/// Rows, sorted by key.
type Run = Arc<[(Key, Versioned)]>;

impl Rows {
    pub(super) fn get(&self, key: &str) -> Option<&Versioned> {
        self.singles.get(key).or_else(|| {
            let (_, run) = self.runs.get_prev(key)?;
            let at = run.binary_search_by(|(other, _)| (**other).cmp(key));
            Some(&run[at.ok()?].1)
        })
    }

    /// Writes `rows` over what is there.
    pub(super) fn write(&mut self, rows: BTreeMap<Key, Versioned>) {
        for piece in pieces(rows.into_iter()) {
            match piece {
                Piece::Row(key, row) => {
                    self.singles.insert(key, row);
                }
                Piece::Run(run) if self.overlaps(&run) => self.singles.extend(run),
                Piece::Run(run) => {
                    if let Some((first, _)) = run.first() {
                        self.runs.insert(Arc::clone(first), run.into());
                    }
                }
            }
        }
    }

    /// All of them.
    pub(super) fn cloned(&self) -> impl Iterator<Item = (Key, Versioned)> {
        self.beginning_at("").map(|entry| {
            let Entry {
                key,
                value,
                version,
            } = entry;
            (key, Versioned { value, version })
        })
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = Entry> + 'a {
        self.beginning_at(range.first())
            .take_while(|entry| entry.key.starts_with(&*range.prefix))
    }

    fn beginning_at<'a>(&'a self, first: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let from = || (Bound::Included(first), Bound::Unbounded);
        let singles = self.singles.range::<_, str>(from());
        let mut before = self
            .runs
            .range::<_, str>((Bound::Unbounded, Bound::Excluded(first)));
        let around = before.next_back();
        let runs = around.into_iter().chain(self.runs.range::<_, str>(from()));
        let in_runs = runs
            .flat_map(|(_, run)| run.iter())
            .skip_while(move |(key, _)| &**key < first);
        Merged::new(
            singles.map(|(key, row)| entry(key, row)),
            in_runs.map(|(key, row)| entry(key, row)),
        )
        .map(|Ok(entry)| entry)
    }

    /// Whether there are runs with keys between the first and the last one of `run`.
    fn overlaps(&self, run: &[(Key, Versioned)]) -> bool {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else {
            return false;
        };
        let before = self
            .runs
            .get_prev(&**last)
            .and_then(|(_, before)| before.last());
        before.is_some_and(|(end, _)| end >= first)
    }
}

fn entry(key: &Key, row: &Versioned) -> Result<Entry, Infallible> {
    Ok(Entry {
        key: Arc::clone(key),
        value: Arc::clone(&row.value),
        version: row.version,
    })
}
