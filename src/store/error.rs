use std::path::{Path, PathBuf};

use super::Refusal;

/// The place where the store is kept could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}{}", path.display(), what_to_do(&**source))]
pub struct Fault {
    action: &'static str,
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    pub(super) fn new(
        action: &'static str,
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// A write got no stamp.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was refused, and changed nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The writer has ended; the write never reached it.
    #[error("the store has stopped writing")]
    Closed,
    /// The writer ended while it had the write: it may be made or not.
    #[error("the store stopped before it answered")]
    Lost,
}

/// A data directory that cannot be used. Nothing in it was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another process; stop that one, or choose another directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// The file is a store, but damaged.
    #[error(
        "the store {} is damaged ({reason}); restore it from a backup, or move it away to begin with an empty one",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file is something else.
    #[error(
        "the file {} is not a store of this program; move it away, or choose another data directory",
        .0.display()
    )]
    Foreign(PathBuf),
    /// The file was written by a newer version of this program.
    #[error(
        "the store {} has format {found}, and this program knows format {known}; use the program that wrote it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It could not be read after it was opened.
    #[error(transparent)]
    Fault(#[from] Fault),
}

fn what_to_do(source: &(dyn std::error::Error + 'static)) -> String {
    let error = source.downcast_ref::<std::io::Error>();
    error.map_or_else(String::new, |error| format!("; {}", advice(error)))
}

fn advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{
        AlreadyExists, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    match error.kind() {
        StorageFull | QuotaExceeded => "free some space, then start again",
        PermissionDenied => "make it writable for this user, or choose another data directory",
        AlreadyExists | NotADirectory => "choose another data directory",
        ReadOnlyFilesystem => "choose a data directory on a writable file system",
        _ => "check the disk and the data directory, then start again",
    }
}
