use std::path::PathBuf;

use redb::{ReadableTable, StorageError};

use crate::store::{Entry, Fault, Range, Snapshot, Stamp, Versioned};

/// A commit on disk. While it is held, redb keeps the pages that it consists of.
#[derive(Debug)]
pub struct DiskSnapshot {
    pub(super) stamp: Stamp,
    pub(super) rows: redb::ReadOnlyTable<&'static str, (u64, &'static str)>,
    pub(super) path: PathBuf,
}

impl DiskSnapshot {
    fn fault(&self, error: StorageError) -> Fault {
        super::fault("read", &self.path, error)
    }
}

impl Snapshot for DiskSnapshot {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get(&self, key: &str) -> Result<Versioned, Fault> {
        let row = ReadableTable::get(&self.rows, key).map_err(|error| self.fault(error))?;
        Ok(row.map_or_else(Versioned::default, |row| {
            let (version, value) = row.value();
            Versioned {
                value: value.into(),
                version,
            }
        }))
    }

    fn list(&self, range: &Range) -> Result<Vec<Entry>, Fault> {
        let limit = range.limit.unwrap_or(usize::MAX);
        let rows =
            ReadableTable::range(&self.rows, range.first()..).map_err(|error| self.fault(error))?;
        let mut entries = Vec::new();
        for row in rows.take(limit) {
            let (key, row) = row.map_err(|error| self.fault(error))?;
            if !key.value().starts_with(&*range.prefix) {
                break;
            }
            let (version, value) = row.value();
            entries.push(Entry {
                key: key.value().into(),
                value: value.into(),
                version,
            });
        }
        Ok(entries)
    }
}
