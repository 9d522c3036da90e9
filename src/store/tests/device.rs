//! A disk for tests: remembers every step, fails and blocks when told, loses power.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use redb::StorageBackend;
use tempfile::TempDir;

use super::chance::Chance;

/// What a power failure leaves or takes as a whole.
pub(in crate::store) const SECTOR: usize = 512;

/// "No space left on device" and "Input/output error".
pub(in crate::store) const DISK_FULL: i32 = 28;
pub(in crate::store) const IO_ERROR: i32 = 5;

/// A handle; clones are handles to the same device.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Device(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    directory: OnceLock<TempDir>,
}

#[derive(Debug, Default)]
struct State {
    content: Vec<u8>,
    /// What it held when [`Device::record`] was called.
    before: Vec<u8>,
    /// What happened since then.
    steps: Vec<Step>,
    failure: Option<Failure>,
    /// Whether syncs wait, and whether one does.
    blocked: bool,
    waiting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Step {
    Write(usize, Vec<u8>),
    Length(usize),
    Sync,
    /// A sync that failed: what was written before it may or may not be on the disk, and no later sync
    /// makes up for it, since the operating system holds it for written.
    Failed,
}

/// Which steps fail.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Failure {
    pub(in crate::store) of: Kind,
    /// How many of its kind pass before.
    pub(in crate::store) after: usize,
    pub(in crate::store) errno: i32,
    /// Whether all further steps fail too; else only one does, and the next ones work again.
    pub(in crate::store) stays: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Write,
    Length,
    Sync,
    /// Those that need room: writes and lengths.
    Room,
    Any,
}

impl Device {
    pub(in crate::store) fn holding(content: Vec<u8>) -> Self {
        let device = Self::default();
        device.state().content = content;
        device
    }

    /// A real directory, for what the store writes beside its file.
    pub(in crate::store) fn directory(&self) -> &Path {
        let directory = &self.0.directory;
        directory
            .get_or_init(|| tempfile::tempdir().unwrap())
            .path()
    }

    /// Begins to remember steps; what is held now is safe.
    pub(in crate::store) fn record(&self) {
        let mut state = self.state();
        state.before = state.content.clone();
        state.steps.clear();
    }

    pub(in crate::store) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// How many steps it has made since it records.
    pub(in crate::store) fn count(&self) -> usize {
        self.state().steps.len()
    }

    pub(in crate::store) fn content(&self) -> Vec<u8> {
        self.state().content.clone()
    }

    /// What it held after `count` steps.
    pub(in crate::store) fn content_after(&self, count: usize) -> Vec<u8> {
        let state = self.state();
        let mut content = state.before.clone();
        for step in &state.steps[..count] {
            step.make(&mut content);
        }
        content
    }

    pub(in crate::store) fn fail(&self, failure: Option<Failure>) {
        self.state().failure = failure;
    }

    /// From now on syncs wait for [`unblock`](Self::unblock).
    pub(in crate::store) fn block(&self) {
        self.state().blocked = true;
    }

    pub(in crate::store) fn unblock(&self) {
        self.state().blocked = false;
        self.0.changed.notify_all();
    }

    /// Waits until a sync waits.
    pub(in crate::store) fn wait_for_sync(&self) {
        let state = self.state();
        drop(self.0.changed.wait_while(state, |state| !state.waiting));
    }

    /// What a power failure after `count` steps may leave: all that was synced, and any part of
    /// the rest.
    pub(in crate::store) fn after_power_loss(&self, count: usize, chance: &mut Chance) -> Vec<u8> {
        let state = self.state();
        let mut image = state.before.clone();
        let loss = Loss::choose(chance);
        let mut rest = &state.steps[..count];
        while let Some(end) = rest
            .iter()
            .position(|step| matches!(step, Step::Sync | Step::Failed))
        {
            let (written, after) = rest.split_at(end);
            for step in written {
                // Of what a failed sync leaves behind, the data are in doubt, and not the length.
                match (&rest[end], step) {
                    (Step::Failed, Step::Write(..)) => loss.make(step, &mut image, chance),
                    _ => step.make(&mut image),
                }
            }
            rest = &after[1..];
        }
        for step in rest {
            loss.make(step, &mut image, chance);
        }
        image
    }

    /// Destroys in `image`, which is what a power failure after `count` steps has left, what was being written
    /// just then: a part of so many bytes, of one of the writes to `places` that were not synced. Whether there
    /// was one.
    pub(in crate::store) fn destroy_in_flight(
        &self,
        count: usize,
        (places, bytes): (&[Range<usize>], usize),
        image: &mut [u8],
        chance: &mut Chance,
    ) -> bool {
        let state = self.state();
        let unsynced = state.steps[..count].rsplit(|step| *step == Step::Sync);
        let parts: Vec<_> = unsynced
            .take(1)
            .flatten()
            .flat_map(|step| step.parts(bytes))
            .filter(|part| part.end <= image.len())
            .filter(|part| places.iter().any(|place| place.contains(&part.start)))
            .collect();
        if parts.is_empty() {
            return false;
        }
        let part = &mut image[parts[chance.below(parts.len())].clone()];
        match chance.percent(50) {
            true => part.fill(0),
            false => part.fill_with(|| chance.below(256) as u8),
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn step(&self, step: Step) -> io::Result<()> {
        let mut state = self.state();
        if let Some(failure) = &mut state.failure
            && failure.hits(&step)
        {
            if failure.after == 0 {
                let error = io::Error::from_raw_os_error(failure.errno);
                if !failure.stays {
                    state.failure = None;
                }
                if matches!(step, Step::Sync) {
                    state.steps.push(Step::Failed);
                }
                return Err(error);
            }
            failure.after -= 1;
        }
        if matches!(step, Step::Sync) {
            state.waiting = true;
            self.0.changed.notify_all();
            state = self
                .0
                .changed
                .wait_while(state, |state| state.blocked)
                .unwrap();
            state.waiting = false;
        }
        step.make(&mut state.content);
        state.steps.push(step);
        Ok(())
    }
}

impl Failure {
    fn hits(&self, step: &Step) -> bool {
        self.of.is(step) || (self.stays && self.after == 0)
    }
}

impl Kind {
    pub(in crate::store) fn is(self, step: &Step) -> bool {
        match step {
            Step::Write(..) => matches!(self, Self::Write | Self::Room | Self::Any),
            Step::Length(_) => matches!(self, Self::Length | Self::Room | Self::Any),
            Step::Sync => matches!(self, Self::Sync | Self::Any),
            Step::Failed => false,
        }
    }
}

impl Step {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                content[*offset..offset + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => content.resize(*length, 0),
            Self::Sync | Self::Failed => {}
        }
    }

    /// The parts of a device, of so many bytes each, to which it writes.
    fn parts(&self, bytes: usize) -> impl Iterator<Item = Range<usize>> {
        let written = match self {
            Self::Write(offset, data) => offset / bytes..(offset + data.len()).div_ceil(bytes),
            Self::Length(_) | Self::Sync | Self::Failed => 0..0,
        };
        written.map(move |part| part * bytes..(part + 1) * bytes)
    }
}

/// How much of what was not synced is lost.
///
/// Each sector of each write is kept or lost for itself. That covers every order in which a disk
/// may have written them: an order shows only in which of two writes of one sector was the last.
struct Loss {
    /// Of whole steps, in percent.
    steps: usize,
    /// Of the sectors of those that are left, in percent.
    sectors: usize,
}

impl Loss {
    fn choose(chance: &mut Chance) -> Self {
        if chance.percent(30) {
            return Self {
                steps: 0,
                sectors: 0,
            };
        }
        Self {
            steps: chance.one_of([0, 10, 50, 90]),
            sectors: chance.one_of([0, 10, 50, 90]),
        }
    }

    fn make(&self, step: &Step, image: &mut Vec<u8>, chance: &mut Chance) {
        if chance.percent(self.steps) {
            return;
        }
        let Step::Write(offset, data) = step else {
            return step.make(image);
        };
        let (mut at, mut rest) = (*offset, &data[..]);
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            // Where the growth of the file was lost, so is what was written there.
            if at + part.len() <= image.len() && !chance.percent(self.sectors) {
                image[at..at + part.len()].copy_from_slice(part);
            }
            (at, rest) = (at + part.len(), after);
        }
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        let state = self.state();
        let there = state.content.get(from..from + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step(Step::Length(usize::try_from(length).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
