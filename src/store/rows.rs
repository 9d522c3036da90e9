use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use super::merged::Merged;
use super::prefixed::Prefixed;
use super::runs::{Piece, pieces};
use super::{Entry, Key, Range, Versioned};

/// Keys and what they hold, sorted. Clones share their nodes: whoever changes one of them copies only the
/// paths that it changes. A row is never taken away: it may hide another one.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Rows by themselves. They hide those in runs.
    singles: OrdMap<Prefixed<Key>, Versioned>,
    /// First key → all rows of the [run](super::runs). Keys of records begin alike, so a prefix would not help.
    runs: OrdMap<Key, Run>,
}

/// Rows, sorted by key.
type Run = Arc<[(Key, Versioned)]>;

impl Rows {
    pub(super) fn get(&self, key: &str) -> Option<&Versioned> {
        let single = self.singles.get(&Prefixed::of(key));
        single.or_else(|| self.in_run(key))
    }

    fn in_run(&self, key: &str) -> Option<&Versioned> {
        // Mostly a person, or a record to be, and after all of them: much faster than to look for it.
        let (_, last) = self.runs.get_max()?;
        last.last().filter(|(end, _)| **end >= *key)?;
        let (_, run) = self.runs.get_prev(key)?;
        let at = run.binary_search_by(|(other, _)| (**other).cmp(key));
        Some(&run[at.ok()?].1)
    }

    /// Writes `rows`. Those of version 1 are not there yet.
    pub(super) fn write(&mut self, rows: BTreeMap<Key, Versioned>) {
        for piece in pieces(rows.into_iter()) {
            match piece {
                Piece::Row(key, row) => {
                    self.singles.insert(Prefixed::new(key), row);
                }
                Piece::Run(run) => self.write_run(run),
            }
        }
    }

    /// Writes `run` after all runs that begin before its end: what would be in one of them is written by itself.
    fn write_run(&mut self, mut run: Vec<(Key, Versioned)>) {
        debug_assert!(
            run.iter().all(|(key, _)| self.get(key).is_none()),
            "a new row is there already"
        );
        let before = run.last().and_then(|(last, _)| self.runs.get_prev(last));
        let overlapping = before
            .and_then(|(_, before)| before.last())
            .map_or(0, |(end, _)| run.partition_point(|(key, _)| key <= end));
        let after = run.split_off(overlapping);
        let singles = run.into_iter();
        self.singles
            .extend(singles.map(|(key, row)| (Prefixed::new(key), row)));
        if let Some((first, _)) = after.first() {
            self.runs.insert(Arc::clone(first), after.into());
        }
    }

    /// All of them.
    pub(super) fn cloned(&self) -> impl Iterator<Item = (Key, Versioned)> {
        self.beginning_at("").map(Entry::into_row)
    }

    /// The entries of `range`, its limit aside.
    pub(super) fn range<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = Entry> + 'a {
        self.beginning_at(range.first())
            .take_while(|entry| entry.key.starts_with(&*range.prefix))
    }

    fn beginning_at<'a>(&'a self, first: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let first_single = Bound::Included(Prefixed::of(first));
        let singles = self.singles.range((first_single, Bound::Unbounded));
        let mut before = self
            .runs
            .range::<_, str>((Bound::Unbounded, Bound::Excluded(first)));
        let around = before.next_back();
        let runs = around.into_iter().chain(
            self.runs
                .range::<_, str>((Bound::Included(first), Bound::Unbounded)),
        );
        let in_runs = runs
            .flat_map(|(_, run)| run.iter())
            .skip_while(move |(key, _)| &**key < first);
        Merged::new(
            singles.map(|(key, row)| entry(key.key(), row)),
            in_runs.map(|(key, row)| entry(key, row)),
        )
        .map(|Ok(entry)| entry)
    }
}

fn entry(key: &Key, row: &Versioned) -> Result<Entry, Infallible> {
    Ok(Entry::new(Arc::clone(key), row.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_side_by_side_is_one_value() {
        let mut rows = Rows::default();
        rows.write(new(["!t/10", "!t/12", "!t/14"]));
        rows.write(new(["!t/20", "!t/22", "Ann"]));
        assert_eq!((rows.runs.len(), rows.singles.len()), (2, 1));
    }

    #[test]
    fn what_is_made_late_is_written_by_itself_and_the_rest_is_one_value() {
        let mut rows = Rows::default();
        rows.write(new(["!t/10", "!t/20"]));
        rows.write(new(["!t/30", "!t/40"]));
        rows.write(new(["!t/05", "!t/15", "!t/35", "!t/45", "!t/55"]));
        assert_eq!((rows.runs.len(), rows.singles.len()), (3, 3));
        let keys = rows.cloned().map(|(key, _)| key[3..].to_owned());
        let expected = ["05", "10", "15", "20", "30", "35", "40", "45", "55"];
        assert!(keys.eq(expected));
    }

    fn new<const N: usize>(keys: [&str; N]) -> BTreeMap<Key, Versioned> {
        let row = |key: &str| {
            let row = Versioned {
                value: "{}".into(),
                version: 1,
            };
            (key.into(), row)
        };
        keys.into_iter().map(row).collect()
    }
}
