use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::{DiskSnapshot, sync_directory};
use crate::store::{DumpFailed, Snapshot, dump};

/// Writes what `last` shows to a file of its own in `directory`.
pub(super) fn keep(last: &DiskSnapshot, directory: &Path) -> Result<(), DumpFailed> {
    let path = free_name(directory, last.stamp().epoch)?;
    let unfinished = path.with_extension("unfinished");
    let kept = write(last, &unfinished).and_then(|()| Ok(fs::rename(&unfinished, &path)?));
    if kept.is_err() {
        // Where the disk is full, half a copy must not take the room of the next writes.
        let _ = fs::remove_file(&unfinished);
    }
    kept?;
    Ok(sync_directory(directory)?)
}

fn write(last: &DiskSnapshot, path: &Path) -> Result<(), DumpFailed> {
    let file = File::create(path)?;
    dump(last, BufWriter::new(&file))?;
    Ok(file.sync_all()?)
}

/// `before-reset-<epoch>.json`, or with a number where there is such a file: it is from a reset that
/// failed after its copy, or from another store that was here and began with the same epoch.
fn free_name(directory: &Path, epoch: u64) -> io::Result<PathBuf> {
    let mut path = directory.join(format!("before-reset-{epoch}.json"));
    let mut number = 1;
    while path.try_exists()? {
        number += 1;
        path.set_file_name(format!("before-reset-{epoch}-{number}.json"));
    }
    Ok(path)
}
