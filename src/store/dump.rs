//! A whole store as text: JSON lines, for backups and for what a reset leaves behind.
//!
//! ```text
//! {"format":"splitdim-store","version":1,"epoch":0,"revision":7}
//! {"key":"a","value":"1","version":3}
//! …
//! {"entries":2}
//! ```
//!
//! The last line tells a whole dump from one that was cut off.

use std::collections::HashSet;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Entry, Key, Stamp};

const FORMAT: &str = "splitdim-store";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    #[serde(flatten)]
    stamp: Stamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tail {
    entries: u64,
}

/// Writes a dump, entry by entry.
#[derive(Debug)]
pub struct DumpWriter<W> {
    out: W,
    entries: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump of what was there at `stamp`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(out: W, stamp: Stamp) -> io::Result<Self> {
        let mut writer = Self { out, entries: 0 };
        writer.line(&Head {
            format: FORMAT.into(),
            version: VERSION,
            stamp,
        })?;
        Ok(writer)
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.entries += 1;
        self.line(entry)
    }

    /// Ends the dump, and tells how many entries it has. Without this it counts as cut off.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<u64> {
        self.line(&Tail {
            entries: self.entries,
        })?;
        self.out.flush()?;
        Ok(self.entries)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }
}

/// What a dump holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    /// When it was there.
    pub stamp: Stamp,
    /// All entries.
    pub entries: Vec<Entry>,
}

impl Dump {
    /// Reads a dump to its end.
    ///
    /// # Errors
    ///
    /// [`DumpError`] if it is none, is damaged, or was cut off.
    pub fn read(input: impl BufRead) -> Result<Self, DumpError> {
        let mut lines = input.lines().zip(1..);
        let Some((head, _)) = lines.next() else {
            return Err(DumpError::NoDump);
        };
        let Head {
            format,
            version,
            stamp,
        } = serde_json::from_str(&head?).map_err(|_| DumpError::NoDump)?;
        if format != FORMAT {
            return Err(DumpError::NoDump);
        }
        if version != VERSION {
            return Err(DumpError::Version {
                found: version,
                known: VERSION,
            });
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashSet<Key> = HashSet::new();
        for (text, line) in lines {
            let text = text?;
            if let Ok(Tail { entries: promised }) = serde_json::from_str(&text) {
                let whole = promised == entries.len() as u64;
                return if whole {
                    Ok(Self { stamp, entries })
                } else {
                    Err(DumpError::CutOff)
                };
            }
            let entry: Entry = serde_json::from_str(&text).map_err(|_| DumpError::Line { line })?;
            if entry.key.is_empty() || entry.version == 0 || !seen.insert(entry.key.clone()) {
                return Err(DumpError::Line { line });
            }
            entries.push(entry);
        }
        Err(DumpError::CutOff)
    }
}

/// A dump that cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It is something else.
    #[error("it is no export of a store: the first line must say \"format\":\"{FORMAT}\"")]
    NoDump,
    /// It was written by a newer version of this program.
    #[error("it has version {found}, and this program knows version {known}")]
    Version {
        /// Its version.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A line is no entry, or its key stood in an earlier line.
    #[error("line {line} is damaged: it must be a key, its value and its version, each key once")]
    Line {
        /// Its number, from 1.
        line: u64,
    },
    /// The last line is missing, or others are.
    #[error("it was cut off: the last line must say how many entries there are")]
    CutOff,
    /// The operating system's.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}
