use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kv::{Key, Kv, KvError, Put};
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

impl Record<'_> {
    /// The same as `serde_json` writes, which takes four times as long: each transfer has a record. It is
    /// written into `json`, whatever is in there, so that one buffer is enough for many.
    fn write_into(&self, json: &mut String) {
        json.clear();
        json.reserve(72 + self.sender.len() + self.receiver.len());
        *json += "{\"result\":";
        *json += match self.result {
            Outcome::Done => "\"done\"",
            Outcome::Undone => "\"undone\"",
        };
        *json += ",\"sender\":";
        quote(json, &self.sender);
        *json += ",\"receiver\":";
        quote(json, &self.receiver);
        *json += ",\"amount\":";
        *json += itoa::Buffer::new().format(self.amount);
        *json += "}";
    }
}

/// Adds `text` to `json`, as a string.
fn quote(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        *json += "\"";
        *json += text;
        *json += "\"";
    } else {
        *json += &serde_json::to_string(text).expect("text is always JSON");
    }
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
    create_by(&mut String::new(), id, transfer, result)
}

/// The puts that create the records of `transfers`, where there are none.
pub(super) fn create_all<'a>(
    transfers: impl Iterator<Item = (Uuid, &'a Transfer)>,
    result: Outcome,
) -> impl Iterator<Item = Put> {
    let mut json = String::new();
    transfers.map(move |(id, transfer)| create_by(&mut json, id, transfer, result))
}

fn create_by(json: &mut String, id: Uuid, transfer: &Transfer, result: Outcome) -> Put {
    let record = Record {
        result,
        sender: transfer.sender().as_str().into(),
        receiver: transfer.receiver().as_str().into(),
        amount: transfer.amount().get(),
    };
    record.write_into(json);
    Put::new(key(id), json.as_str(), 0)
}

/// What the record of the transfer `id` says, if there is one (yet).
pub(super) async fn read(kv: &Kv, id: Uuid) -> Result<Option<Outcome>, KvError> {
    let (stored, _) = kv.get(key(id)).await?;
    if stored.version == 0 {
        return Ok(None);
    }
    let unreadable = || KvError::Invalid(format!("the record of transfer {id} cannot be read"));
    parse(&stored.value).map(Some).ok_or_else(unreadable)
}

/// What the value of a record says; `None` if it is none.
pub(super) fn parse(value: &str) -> Option<Outcome> {
    let record = serde_json::from_str::<Record<'_>>(value).ok()?;
    Some(record.result)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn records_are_written_as_serde_writes_them(
            sender: String,
            receiver in "[a-z\"\\\\\u{0}-\u{1f}\u{7f}ä]{0,9}",
            amount: i64,
            is_done: bool,
        ) {
            let record = Record {
                result: if is_done { Outcome::Done } else { Outcome::Undone },
                sender: sender.into(),
                receiver: receiver.into(),
                amount,
            };
            let mut json = "what was written before".to_owned();
            record.write_into(&mut json);
            prop_assert_eq!(json, serde_json::to_string(&record).unwrap());
        }
    }
}
