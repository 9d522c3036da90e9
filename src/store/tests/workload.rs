//! Commits that a seed makes up, and what a store holds after each.

use std::collections::BTreeMap;
use std::fmt;

use super::chance::Chance;
use super::device::Device;
use super::{
    Disk, Entry, Fault, Snapshot, Stamp, Store, Write, WriteError, everything, put, puts,
    with_store, write_at_once,
};

/// Everything that a store holds, its stamp included.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Content {
    stamp: Stamp,
    entries: Vec<Entry>,
}

impl Content {
    pub(in crate::store) fn of(snapshot: &impl Snapshot) -> Self {
        Self {
            stamp: snapshot.stamp(),
            entries: everything(snapshot),
        }
    }
}

/// In short: the values are long.
impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.entries.iter();
        formatter
            .debug_struct("Content")
            .field("stamp", &self.stamp)
            .field(
                "versions",
                &rows.map(|row| (&row.key, row.version)).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

/// Bytes of the journal: a few commits, so that there are checkpoints in between.
const JOURNAL: u64 = 72 * 1024;

/// Where the database begins in the devices of these tests.
pub(in crate::store) const DATABASE: usize = 8_192 + JOURNAL as usize;

/// Where there are marks in them, each on a page of its own.
pub(in crate::store) const MARKS: [usize; 2] = [4_096, DATABASE - 4_096];

/// Batches of writes; each is one commit, and is sent when the one before it was answered.
#[derive(Debug)]
pub(in crate::store) struct Workload {
    pub(in crate::store) commits: Vec<Vec<Write>>,
    /// What the store holds before the first commit, after it, and so on.
    pub(in crate::store) contents: Vec<Content>,
}

impl Workload {
    /// `count` commits on top of `content`: of few keys, of values from none to some pages long,
    /// some of them resets.
    pub(in crate::store) fn new(content: Content, count: usize, chance: &mut Chance) -> Self {
        Self::of_lengths(
            &[0, 1, 10, 100, 1_000, 5_000, 30_000],
            content,
            count,
            chance,
        )
    }

    /// The same with values of some bytes at the most: many of them fit into the journal.
    pub(in crate::store) fn small(content: Content, count: usize, chance: &mut Chance) -> Self {
        Self::of_lengths(&[0, 1, 10, 100], content, count, chance)
    }

    fn of_lengths(lengths: &[usize], content: Content, count: usize, chance: &mut Chance) -> Self {
        let mut stamp = content.stamp;
        let mut rows: BTreeMap<_, _> = content
            .entries
            .iter()
            .map(|entry| (entry.key.to_string(), entry.clone()))
            .collect();
        let mut contents = vec![content];
        let commits = (0..count)
            .map(|_| {
                let writes = if chance.percent(5) {
                    rows.clear();
                    stamp.epoch += 1;
                    vec![Write::Reset { epoch: None }]
                } else {
                    (0..=chance.below(4))
                        .map(|_| transaction(lengths, &mut rows, chance))
                        .collect()
                };
                stamp.revision += writes.len() as u64;
                contents.push(Content {
                    stamp,
                    entries: rows.values().cloned().collect(),
                });
                writes
            })
            .collect();
        Self { commits, contents }
    }

    /// Makes the commits, until one fails; `answered` is called after each that was acknowledged.
    /// The store is closed at the end.
    pub(in crate::store) fn run(
        &self,
        disk: Disk,
        mut answered: impl FnMut(),
    ) -> Result<(), Fault> {
        let work = async |store: Store<Disk>| {
            for writes in &self.commits {
                let results = write_at_once(&store, writes.clone()).await;
                if results.iter().any(Result::is_err) {
                    let late = store.write(puts([put("late", "", 0)])).await;
                    for result in results.into_iter().chain([late]) {
                        let unknown = matches!(result, Err(WriteError::Lost | WriteError::Closed));
                        assert!(unknown, "answered after a failure: {result:?}");
                    }
                    return;
                }
                answered();
            }
        };
        with_store(disk, work).1
    }
}

/// A device that holds an empty store.
pub(in crate::store) fn new_device() -> Device {
    let device = Device::default();
    Disk::create_on(device.clone(), JOURNAL).unwrap();
    device
}

pub(in crate::store) fn open(device: &Device) -> Disk {
    Disk::on(device.clone(), device.directory()).unwrap()
}

fn transaction(
    lengths: &[usize],
    rows: &mut BTreeMap<String, Entry>,
    chance: &mut Chance,
) -> Write {
    let first = chance.below(12);
    let written: Vec<_> = (0..=chance.below(3))
        .map(|number| {
            let key = format!("key {}", (first + number) % 12);
            let length = lengths[chance.below(lengths.len())];
            let letter = chance.one_of(["a", "ä", "\0", "\n"]);
            let value = letter.repeat(chance.below(length + 1));
            let row = rows
                .entry(key.clone())
                .or_insert_with(|| super::entry(&key, "", 0));
            let put = put(&key, &value, row.version);
            row.version += 1;
            row.value = value.into();
            put
        })
        .collect();
    puts(written)
}
