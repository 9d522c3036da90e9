use std::borrow::Cow;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

use super::syncs::Syncs;

/// A file to which nothing is written before it is [released](Self::release).
///
/// redb writes to a file while it opens it: the check of an unclean file ends with a commit, and
/// closing writes once more. A file that turns out to be damaged, or not ours, must stay as it is.
/// So what redb writes is held back until the file has proven to be a store; then it is made up
/// for in the same order, syncs included, which is as safe against a crash as if redb had done it.
#[derive(Debug)]
pub(super) struct Held<B>(Arc<Shared<B>>);

#[derive(Debug)]
struct Shared<B> {
    backend: B,
    syncs: Syncs,
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    /// In order; nothing of it has reached the backend.
    Held(Vec<Step<'static>>),
    Released,
    /// Making up for the steps failed half-way: whatever came now would not fit what is there.
    Failed,
}

#[derive(Debug)]
enum Step<'a> {
    Write(u64, Cow<'a, [u8]>),
    Length(u64),
    Sync,
}

impl<B: StorageBackend> Held<B> {
    pub(super) fn new(backend: B) -> Self {
        Self(Arc::new(Shared {
            backend,
            syncs: Syncs::default(),
            state: RwLock::new(State::Held(Vec::new())),
        }))
    }

    /// Makes up for what was held back; from now on everything goes straight to the backend.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut state = self.state_mut();
        if let State::Held(steps) = std::mem::replace(&mut *state, State::Failed) {
            for step in steps {
                step.make(&self.0.backend)?;
            }
        }
        *state = State::Released;
        Ok(())
    }

    /// Who is told of its syncs.
    pub(super) fn syncs(&self) -> Syncs {
        self.0.syncs.clone()
    }

    fn step(&self, step: Step<'_>) -> io::Result<()> {
        // The common case first: readers and the writer of a released file do not wait for each other.
        if matches!(*self.state(), State::Released) {
            return step.make(&self.0.backend);
        }
        match &mut *self.state_mut() {
            State::Held(steps) => steps.push(step.into_owned()),
            State::Released => step.make(&self.0.backend)?,
            State::Failed => return Err(io::Error::other("an earlier write failed")),
        }
        Ok(())
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Clone for Held<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Step<'_> {
    fn into_owned(self) -> Step<'static> {
        match self {
            Self::Write(offset, data) => Step::Write(offset, data.into_owned().into()),
            Self::Length(length) => Step::Length(length),
            Self::Sync => Step::Sync,
        }
    }

    fn make(&self, backend: &impl StorageBackend) -> io::Result<()> {
        match self {
            Self::Write(offset, data) => backend.write(*offset, data),
            Self::Length(length) => backend.set_len(*length),
            Self::Sync => backend.sync_data(),
        }
    }
}

/// The length that the file would have after `steps`.
fn length(backend: &impl StorageBackend, steps: &[Step<'_>]) -> io::Result<u64> {
    let last = steps.iter().rev().find_map(|step| match step {
        Step::Length(length) => Some(*length),
        Step::Write(..) | Step::Sync => None,
    });
    last.map_or_else(|| backend.len(), Ok)
}

/// What would be read after `steps`.
fn read(
    backend: &impl StorageBackend,
    steps: &[Step<'_>],
    offset: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let end = offset + out.len() as u64;
    if end > length(backend, steps)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // What the file still has there; past its end, and where it was cut off meanwhile, are zeros.
    let there = backend.len()?.clamp(offset, end) - offset;
    out.fill(0);
    if there > 0 {
        backend.read(offset, &mut out[..index(there)])?;
    }
    for step in steps {
        match step {
            Step::Write(at, data) => {
                let from = offset.max(*at);
                let to = end.min(*at + data.len() as u64);
                if from < to {
                    out[index(from - offset)..index(to - offset)]
                        .copy_from_slice(&data[index(from - at)..index(to - at)]);
                }
            }
            Step::Length(length) => out[index(length.clamp(&offset, &end) - offset)..].fill(0),
            Step::Sync => {}
        }
    }
    Ok(())
}

/// A distance within a buffer.
fn index(distance: u64) -> usize {
    usize::try_from(distance).expect("a buffer is no longer than the memory")
}

impl<B: StorageBackend> StorageBackend for Held<B> {
    fn len(&self) -> io::Result<u64> {
        match &*self.state() {
            State::Held(steps) => length(&self.0.backend, steps),
            State::Released | State::Failed => self.0.backend.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &*self.state() {
            State::Held(steps) if !steps.is_empty() => read(&self.0.backend, steps, offset, out),
            _ => self.0.backend.read(offset, out),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step(Step::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.time(|| self.step(Step::Sync))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset, data.into()))
    }

    fn close(&self) -> io::Result<()> {
        self.0.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.query_lock_range(start, end)
    }
}
