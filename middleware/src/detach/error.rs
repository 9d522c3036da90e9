use std::fmt;

/// The detached work ended without an answer: it panicked, or its runtime was shut down. What it
/// had done until then is not known.
#[derive(Debug)]
pub struct Lost {
    panicked: bool,
}

impl Lost {
    pub(super) fn new(error: &tokio::task::JoinError) -> Self {
        Self {
            panicked: error.is_panic(),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.panicked {
            true => "the detached work panicked",
            false => "the detached work was cut off by the end of its runtime",
        })
    }
}

impl std::error::Error for Lost {}
