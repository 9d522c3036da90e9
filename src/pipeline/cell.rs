use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kv::{Key, Value, Versioned};
use crate::ledger::{Amount, MAX_BALANCE, Name, Transfer};

/// The most transfers that one person may have open as their sender.
pub(super) const OUTBOX: usize = 64;

/// The most marks that one person's cell may hold.
pub(super) const INBOX: usize = 64;

/// More entries than this nobody writes, whatever version of this program.
const MOST: usize = 1024;

/// What the store holds for one person: a plain integer at rest, compact JSON around the balance
/// while transfers are open.
///
/// Without transactions the only thing that changes at once is one cell. So what is still to be done
/// travels in it: whoever finds a transfer in an outbox can finish it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) balance: i64,
    /// Transfers whose amount this balance has already, and whose receiver may not.
    pub(super) outbox: Vec<Intent>,
    /// What is known here of transfers in the outboxes of others.
    pub(super) inbox: Vec<Mark>,
    /// A random number that makes this state's bytes like no other's.
    pub(super) seal: Option<Uuid>,
}

/// An open transfer in the cell of its sender: all that is needed to finish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) id: Uuid,
    pub(super) receiver: Name,
    pub(super) amount: Amount,
}

/// What became of a transfer, in the cell of its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: Uuid,
    pub(super) sender: Name,
    pub(super) kind: MarkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MarkKind {
    /// The receiver's balance has it.
    In,
    /// The receiver's balance does not have it, and never will.
    Fence,
}

impl Cell {
    /// A cell in which nothing is open.
    pub(super) fn at_rest(balance: i64) -> Self {
        Self {
            balance,
            ..Self::default()
        }
    }

    /// The cell that a stored value holds: an empty one for a key that is not there, `None` for what
    /// is no cell, and so not ours to change.
    pub(super) fn parse(key: &Key, stored: &Versioned) -> Option<Self> {
        if stored.version == 0 && stored.value.is_empty() {
            return Some(Self::default());
        }
        Self::parse_value(key, &stored.value)
    }

    /// The cell that the value of a key that is there holds.
    pub(super) fn parse_value(key: &Key, value: &str) -> Option<Self> {
        if let Ok(balance) = value.parse() {
            return Some(Self::at_rest(balance));
        }
        let cell: Self = serde_json::from_str::<Open<'_>>(value)
            .ok()?
            .try_into()
            .ok()?;
        cell.is_sound(key).then_some(cell)
    }

    /// Whether a transfer that it has open can be one, and is there once.
    fn is_sound(&self, key: &Key) -> bool {
        let mut sent: Vec<_> = self.outbox.iter().map(|intent| intent.id).collect();
        let mut marked: Vec<_> = self.inbox.iter().map(|mark| mark.id).collect();
        let are_different = |ids: &mut Vec<Uuid>| {
            ids.sort_unstable();
            ids.windows(2).all(|pair| pair[0] != pair[1])
        };
        sent.len() <= MOST
            && marked.len() <= MOST
            && are_different(&mut sent)
            && are_different(&mut marked)
            && self
                .outbox
                .iter()
                .all(|intent| transfer_of(key, intent).is_some())
            && self.inbox.iter().all(|mark| mark.transfer(key).is_some())
    }

    /// The value to store.
    pub(super) fn value(&self) -> Value {
        if self.is_at_rest() {
            itoa::Buffer::new().format(self.balance).into()
        } else {
            let json = serde_json::to_string(&Open::from(self));
            json.expect("text and numbers are always JSON").into()
        }
    }

    /// Whether nothing is open in it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.outbox.is_empty() && self.inbox.is_empty() && self.seal.is_none()
    }

    /// The open transfer `id`, if this is the cell of its sender.
    pub(super) fn sends(&self, id: Uuid) -> bool {
        self.outbox.iter().any(|intent| intent.id == id)
    }

    /// What is known of the transfer `id`, if this is the cell of its receiver.
    pub(super) fn mark(&self, id: Uuid) -> Option<MarkKind> {
        let mark = self.inbox.iter().find(|mark| mark.id == id)?;
        Some(mark.kind)
    }

    /// The same with the balance changed by `delta`, or `None` where that leaves ±[`MAX_BALANCE`].
    pub(super) fn changed(&self, delta: i64) -> Option<Self> {
        Some(Self {
            balance: self.balance_after(delta)?,
            ..self.unsealed()
        })
    }

    /// The balance changed by `delta`, or `None` where that leaves ±[`MAX_BALANCE`].
    pub(super) fn balance_after(&self, delta: i64) -> Option<i64> {
        let balance = self.balance.checked_add(delta)?;
        (-MAX_BALANCE..=MAX_BALANCE)
            .contains(&balance)
            .then_some(balance)
    }

    /// The same with `transfer` in the outbox.
    pub(super) fn sending(mut self, id: Uuid, transfer: &Transfer) -> Self {
        self.outbox.push(Intent {
            id,
            receiver: transfer.receiver().clone(),
            amount: transfer.amount(),
        });
        self
    }

    /// The same without the transfer `id` in the outbox.
    pub(super) fn sent(&self, id: Uuid) -> Self {
        let mut cell = self.unsealed();
        cell.outbox.retain(|intent| intent.id != id);
        cell
    }

    /// The same with a mark of `transfer`.
    pub(super) fn marked(&self, id: Uuid, transfer: &Transfer, kind: MarkKind) -> Self {
        let mut cell = self.unsealed();
        cell.inbox.push(Mark {
            id,
            sender: transfer.sender().clone(),
            kind,
        });
        cell
    }

    /// The same without a mark of the transfer `id`.
    pub(super) fn pruned(&self, id: Uuid) -> Self {
        let mut cell = self.unsealed();
        cell.inbox.retain(|mark| mark.id != id);
        cell
    }

    /// The same in bytes that were never stored before.
    pub(super) fn sealed(&self) -> Self {
        Self {
            seal: Some(Uuid::now_v7()),
            ..self.clone()
        }
    }

    /// The same without a seal, which has done its work as soon as it is stored.
    pub(super) fn unsealed(&self) -> Self {
        Self {
            seal: None,
            ..self.clone()
        }
    }
}

impl Mark {
    /// The transfer that this mark, found under `receiver`, is of, but for its amount, which does not
    /// matter to a mark; `None` where there can be none such.
    pub(super) fn transfer(&self, receiver: &Arc<str>) -> Option<Transfer> {
        let receiver = exactly(receiver).ok()?;
        Transfer::new(self.sender.clone(), receiver, Amount::new(1).ok()?).ok()
    }
}

/// A cell on the wire. A field that is not known here belongs to a later version of this program:
/// such a cell is not ours to change.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open<'a> {
    balance: i64,
    #[serde(default, rename = "out", borrow, skip_serializing_if = "Vec::is_empty")]
    outbox: Vec<OpenIntent<'a>>,
    #[serde(default, rename = "in", borrow, skip_serializing_if = "Vec::is_empty")]
    inbox: Vec<OpenMark<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenIntent<'a> {
    id: Uuid,
    #[serde(borrow)]
    to: std::borrow::Cow<'a, str>,
    amount: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenMark<'a> {
    id: Uuid,
    #[serde(borrow)]
    from: std::borrow::Cow<'a, str>,
    mark: MarkKind,
}

impl<'a> From<&'a Cell> for Open<'a> {
    fn from(cell: &'a Cell) -> Self {
        let intent = |intent: &'a Intent| OpenIntent {
            id: intent.id,
            to: intent.receiver.as_str().into(),
            amount: intent.amount.get(),
        };
        let mark = |mark: &'a Mark| OpenMark {
            id: mark.id,
            from: mark.sender.as_str().into(),
            mark: mark.kind,
        };
        Self {
            balance: cell.balance,
            outbox: cell.outbox.iter().map(intent).collect(),
            inbox: cell.inbox.iter().map(mark).collect(),
            seal: cell.seal,
        }
    }
}

/// A cell on the wire that this program would not have written.
struct NotOurs;

impl TryFrom<Open<'_>> for Cell {
    type Error = NotOurs;

    fn try_from(open: Open<'_>) -> Result<Self, NotOurs> {
        let intent = |OpenIntent { id, to, amount }: OpenIntent<'_>| {
            Ok(Intent {
                id,
                receiver: exactly(&to)?,
                amount: Amount::new(amount).map_err(|_| NotOurs)?,
            })
        };
        let mark = |OpenMark { id, from, mark }: OpenMark<'_>| {
            Ok(Mark {
                id,
                sender: exactly(&from)?,
                kind: mark,
            })
        };
        Ok(Self {
            balance: open.balance,
            outbox: open
                .outbox
                .into_iter()
                .map(intent)
                .collect::<Result<_, _>>()?,
            inbox: open.inbox.into_iter().map(mark).collect::<Result<_, _>>()?,
            seal: open.seal,
        })
    }
}

/// The name that is spelled just so.
fn exactly(text: &str) -> Result<Name, NotOurs> {
    match Name::new(text) {
        Ok(name) if name.as_str() == text => Ok(name),
        _ => Err(NotOurs),
    }
}

/// The transfer that `intent`, found under `sender`, is to become; `None` where there can be none
/// such.
pub(super) fn transfer_of(sender: &Arc<str>, intent: &Intent) -> Option<Transfer> {
    let sender = exactly(sender).ok()?;
    Transfer::new(sender, intent.receiver.clone(), intent.amount).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer() -> Transfer {
        let name = |text| Name::new(text).unwrap();
        Transfer::new(name("a"), name("\"b\""), Amount::new(5).unwrap()).unwrap()
    }

    #[test]
    fn a_cell_at_rest_is_a_plain_integer() {
        let cell = Cell {
            balance: -7,
            ..Cell::default()
        };
        assert_eq!(&*cell.value(), "-7");
        assert_eq!(Cell::parse_value(&"a".into(), "-7"), Some(cell));
    }

    #[test]
    fn what_is_written_is_read() {
        let id = Uuid::now_v7();
        let cell = Cell::default().sending(id, &transfer());
        let cell = cell.marked(id, &transfer(), MarkKind::Fence).sealed();
        assert_eq!(
            Cell::parse_value(&"c".into(), &cell.value()),
            Some(cell.clone())
        );
        assert!(cell.sends(id));
        assert_eq!(cell.mark(id), Some(MarkKind::Fence));
        assert!(cell.sent(id).pruned(id).is_at_rest());
    }

    #[test]
    fn two_seals_are_never_equal() {
        assert_ne!(
            Cell::default().sealed().value(),
            Cell::default().sealed().value()
        );
    }

    #[test]
    fn what_this_program_would_not_write_is_no_cell() {
        let id = Uuid::now_v7();
        for value in [
            "".into(),
            "seven".into(),
            "{}".into(),
            r#"{"balance":"1"}"#.into(),
            r#"{"balance":1,"more":2}"#.into(),
            format!(r#"{{"balance":1,"out":[{{"id":"{id}","to":" b","amount":1}}]}}"#),
            format!(r#"{{"balance":1,"out":[{{"id":"{id}","to":"b","amount":0}}]}}"#),
            format!(r#"{{"balance":1,"in":[{{"id":"{id}","from":"b","mark":"out"}}]}}"#),
            format!(r#"{{"balance":1,"out":[{{"id":"{id}","to":"a","amount":1}}]}}"#),
            format!(
                r#"{{"balance":1,"out":[{{"id":"{id}","to":"b","amount":1}},{{"id":"{id}","to":"c","amount":1}}]}}"#
            ),
        ] {
            assert_eq!(Cell::parse_value(&"a".into(), &value), None, "{value}");
        }
    }
}
