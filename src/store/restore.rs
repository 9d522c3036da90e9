use super::epoch;
use super::state::Changes;
use super::{Backend, Dump, DumpWriter, Entry, Fault, Range, Snapshot, Stamp};

/// Entries read from a snapshot at a time.
const PAGE: usize = 1024;

/// Writes everything in `snapshot` as a dump to `out`, and tells how many entries that were.
///
/// # Errors
///
/// [`DumpFailed`] if it cannot be read or written.
pub fn dump(snapshot: &impl Snapshot, out: impl std::io::Write) -> Result<u64, DumpFailed> {
    let mut writer = DumpWriter::new(out, snapshot.stamp())?;
    let mut range = Range {
        limit: Some(PAGE),
        ..Range::default()
    };
    loop {
        let page = snapshot.list(&range)?;
        for entry in &page {
            writer.entry(entry)?;
        }
        let Some(last) = page.last() else {
            return Ok(writer.finish()?);
        };
        range = range.after(&last.key);
    }
}

/// A store was not dumped.
#[derive(Debug, thiserror::Error)]
pub enum DumpFailed {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] Fault),
    /// The dump could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] std::io::Error),
}

/// Fills an empty store, as one commit. The epoch is raised past that of the dump, so that nothing
/// that was read before can be written after.
///
/// # Errors
///
/// [`RestoreFailed`]; nothing was changed then, unless the commit itself failed.
pub fn restore(backend: &mut impl Backend, dump: Dump) -> Result<Stamp, RestoreFailed> {
    let last = backend.newest().snapshot();
    if !last.is_empty()? {
        return Err(RestoreFailed::NotEmpty);
    }
    let last = last.stamp();
    let stamp = Stamp {
        epoch: last.epoch.max(dump.stamp.epoch) + epoch::IMPORT_GAP,
        revision: last.revision.max(dump.stamp.revision) + 1,
    };
    let rows = dump.entries.into_iter().map(Entry::into_row).collect();
    backend.commit(Changes {
        stamp,
        reset: false,
        rows,
    })?;
    Ok(stamp)
}

/// A store was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreFailed {
    /// There is something in it.
    #[error("the store is not empty; choose another data directory, or reset the store first")]
    NotEmpty,
    /// It could not be read or written.
    #[error(transparent)]
    Fault(#[from] Fault),
}
