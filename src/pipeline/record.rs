use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kv::{Key, Put};
use crate::ledger::Transfer;

/// What became of a transfer: written once, under [`key`], in the transaction that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    pub(super) result: Outcome,
    sender: &'a str,
    receiver: &'a str,
    amount: i64,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was made.
    Done,
    /// It was not made, and never will be.
    Undone,
}

/// Where the record of the transfer `id` is kept.
pub(super) fn key(id: Uuid) -> Key {
    let mut text = [0; 3 + uuid::fmt::Hyphenated::LENGTH];
    text[..3].copy_from_slice(b"!t/");
    id.hyphenated().encode_lower(&mut text[3..]);
    // ASCII throughout: the prefix above and hexadecimal digits.
    String::from_utf8_lossy(&text).into()
}

/// The put that creates the record, if there is none.
pub(super) fn create(id: Uuid, transfer: &Transfer, result: Outcome) -> Put {
    let record = Record {
        result,
        sender: transfer.sender().as_str(),
        receiver: transfer.receiver().as_str(),
        amount: transfer.amount().get(),
    };
    let value = serde_json::to_string(&record).expect("text and numbers are always JSON");
    Put {
        key: key(id),
        value: value.into(),
        version: 0,
    }
}

/// The outcome that a record's value tells, or `None` where it is no record.
pub(super) fn outcome(value: &str) -> Option<Outcome> {
    #[derive(Deserialize)]
    struct Result {
        result: Outcome,
    }
    serde_json::from_str(value)
        .ok()
        .map(|Result { result }| result)
}
