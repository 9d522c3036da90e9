//! [Runs](crate::store::runs) in the database.

use redb::{ReadOnlyTable, ReadableTable, StorageError, TableDefinition};

use crate::store::{Key, Value, Versioned};

/// First key → all keys of the run with their values.
pub(super) const RUNS: TableDefinition<'_, &str, Run<'_>> = TableDefinition::new("runs");

/// Keys, sorted, and values, all of version 1.
pub(super) type Run<'a> = Vec<(&'a str, &'a str)>;

/// Whether `runs` has keys between the first and the last one of `run`.
pub(super) fn overlap(
    runs: &impl ReadableTable<&'static str, Run<'static>>,
    run: &[(Key, Versioned)],
) -> Result<bool, StorageError> {
    let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else {
        return Ok(false);
    };
    let before = runs.range::<&str>(..=&**last)?.next_back().transpose()?;
    Ok(before.is_some_and(|(_, before)| {
        let before = before.value();
        before.last().is_some_and(|(end, _)| *end >= &**first)
    }))
}

/// The runs of a checkpoint.
#[derive(Debug)]
pub(super) struct Runs {
    table: ReadOnlyTable<&'static str, Run<'static>>,
    /// The last key in any. What is asked for is mostly a person, or a record to be, and comes after it, unless
    /// people have come in runs, too, as they do in a restore.
    end: Option<Key>,
}

impl Runs {
    pub(super) fn of(
        table: ReadOnlyTable<&'static str, Run<'static>>,
    ) -> Result<Self, StorageError> {
        let end = table.last()?.and_then(|(_, run)| {
            let run = run.value();
            run.last().map(|(key, _)| Key::from(*key))
        });
        Ok(Self { table, end })
    }

    /// What `read` makes of the value under `key`, if there is one.
    pub(super) fn get<T>(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> T,
    ) -> Result<Option<T>, StorageError> {
        if self.end_before(key) {
            return Ok(None);
        }
        let Some((_, run)) = self.table.range::<&str>(..=key)?.next_back().transpose()? else {
            return Ok(None);
        };
        let run = run.value();
        let at = run.binary_search_by_key(&key, |(key, _)| *key);
        Ok(at.ok().map(|at| read(run[at].1)))
    }

    /// What there is from `first` on, sorted by key.
    pub(super) fn from<'a>(
        &'a self,
        first: &'a str,
    ) -> Result<impl Iterator<Item = Result<(Key, Value), StorageError>> + 'a, StorageError> {
        let runs = match self.end_before(first) {
            true => None,
            false => {
                let around = self.table.range::<&str>(..first)?.next_back();
                let after = self.table.range::<&str>(first..)?;
                Some(around.into_iter().chain(after))
            }
        };
        Ok(runs.into_iter().flatten().flat_map(move |run| {
            let rows: Vec<_> = match run {
                Ok((_, run)) => {
                    let rows = run.value().into_iter();
                    rows.filter(|(key, _)| *key >= first)
                        .map(|(key, value)| Ok((key.into(), value.into())))
                        .collect()
                }
                Err(error) => vec![Err(error)],
            };
            rows
        }))
    }

    /// Whether all keys come before `key`.
    fn end_before(&self, key: &str) -> bool {
        self.end.as_ref().is_none_or(|end| **end < *key)
    }
}
