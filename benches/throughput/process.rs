//! A child process that does not outlive us.

use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::Outcome;

/// How often we look whether something has happened; short beside everything that is measured.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A running child; dropping it kills it, so that a failed benchmark leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts `command`, which is called `name` in messages.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Outcome<Self> {
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name, child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// It has not within `limit`; it is still running then.
    pub(crate) fn wait_within(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(format!("{} has not ended within {limit:?}", self.name).into());
            }
            thread::sleep(POLL);
        }
    }

    /// Asks it to end, as an operator would: SIGTERM.
    pub(crate) fn terminate(&self) -> Outcome<()> {
        // The standard library can only send SIGKILL.
        let status = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status()
            .map_err(|error| format!("cannot run kill: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("kill -TERM {} ({}): {status}", self.id(), self.name).into())
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
