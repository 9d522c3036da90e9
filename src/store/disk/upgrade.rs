use std::io::Read;
use std::path::Path;

use redb::ReadableDatabase;

use super::create::create;
use super::file::{file, io_error, open_error, verified};
use super::former::Former;
use super::head::FORMAT;
use super::held::Held;
use super::meta;
use crate::store::OpenError;

/// What a redb file begins with: stores of format 1 were such files as they are.
const REDB: &[u8] = b"redb\x1a\n\xa9\r\n";

/// The format that their tables name.
const OLD_FORMAT: u64 = 1;

/// Makes a store with a journal of one of format 1, under the same name, with all that is in it. A file of
/// anything else is left to be opened, or refused.
pub(super) fn upgrade(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let mut begins = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(REDB.len() as u64).read_to_end(&mut begins))
        .map_err(io_error("read", path))?;
    if begins != REDB {
        return Ok(());
    }
    // Never released: the old file stays as it is until the new one takes its place.
    let held = Held::new(file(path)?);
    let database = verified(&held).map_err(|error| open_error(path, error))?;
    let database = database
        .begin_read()
        .map_err(|error| open_error(path, error))?;
    let opened = |error| open_error(path, error);
    match meta::format(&database).map_err(opened)? {
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
    let former = Former::of(&database, OLD_FORMAT).map_err(opened)?;
    let stamp = meta::stamp(&database).map_err(opened)?;
    create(directory, path, stamp, |writing| former.copy(writing))?;
    tracing::info!(path = %path.display(), "the store was given a journal");
    Ok(())
}
