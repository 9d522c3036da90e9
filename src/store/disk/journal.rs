use std::collections::BTreeMap;
use std::io;

use redb::StorageBackend;

use super::Storage;
use super::frame::{self, Frame};
use super::head::{Head, JOURNAL_AT, PAGE};
use super::marks::Marks;
use super::seal::Seal;
use super::syncs::Syncs;
use crate::store::{Key, Versioned};

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// The commits since the last checkpoint, one after the other: each is one write and one sync, in a place
/// that the file has already, which is what a disk does fastest.
///
/// It has two halves. While one is written to, a checkpoint takes up what is in the other.
///
/// A frame counts if it stands on the revision of the one before it (the first: on that of the checkpoint),
/// and its seal is whole. So nothing need be cleared after a checkpoint: what the new frames have not yet
/// written over stands on revisions that have passed.
///
/// Each begins at a sector of its own: where the power fails while a sector is written, what is in it may be
/// lost, and the end of the frame before must not be.
///
/// A last frame that is not whole was being written when the power failed, and nobody was told of it. Or
/// it was damaged later: the [*mark*](Marks) tells which. It is written after each sync, and not synced itself,
/// for it outlives the process as it is, and the next sync takes it along.
#[derive(Debug)]
pub(super) struct Journal {
    file: Storage,
    seal: Seal,
    marks: Marks,
    /// Where the second half begins, from the beginning of the first.
    half: u64,
    /// Bytes of a half that are written to.
    room: u64,
    /// Whether the second half is written to.
    is_second: bool,
    /// Where the next frame will be, from the beginning of that half.
    end: u64,
    syncs: Syncs,
    buffer: Vec<u8>,
}

/// What became of a commit that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is in the journal, and synced.
    Whole,
    /// There is no room in this half.
    Full,
    /// It is longer than the room in a half.
    TooLong,
}

/// What a journal holds.
pub(super) enum Replayed {
    /// The commits since the checkpoint.
    Frames(Vec<Frame>),
    /// A commit that was acknowledged is not whole any more.
    Damaged,
}

impl Journal {
    /// That of a new store, as of `revision`, with room for all that it will ever hold. Nothing of this is
    /// synced.
    pub(super) fn create(file: &dyn StorageBackend, head: &Head, revision: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = JOURNAL_AT;
        while at < head.database_at() {
            let count = ZEROS
                .len()
                .min(usize::try_from(head.database_at() - at).unwrap_or(usize::MAX));
            file.write(at, &ZEROS[..count])?;
            at += count as u64;
        }
        Marks::read(file, head)?.write(file, revision)
    }

    /// That of a store which has a checkpoint with all that is in it: it begins anew.
    pub(super) fn new(file: Storage, head: &Head, syncs: Syncs) -> io::Result<Self> {
        let half = half(head);
        Ok(Self {
            marks: Marks::read(&*file, head)?,
            file,
            seal: head.seal(),
            half,
            room: half.saturating_sub(PAGE),
            is_second: false,
            end: 0,
            syncs,
            buffer: Vec::new(),
        })
    }

    /// Reads the commits since `checkpoint`, a revision.
    pub(super) fn replay(
        file: &dyn StorageBackend,
        head: &Head,
        checkpoint: u64,
    ) -> io::Result<Replayed> {
        let seal = head.seal();
        let Ok(length) = usize::try_from(head.journal) else {
            return Ok(Replayed::Damaged);
        };
        let mut bytes = vec![0; length];
        file.read(JOURNAL_AT, &mut bytes)?;
        let (first, second) = bytes.split_at(usize::try_from(half(head)).unwrap_or(length));
        let (mut frames, mut revision) = (Vec::new(), checkpoint);
        // Either half may be the older one.
        for mut rest in [first, second, first] {
            while let Some(frame) = frame::decode(rest, seal)
                && frame.before == revision
            {
                revision = frame.revision;
                let next = frame.length.next_multiple_of(SECTOR);
                rest = rest.get(next..).unwrap_or_default();
                frames.push(frame);
            }
        }
        Ok(match Marks::read(file, head)?.newest() {
            Some(mark) if mark > revision => Replayed::Damaged,
            _ => Replayed::Frames(frames),
        })
    }

    /// Adds a commit of `rows`, the revision before it and its own, and syncs it.
    pub(super) fn append(
        &mut self,
        (before, revision): (u64, u64),
        rows: &BTreeMap<Key, Versioned>,
    ) -> io::Result<Appended> {
        let length = frame::length(rows) as u64;
        if length > self.room {
            return Ok(Appended::TooLong);
        }
        if self.end + length > self.room {
            return Ok(Appended::Full);
        }
        frame::encode(&mut self.buffer, self.seal, (before, revision), rows);
        let half_at = JOURNAL_AT + if self.is_second { self.half } else { 0 };
        self.file.write(half_at + self.end, &self.buffer)?;
        self.syncs.time(|| self.file.sync_data())?;
        self.mark(revision)?;
        self.end = (self.end + length).next_multiple_of(SECTOR as u64);
        Ok(Appended::Whole)
    }

    /// Notes that `revision` is synced, in the journal or in a checkpoint.
    pub(super) fn mark(&mut self, revision: u64) -> io::Result<()> {
        self.marks.write(&*self.file, revision)
    }

    /// Writes to the other half from now on. There must be a checkpoint with all that is in it.
    pub(super) fn turn(&mut self) {
        self.is_second = !self.is_second;
        self.end = 0;
    }

    /// How much of the half that is written to is full, of how much.
    pub(super) fn fill(&self) -> (u64, u64) {
        (self.end, self.room)
    }
}

/// Bytes of a half: whole sectors, and no more than a frame can tell. The last page of the second one has a mark,
/// so that much is left free in both.
fn half(head: &Head) -> u64 {
    let half = (head.journal / 2).min(u64::from(u32::MAX));
    half - half % SECTOR as u64
}
