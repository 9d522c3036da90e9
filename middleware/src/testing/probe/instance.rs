use super::Handle;

/// Counts one instance of a service for as long as it lives.
#[derive(Debug)]
pub(super) struct Instance {
    handle: Handle,
}

impl Instance {
    pub(super) fn new(handle: Handle) -> Self {
        handle.update(|seen| seen.instances += 1);
        Self { handle }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        self.handle.update(|seen| seen.clones += 1);
        Self::new(self.handle.clone())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.handle.update(|seen| seen.instances -= 1);
    }
}
