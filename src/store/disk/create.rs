//! Makes a store in a directory.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;

use super::file::{builder, io_error, open_error};
use super::head::Head;
use super::journal::Journal;
use super::part::Part;
use super::writing::Writing;
use super::{Storage, sync_directory};
use crate::store::{OpenError, Stamp};

/// Bytes of a new store's journal. With a longer one, more writes of the same key become one in the
/// database; what is in it is in memory besides, and read whenever the store is opened.
const JOURNAL: u64 = 2 << 20;

/// Makes a store of what `write` writes. It gets its name when it is complete, so that a half-made one (the disk
/// was full, the power failed) is never taken for a ledger of nobody.
pub(super) fn create(
    directory: &Path,
    path: &Path,
    stamp: Stamp,
    write: impl FnOnce(&Writing) -> Result<(), redb::Error>,
) -> Result<(), OpenError> {
    let unfinished = path.with_extension("unfinished");
    let backend = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)
        .map_err(io_error("make", &unfinished))?;
    let filled = FileBackend::new(backend)
        .map_err(redb::Error::from)
        .and_then(|file| fill(Arc::new(file), JOURNAL, stamp, write));
    if filled.is_err() {
        // Where the disk is full, half a store must not take the room of the one that is there.
        let _ = fs::remove_file(&unfinished);
    }
    filled.map_err(|error| open_error(&unfinished, error))?;
    fs::rename(&unfinished, path).map_err(io_error("make", path))?;
    sync_directory(directory).map_err(io_error("sync", directory))
}

pub(super) fn fill(
    file: Storage,
    journal: u64,
    stamp: Stamp,
    write: impl FnOnce(&Writing) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let head = Head::new(journal);
    file.set_len(head.database_at())?;
    head.write(&*file)?;
    Journal::create(&*file, &head, stamp.revision)?;
    // Its sync takes the head and the journal along: they are in the same file.
    let database = builder().create_with_backend(Part::new(file, head.database_at()))?;
    let writing = Writing::begin(&database)?;
    write(&writing)?;
    writing.commit(stamp)?;
    Ok(database.close()?)
}
