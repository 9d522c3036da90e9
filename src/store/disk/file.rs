//! The file of a store as it is opened, and what may be wrong with it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::held::Held;
use crate::store::OpenError;

/// Pages that redb keeps in memory, in bytes; the operating system caches the file besides.
const CACHE: usize = 8 << 20;

/// Opens the database in `held`, if it is one and whole. Nothing is written before it is released.
pub(super) fn verified<B: StorageBackend>(held: &Held<B>) -> Result<Database, redb::Error> {
    Ok(builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(held.clone())?)
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// The file at `path`, to read and to write.
pub(super) fn file(path: &Path) -> Result<FileBackend, OpenError> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))?;
    FileBackend::new(file).map_err(|error| open_error(path, error))
}

pub(super) fn damaged(path: &Path, reason: &str) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// What is wrong with the database of a file that has proven to be ours.
pub(super) fn unsound(path: &Path, error: redb::Error) -> OpenError {
    match open_error(path, error) {
        OpenError::Foreign(_) => damaged(path, "its database is not whole"),
        OpenError::Io { source, .. } if source.kind() == ErrorKind::UnexpectedEof => {
            damaged(path, "it was cut off")
        }
        other => other,
    }
}

pub(super) fn write_error(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) => io_error("write", path)(source),
        other => open_error(path, other),
    }
}

pub(super) fn open_error(path: &Path, error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            OpenError::Foreign(path.to_owned())
        }
        redb::Error::Io(source) => OpenError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        },
        redb::Error::TableTypeMismatch { .. } | redb::Error::TableDoesNotExist(_) => {
            OpenError::Foreign(path.to_owned())
        }
        other => damaged(path, &other.to_string()),
    }
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source,
    }
}
