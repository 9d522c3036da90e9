//! A store in one file: a journal, in which each commit is one write and one sync, in front of a redb
//! database, which takes up what is in the journal (a *checkpoint*).

mod before_reset;
mod block;
mod blocks;
mod checkpoint;
mod create;
mod directory;
mod file;
mod former;
mod frame;
mod head;
mod held;
mod journal;
mod marks;
mod meta;
mod open;
mod part;
mod row;
mod seal;
mod settling;
mod snapshot;
mod syncs;
#[cfg(test)]
mod tests;
mod upgrade;
mod versions;
mod writing;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, StorageBackend};

use super::rows::Rows;
use super::state::Changes;
use super::{Backend, Fault, Key, Newest, Snapshot};

use crate::metrics::CommitMetrics;
use checkpoint::Checkpoint;
use directory::sync_directory;
use journal::{Appended, Journal};
use settling::Settling;
use snapshot::DiskSnapshot;
use syncs::Syncs;
use versions::Versions;
use writing::Writing;

/// The file that holds the store, in the data directory; named when it was a redb file and nothing else.
pub const FILE_NAME: &str = "store.redb";

/// A file of which several have a part.
type Storage = Arc<dyn StorageBackend>;

/// Keeps commits in a file: synced before [`Backend::commit`] returns.
#[derive(Debug)]
pub struct Disk {
    /// The checkpoint that is being written, if one is: of the half of the journal that is not written to.
    settling: Option<Settling>,
    database: Database,
    journal: Journal,
    newest: Arc<Newest<DiskSnapshot>>,
    versions: Versions,
    syncs: Syncs,
    directory: PathBuf,
    /// Held until the process ends.
    _lock: Option<File>,
}

impl Disk {
    fn try_commit(&mut self, changes: Changes) -> Result<(), redb::Error> {
        let last = self.newest.snapshot().stamp();
        // The journal does not tell of epochs: a reset or a restore begins one in the database.
        if changes.reset || changes.stamp.epoch != last.epoch {
            return self.checkpoint(changes);
        }
        let revisions = (last.revision, changes.stamp.revision);
        let mut appended = self.journal.append(revisions, &changes.rows)?;
        if appended == Appended::Full {
            self.turn()?;
            appended = self.journal.append(revisions, &changes.rows)?;
        }
        if appended != Appended::Whole {
            return self.checkpoint(changes);
        }
        let Changes { stamp, rows, .. } = changes;
        self.newest.change(|newest| {
            newest.recent.write(rows);
            newest.stamp = stamp;
        });
        Ok(())
    }

    /// Goes on with the other half of the journal, and begins a checkpoint of this one.
    fn turn(&mut self) -> Result<(), redb::Error> {
        self.settle()?;
        let mut next = self.newest.snapshot();
        next.settling = std::mem::take(&mut next.recent);
        self.settling = Some(Settling::begin(&self.database, next.stamp, &next.settling)?);
        self.newest.replace(next);
        self.journal.turn();
        Ok(())
    }

    /// Brings the checkpoint that is being written to its end.
    fn settle(&mut self) -> Result<(), redb::Error> {
        let Some(settling) = self.settling.take() else {
            return Ok(());
        };
        settling.finish()?;
        let mut next = self.newest.snapshot();
        next.settling = Rows::default();
        next.checkpoint = Arc::new(Checkpoint::read(&self.database, &self.path())?);
        self.newest.replace(next);
        Ok(())
    }

    /// Makes everything in the journal, and `changes`, a checkpoint at once.
    fn checkpoint(&mut self, changes: Changes) -> Result<(), redb::Error> {
        let Changes { stamp, reset, rows } = changes;
        if let Some(settling) = self.settling.take() {
            // This one has all of it.
            settling.abort()?;
        }
        let writing = Writing::begin(&self.database)?;
        if reset {
            writing.reset()?;
        } else {
            let last = self.newest.snapshot();
            writing.write(last.settling.cloned())?;
            writing.write(last.recent.cloned())?;
        }
        writing.write(rows.into_iter())?;
        writing.commit(stamp)?;
        self.journal.mark(stamp.revision)?;
        self.journal.turn();
        let checkpoint = Checkpoint::read(&self.database, &self.path())?;
        self.newest.replace(DiskSnapshot::of(checkpoint));
        Ok(())
    }

    /// Writes a part of the checkpoint, as much as keeps ahead of the journal.
    fn try_tidy(&mut self) -> Result<(), redb::Error> {
        let Some(settling) = &mut self.settling else {
            return Ok(());
        };
        let (end, half) = self.journal.fill();
        // Twice as fast as the journal fills: so it is complete long before this half is full.
        if settling.write(end.saturating_mul(2), half)? {
            self.settle()?;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }
}

impl Backend for Disk {
    type Snapshot = DiskSnapshot;

    const WAITS: bool = true;

    fn observe_syncs(&self, commits: &Arc<CommitMetrics>) {
        self.syncs.observe(commits);
    }

    fn newest(&self) -> &Arc<Newest<DiskSnapshot>> {
        &self.newest
    }

    fn version(&mut self, newest: &DiskSnapshot, key: &Key) -> Result<u64, Fault> {
        let known = self.versions.recall(key);
        known.map_or_else(|| newest.version(key), Ok)
    }

    fn keep_before_reset(&mut self) -> Result<(), Fault> {
        let last = self.newest.snapshot();
        if last.is_empty()? {
            return Ok(());
        }
        before_reset::keep(&last, &self.directory)
            .map_err(|error| Fault::new("write a copy before the reset to", &self.directory, error))
    }

    fn commit(&mut self, changes: Changes) -> Result<(), Fault> {
        // Before it is known to be made: should it not be, this is the last one.
        self.versions.follow(&changes);
        self.try_commit(changes)
            .map_err(|error| fault("write", &self.path(), error))
    }

    fn tidy(&mut self) -> Result<(), Fault> {
        self.try_tidy()
            .map_err(|error| fault("write", &self.path(), error))
    }
}

fn fault(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        redb::Error::Io(error) => Fault::new(action, path, error),
        other => Fault::new(action, path, other),
    }
}
