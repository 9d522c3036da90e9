use std::sync::Arc;

use serde::Serialize;

/// A person and what the group owes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The person's name: a valid [`Name`](super::Name), unless another program wrote it.
    pub holder: Arc<str>,
    /// What the group owes the person; negative where the person owes the group.
    pub balance: i64,
}
