//! The transaction log of the original store: lines of sequence, tab, type, tab, JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

use crate::kv::wire::WirePut;
use crate::kv::{Entry, Key, Put, Stamp, Versioned};
use crate::store::Dump;
use crate::web::Object;

/// What replaying a log came to.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) dump: Dump,
    /// The lines that are not as they should be.
    pub(super) complaints: Vec<Complaint>,
}

/// A line that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    line: u64,
    reason: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// An operation of the log.
enum Operation {
    Puts(Vec<Put>),
    Reset,
}

/// Replays the log from its beginning.
///
/// The original wrote lines after it had answered, so their order is not always the one in which
/// the puts were made. The versions tell: a put replaces what has a lower version, and one that
/// comes too late, or leaves a gap, is complained of.
pub(super) fn replay(mut log: impl BufRead) -> io::Result<Replayed> {
    let mut rows = BTreeMap::<Key, Versioned>::new();
    let mut resets = 0;
    let mut complaints = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if log.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match operation(text) {
            Ok(Operation::Puts(puts)) => {
                let reasons = puts
                    .into_iter()
                    .filter_map(|put| apply(&mut rows, put).err());
                complaints.extend(reasons.map(|reason| Complaint { line, reason }));
            }
            Ok(Operation::Reset) => {
                rows.clear();
                resets += 1;
            }
            Err(reason) => complaints.push(Complaint {
                line,
                reason: reason.into(),
            }),
        }
    }
    let entries = rows
        .into_iter()
        .map(|(key, row)| Entry::new(key, row))
        .collect();
    let dump = Dump {
        stamp: Stamp {
            epoch: resets,
            revision: 0,
        },
        entries,
    };
    Ok(Replayed { dump, complaints })
}

fn operation(line: &[u8]) -> Result<Operation, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let mut fields = text.splitn(3, '\t');
    let (Some(sequence), Some(kind), json) = (fields.next(), fields.next(), fields.next()) else {
        return Err("it must be sequence, tab, type, tab, JSON");
    };
    if sequence.trim().parse::<u64>().is_err() {
        return Err("it must begin with a sequence number");
    }
    let json = json.unwrap_or_default();
    match kind {
        "put" => serde_json::from_str(json)
            .map(|Object(put): Object<WirePut>| Operation::Puts(vec![put.into_put()]))
            .map_err(|_| "the JSON of a put must have key, value and version"),
        "transaction" => serde_json::from_str(json)
            .map(|puts: Vec<Object<WirePut>>| {
                Operation::Puts(puts.into_iter().map(|Object(put)| put.into_put()).collect())
            })
            .map_err(|_| "the JSON of a transaction must be a list of puts"),
        "reset" => Ok(Operation::Reset),
        _ => Err("the type must be put, transaction or reset"),
    }
}

fn apply(rows: &mut BTreeMap<Key, Versioned>, put: Put) -> Result<(), String> {
    let Put {
        key,
        value,
        version,
    } = put;
    let Some(next) = version.checked_add(1).filter(|_| !key.is_empty()) else {
        return Err("a put must have a key and a version that can be raised".into());
    };
    let current = rows.get(&key).map_or(0, |row| row.version);
    if next <= current {
        return Err(format!(
            "the put of {key:?} at version {version} comes late: it has version {current} already"
        ));
    }
    rows.insert(
        key.clone(),
        Versioned {
            value,
            version: next,
        },
    );
    if version > current {
        return Err(format!(
            "before the put of {key:?} at version {version}, those from {current} on are missing"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_transactions_and_resets_are_replayed_in_order() {
        let replayed = replay_text(concat!(
            "1\tput\t{\"key\":\"a b\",\"value\":\"1 2\",\"version\":0}\n",
            "2\tput\t{\"key\":\"a b\",\"value\":\"\",\"version\":1}\n",
            "3\treset\t\n",
            "4\treset\n",
            "5\ttransaction\t[{\"key\":\"a b\",\"value\":\"3\\t4\"},{\"key\":\"c\"}]\n",
            "6\tput\t{\"key\":\"c\",\"value\":\"5\",\"version\":1}",
        ));
        assert_eq!(replayed.complaints, []);
        assert_eq!(rows(&replayed), [("a b", "3\t4", 1), ("c", "5", 2)]);
        assert_eq!(replayed.dump.stamp.epoch, 2);
    }

    #[test]
    fn a_line_that_comes_late_is_left_out_and_one_that_comes_early_is_taken() {
        let replayed = replay_text(concat!(
            "1\tput\t{\"key\":\"a\",\"value\":\"new\",\"version\":1}\n",
            "2\tput\t{\"key\":\"a\",\"value\":\"old\",\"version\":0}\n",
            "3\tput\t{\"key\":\"a\",\"value\":\"same\",\"version\":1}\n",
            "4\ttransaction\t[{\"key\":\"a\",\"version\":1},{\"key\":\"b\",\"version\":9}]\n",
        ));
        assert_eq!(lines(&replayed), [1, 2, 3, 4, 4]);
        assert_eq!(rows(&replayed), [("a", "new", 2), ("b", "", 10)]);
    }

    #[test]
    fn lines_that_are_none_are_complained_of_and_the_rest_is_taken() {
        let mut log = b"1\tput\t{\"key\":\"a\"}\n\xff\n\n".to_vec();
        for wrong in [
            "put\t{}",
            "x\tput\t{\"key\":\"b\"}",
            "1 put {\"key\":\"b\"}",
            "1\tput",
            "1\tput\t[]",
            "1\tput\t{\"key\":\"\"}",
            "1\tput\t{\"key\":\"b\",\"version\":18446744073709551615}",
            "1\tput\t{\"key\":\"b\",\"value\":7}",
            "1\ttransaction\t{\"key\":\"b\"}",
            "1\tRESET\t",
            "1\tput\t{\"key\":\"b\",",
        ] {
            log.extend_from_slice(wrong.as_bytes());
            log.push(b'\n');
        }
        let replayed = replay(&log[..]).unwrap();
        assert_eq!(lines(&replayed), (2..=14).collect::<Vec<_>>());
        assert_eq!(rows(&replayed), [("a", "", 1)]);
    }

    #[test]
    fn lines_may_be_very_long() {
        let value = "x y ".repeat(100_000);
        let replayed = replay_text(&format!(
            "1\tput\t{{\"key\":\"a\",\"value\":\"{value}\"}}\n"
        ));
        assert_eq!(rows(&replayed), [("a", &*value, 1)]);
    }

    fn replay_text(log: &str) -> Replayed {
        replay(log.as_bytes()).expect("memory can be read")
    }

    fn lines(replayed: &Replayed) -> Vec<u64> {
        replayed
            .complaints
            .iter()
            .map(|complaint| complaint.line)
            .collect()
    }

    fn rows(replayed: &Replayed) -> Vec<(&str, &str, u64)> {
        let entries = replayed.dump.entries.iter();
        entries
            .map(|entry| (&*entry.key, &*entry.value, entry.version))
            .collect()
    }
}
