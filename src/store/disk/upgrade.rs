use std::io::Read;
use std::path::Path;

use super::checkpoint::{self, Checkpoint};
use super::create::create;
use super::file::{file, open_error, verified};
use super::head::FORMAT;
use super::held::Held;
use crate::store::{Entry, Key, OpenError, Range, Versioned};

/// What a redb file begins with: stores of format 1 were such files as they are.
const REDB: &[u8] = b"redb\x1a\n\xa9\r\n";

/// The format that their tables name.
const OLD_FORMAT: u64 = 1;

/// Makes a store with a journal of one of format 1, under the same name, with all that is in it. A file of
/// anything else is left to be opened, or refused.
pub(super) fn upgrade(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let read = |source| OpenError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut begins = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(REDB.len() as u64).read_to_end(&mut begins))
        .map_err(read)?;
    if begins != REDB {
        return Ok(());
    }
    // Never released: the old file stays as it is until the new one takes its place.
    let held = Held::new(file(path)?);
    let database = verified(&held).map_err(|error| open_error(path, error))?;
    match checkpoint::format(&database).map_err(|error| open_error(path, error))? {
        Some(OLD_FORMAT) => {}
        Some(found) => {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        None => return Err(OpenError::Foreign(path.to_owned())),
    }
    let last = Checkpoint::read(&database, path).map_err(|error| open_error(path, error))?;
    let all = Range::default();
    let rows = last.range(&all)?.map(|entry| entry.map(Entry::into_row));
    let rows: Vec<(Key, Versioned)> = rows.collect::<Result<_, _>>()?;
    let entries = rows.len();
    create(directory, path, last.stamp(), rows.into_iter())?;
    tracing::info!(path = %path.display(), entries, "the store was given a journal");
    Ok(())
}
