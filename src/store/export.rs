//! A whole store as text: JSON lines, for backups and for what a reset leaves behind.
//!
//! ```text
//! {"format":"splitdim-store","version":1,"epoch":0,"revision":7}
//! {"key":"a","value":"1","version":3}
//! …
//! {"entries":2}
//! ```
//!
//! The last line tells a whole file from one that was cut off.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{Entry, Fault, Range, Snapshot, Stamp};

/// What the first line says.
const FORMAT: &str = "splitdim-store";
const VERSION: u32 = 1;

/// Entries read from the snapshot at a time.
const PAGE: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Head<'a> {
    format: &'a str,
    version: u32,
    #[serde(flatten)]
    stamp: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    entries: u64,
}

/// Writes `snapshot` to `out`; `name` is how `out` is called in errors.
pub(super) fn write(snapshot: &impl Snapshot, mut out: impl Write) -> Result<(), ExportError> {
    let head = Head {
        format: FORMAT,
        version: VERSION,
        stamp: snapshot.stamp(),
    };
    line(&mut out, &head)?;
    let mut entries = 0;
    let mut range = Range {
        limit: Some(PAGE),
        ..Range::default()
    };
    loop {
        let page = snapshot.list(&range)?;
        for entry in &page {
            line(&mut out, entry)?;
            entries += 1;
        }
        let Some(last) = page.last() else { break };
        range.start = after(last);
    }
    line(&mut out, &Tail { entries })?;
    Ok(out.flush()?)
}

/// A snapshot was not exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error(transparent)]
    Read(#[from] Fault),
    #[error(transparent)]
    Write(#[from] io::Error),
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// The least key after that of `entry`.
fn after(entry: &Entry) -> std::sync::Arc<str> {
    format!("{}\0", entry.key).into()
}
