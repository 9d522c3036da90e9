use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kv::{Key, Kv, KvError, Put, Stamp};
use crate::ledger::Transfer;

/// What became of a transfer: written once, under [`key`]; in the transaction that makes it, or
/// before it leaves its sender's outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    pub(super) result: Outcome,
    #[serde(borrow)]
    pub(super) sender: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) receiver: Cow<'a, str>,
    pub(super) amount: i64,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was made.
    Done,
    /// It was not made, and never will be.
    Undone,
}

/// What the keys of records begin with.
pub(super) const PREFIX: &str = "!t/";

/// Where the record of the transfer `id` is kept.
pub(super) fn key(id: Uuid) -> Key {
    let mut text = [0; PREFIX.len() + uuid::fmt::Hyphenated::LENGTH];
    text[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    id.hyphenated().encode_lower(&mut text[PREFIX.len()..]);
    let text = std::str::from_utf8(&text).expect("the prefix and hexadecimal digits are ASCII");
    text.into()
}

/// The put that creates the record, if there is none.
pub(super) fn create(id: Uuid, transfer: &Transfer, result: Outcome) -> Put {
    let record = Record {
        result,
        sender: transfer.sender().as_str().into(),
        receiver: transfer.receiver().as_str().into(),
        amount: transfer.amount().get(),
    };
    let value = serde_json::to_string(&record).expect("text and numbers are always JSON");
    Put::new(key(id), value, 0)
}

/// What the record of the transfer `id` says, if there is one (yet), and when it was read.
pub(super) async fn read(kv: &Kv, id: Uuid) -> Result<(Option<Outcome>, Option<Stamp>), KvError> {
    let (stored, stamp) = kv.get(key(id)).await?;
    if stored.version == 0 {
        return Ok((None, stamp));
    }
    match parse(&stored.value) {
        Some(outcome) => Ok((Some(outcome), stamp)),
        None => Err(KvError::Invalid(format!(
            "the record of transfer {id} cannot be read"
        ))),
    }
}

/// What the value of a record says; `None` if it is none.
pub(super) fn parse(value: &str) -> Option<Outcome> {
    let record = serde_json::from_str::<Record<'_>>(value).ok()?;
    Some(record.result)
}
