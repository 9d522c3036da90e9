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

/// The largest epoch and revision that a dump can have: room is left to count on from there.
const MAX_STAMP: u64 = 1 << 53;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    #[serde(flatten)]
    stamp: Stamp,
}

/// What tells a dump from other files, whatever its version.
#[derive(Debug, Deserialize)]
struct Form {
    format: String,
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
        let head = head?;
        match serde_json::from_str(&head) {
            Ok(Form { format }) if format == FORMAT => {}
            _ => return Err(DumpError::NoDump),
        }
        let Head { version, stamp, .. } =
            serde_json::from_str(&head).map_err(|_| DumpError::Head)?;
        // A stamp past what JSON numbers hold exactly was not counted by a store.
        if stamp.epoch.max(stamp.revision) > MAX_STAMP {
            return Err(DumpError::Head);
        }
        if version != VERSION {
            return Err(DumpError::Version {
                found: version,
                known: VERSION,
            });
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashSet<Key> = HashSet::new();
        while let Some((text, line)) = lines.next() {
            let text = text?;
            if let Ok(Tail { entries: promised }) = serde_json::from_str(&text) {
                if promised != entries.len() as u64 {
                    return Err(DumpError::CutOff);
                }
                return match lines.next() {
                    None => Ok(Self { stamp, entries }),
                    Some((_, line)) => Err(DumpError::AfterEnd { line }),
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
    /// Its first line does not say of which version it is, and of what time.
    #[error(
        "the first line is damaged: it must say \"version\":{VERSION}, and \"epoch\" and \"revision\" from 0 to {MAX_STAMP}"
    )]
    Head,
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
    /// Something stands after the last line, which would be left out.
    #[error("line {line} comes after its end: it must be one export, and nothing else")]
    AfterEnd {
        /// Its number, from 1.
        line: u64,
    },
    /// The operating system's.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"format":"splitdim-store","version":1,"epoch":2,"revision":7}"#;

    #[test]
    fn what_is_written_can_be_read() {
        let dump = Dump {
            stamp: Stamp {
                epoch: 2,
                revision: 7,
            },
            entries: vec![entry("a", "1", 3), entry("b \n\u{2028}\"", "", u64::MAX)],
        };
        let mut text = Vec::new();
        let mut writer = DumpWriter::new(&mut text, dump.stamp).unwrap();
        for entry in &dump.entries {
            writer.entry(entry).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 2);
        assert_eq!(Dump::read(&text[..]).unwrap(), dump);
        // Cut off anywhere, it is none; but the last line break tells nothing.
        for length in 0..text.len() - 1 {
            assert!(Dump::read(&text[..length]).is_err(), "at {length}");
        }
        assert_eq!(Dump::read(&text[..text.len() - 1]).unwrap(), dump);
    }

    #[test]
    fn a_stamp_that_could_not_be_counted_on_from_is_refused() {
        for stamp in [
            r#""epoch":18446744073709551615,"revision":0"#,
            r#""epoch":0,"revision":9007199254740993"#,
        ] {
            let text = format!(
                "{{\"format\":\"splitdim-store\",\"version\":1,{stamp}}}\n{{\"entries\":0}}\n"
            );
            assert!(
                matches!(Dump::read(text.as_bytes()), Err(DumpError::Head)),
                "{stamp}"
            );
        }
    }

    #[test]
    fn a_writer_that_was_not_finished_leaves_no_whole_dump() {
        let mut text = Vec::new();
        let mut writer = DumpWriter::new(&mut text, Stamp::default()).unwrap();
        writer.entry(&entry("a", "1", 1)).unwrap();
        assert!(matches!(Dump::read(&text[..]), Err(DumpError::CutOff)));
    }

    #[test]
    fn a_line_that_is_no_entry_is_named() {
        let good = r#"{"key":"a","value":"","version":1}"#;
        for bad in [
            "",
            "[]",
            r#"{"key":"","value":"","version":1}"#,
            r#"{"key":"b","value":"","version":0}"#,
            r#"{"key":"b","value":""}"#,
            good,
        ] {
            let text = format!("{HEAD}\n{good}\n{bad}\n{{\"entries\":2}}\n");
            let read = Dump::read(text.as_bytes());
            assert!(
                matches!(read, Err(DumpError::Line { line: 3 })),
                "{bad}: {read:?}"
            );
        }
    }

    #[test]
    fn nothing_may_stand_after_the_end() {
        let text = format!("{HEAD}\n{{\"entries\":0}}\n{HEAD}\n");
        let read = Dump::read(text.as_bytes());
        assert!(
            matches!(read, Err(DumpError::AfterEnd { line: 3 })),
            "{read:?}"
        );
    }

    fn entry(key: &str, value: &str, version: u64) -> Entry {
        Entry {
            key: key.into(),
            value: value.into(),
            version,
        }
    }
}
