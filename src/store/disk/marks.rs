use std::io;

use redb::StorageBackend;

use super::head::{Head, MARK_AT};
use super::seal::{self, Seal};

/// The last revisions of which somebody was told, in two places.
///
/// They are written in turn: where the power fails while one is written, the other one is whole, and tells of
/// the commit before. The largest one counts, and what is not whole counts as none: a store whose commits are
/// all there is not refused for it.
///
/// Each has a page of its own, so that neither what is lost nor what is damaged takes anything else along.
#[derive(Debug)]
pub(super) struct Marks {
    seal: Seal,
    places: [u64; 2],
    /// What they say; `None` where one is not whole, or was never written.
    revisions: [Option<u64>; 2],
}

impl Marks {
    pub(super) fn read(file: &dyn StorageBackend, head: &Head) -> io::Result<Self> {
        let seal = head.seal();
        let places = [MARK_AT, head.second_mark_at()];
        Ok(Self {
            seal,
            places,
            revisions: [read(file, seal, places[0])?, read(file, seal, places[1])?],
        })
    }

    /// The last one that is known.
    pub(super) fn newest(&self) -> Option<u64> {
        self.revisions.into_iter().max().flatten()
    }

    /// Notes that `revision` is synced, in the place that says less.
    pub(super) fn write(&mut self, file: &dyn StorageBackend, revision: u64) -> io::Result<()> {
        let [first, second] = self.revisions;
        let place = usize::from(first > second);
        let content = revision.to_le_bytes();
        let mark = [self.seal.of(&content), content].concat();
        file.write(self.places[place], &mark)?;
        self.revisions[place] = Some(revision);
        Ok(())
    }
}

fn read(file: &dyn StorageBackend, seal: Seal, place: u64) -> io::Result<Option<u64>> {
    let mut mark = [0; seal::LENGTH + 8];
    file.read(place, &mut mark)?;
    let revision = seal
        .open(&mark)
        .and_then(|revision| revision.try_into().ok());
    Ok(revision.map(u64::from_le_bytes))
}
