//! Directories, whose names are to outlive a power failure as what is in them does.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::file::io_error;
use crate::store::OpenError;

/// What tells that a directory cannot be synced, rather than that it could not.
const CANNOT: [io::ErrorKind; 4] = [
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::Unsupported,
    io::ErrorKind::ReadOnlyFilesystem,
];

/// Makes the data directory at `path` where there is none, and those above it.
///
/// A sync of what is in a directory does not take along the name of the directory itself: without those that
/// are made here, a whole ledger might be gone after a power failure. Who made it before may have been killed before it
/// was synced: so the name of the data directory is synced in any case, if that is allowed.
pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let changed: Vec<_> = changed(path).collect();
    fs::create_dir_all(path).map_err(io_error("make the data directory", path))?;
    for directory in &changed {
        sync_directory(directory).map_err(io_error("sync", directory))?;
    }
    match path.parent().map(or_current) {
        Some(parent) if changed.is_empty() => match sync_directory(parent) {
            // It was there before, and may be where nothing can be synced, or not by us.
            Err(error) if !CANNOT.contains(&error.kind()) => Err(io_error("sync", parent)(error)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Makes the names in `directory` durable: of what was renamed in it, or made.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directories that get another one when that at `path` is made, and those above it.
pub(super) fn changed(path: &Path) -> impl Iterator<Item = &Path> {
    let missing = path.ancestors().take_while(|path| !path.exists());
    missing.filter_map(Path::parent).map(or_current)
}

/// A relative path of one name is in the current directory.
fn or_current(parent: &Path) -> &Path {
    match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    }
}
