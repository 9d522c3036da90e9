use resilient::retry::{Class, Classify};
use uuid::Uuid;

use super::transaction::Failed;
use crate::ledger::Transfer;

/// A transfer on its way into the store.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    /// Names its record: it is made once, whatever is sent how often.
    pub(super) id: Uuid,
    pub(super) transfer: Transfer,
    /// Whether an earlier attempt may have been made: then the record is looked for first.
    pub(super) doubt: bool,
}

impl Posting {
    pub(super) fn new(id: Uuid, transfer: Transfer) -> Self {
        Self {
            id,
            transfer,
            doubt: false,
        }
    }
}

/// Classes the attempts of postings for the retry policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByOutcome;

impl Classify<Posting, (), Failed> for ByOutcome {
    fn classify(&self, _: &Posting, result: &Result<(), Failed>) -> Class {
        result.as_ref().map_or_else(Failed::class, |()| Class::Done)
    }

    fn again(&self, posting: &mut Posting, class: Class) {
        // A conflict too: a proxy may have sent our write twice, and the second one met the first.
        posting.doubt |= matches!(class, Class::Unknown | Class::Conflict);
    }
}
