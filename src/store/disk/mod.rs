mod before_reset;
mod held;
mod open;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::state::Changes;
use super::{Backend, Fault, Snapshot, Stamp, Versioned};

use crate::metrics::CommitMetrics;
use held::Syncs;
use snapshot::DiskSnapshot;

/// The file that holds the store, in the data directory.
pub const FILE_NAME: &str = "store.redb";

/// Key → version and value.
const ROWS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("rows");

/// `format`, `epoch` and `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Keeps commits in a redb file: synced before [`Backend::commit`] returns.
#[derive(Debug)]
pub struct Disk {
    database: Database,
    syncs: Syncs,
    directory: PathBuf,
    /// Held until the process ends.
    _lock: Option<File>,
}

impl Disk {
    fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    fn fault(&self, action: &'static str) -> impl FnOnce(redb::Error) -> Fault {
        let path = self.path();
        move |error| fault(action, &path, error)
    }

    fn try_commit(&self, changes: &Changes) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one sync less, a commit whose pages turn out to be damaged after a kill cannot be
        // told from one that was not finished, and redb goes back to the commit before it: what
        // was acknowledged would be gone, and nobody would know.
        transaction.set_two_phase_commit(true);
        if changes.reset {
            transaction.delete_table(ROWS)?;
        }
        {
            let mut rows = transaction.open_table(ROWS)?;
            for (key, Versioned { value, version }) in &changes.rows {
                rows.insert(&**key, (*version, &**value))?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("epoch", changes.stamp.epoch)?;
            meta.insert("revision", changes.stamp.revision)?;
        }
        Ok(transaction.commit()?)
    }

    fn try_snapshot(&self) -> Result<DiskSnapshot, redb::Error> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let number =
            |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |number| number.value()));
        Ok(DiskSnapshot {
            stamp: Stamp {
                epoch: number("epoch")?,
                revision: number("revision")?,
            },
            rows: transaction.open_table(ROWS)?,
            path: self.path(),
        })
    }
}

impl Backend for Disk {
    type Snapshot = DiskSnapshot;

    const WAITS: bool = true;

    fn observe_syncs(&self, commits: &Arc<CommitMetrics>) {
        self.syncs.observe(commits);
    }

    fn snapshot(&self) -> Result<DiskSnapshot, Fault> {
        self.try_snapshot().map_err(self.fault("read"))
    }

    fn keep_before_reset(&mut self, last: &DiskSnapshot) -> Result<(), Fault> {
        if last.is_empty()? {
            return Ok(());
        }
        before_reset::keep(last, &self.directory)
            .map_err(|error| Fault::new("write a copy before the reset to", &self.directory, error))
    }

    fn commit(&mut self, changes: &Changes) -> Result<DiskSnapshot, Fault> {
        self.try_commit(changes).map_err(self.fault("write"))?;
        self.snapshot()
    }
}

fn fault(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        redb::Error::Io(error) => Fault::new(action, path, error),
        other => Fault::new(action, path, other),
    }
}

/// Makes a rename in `directory` durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
