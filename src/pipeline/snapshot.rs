use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::cell::{Cell, Mark, MarkKind, transfer_of};
use crate::kv::{Entry, Key, Stamp};
use crate::ledger::{Account, Transfer};

/// The least text after `!`, with which the service's own keys begin: all names come after it, for none
/// begins with a space or a control character.
pub(super) const FIRST_NAME: &str = "\"";

/// The whole ledger at one moment, with open transfers rolled forward: those whose debit may still be
/// made are shown as made, those that never will be as not made. So the balances sum to zero at every
/// moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    accounts: Vec<Account>,
    open: Vec<Open>,
    stray: Vec<(Key, Mark)>,
    sealed: Vec<Key>,
    unreadable: Vec<Key>,
    sum: i128,
    stamp: Option<Stamp>,
}

/// A transfer in the outbox of its sender.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) id: Uuid,
    pub(super) transfer: Transfer,
    /// What its receiver's cell says.
    pub(super) mark: Option<MarkKind>,
    /// Whether its receiver's cell can be read.
    pub(super) readable: bool,
}

impl Open {
    /// What is still to be done about it.
    pub(super) fn stands(&self) -> &'static str {
        match self.mark {
            _ if !self.readable => "its receiver's cell cannot be read",
            Some(MarkKind::In) => "it only has to be put to rest",
            Some(MarkKind::Fence) => "it is to be undone",
            None => "its receiver is not debited yet",
        }
    }
}

impl Snapshot {
    /// The accounts, sorted by holder (byte order).
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Whether the transfer `id` is open.
    pub(super) fn has_open(&self, id: Uuid) -> bool {
        self.open.iter().any(|open| open.id == id)
    }

    /// What the cells hold, less what open transfers have yet to move: zero, whatever is under way.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.sum
    }

    /// The keys of what is no balance: it is left alone, and not among the accounts.
    pub(super) fn unreadable(&self) -> &[Key] {
        &self.unreadable
    }

    /// Whether nothing in it is to be finished or removed.
    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty() && self.stray.is_empty() && self.sealed.is_empty()
    }

    /// When it was read; `None` if the store does not tell. What the store held then determines it.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// The epoch in which it was read.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.stamp.map(|stamp| stamp.epoch)
    }

    /// The open transfers.
    pub(super) fn open(&self) -> &[Open] {
        &self.open
    }

    /// Marks whose transfers are in no outbox, with the key of their cell.
    pub(super) fn stray(&self) -> &[(Key, Mark)] {
        &self.stray
    }

    /// The keys of cells that have a seal.
    pub(super) fn sealed(&self) -> &[Key] {
        &self.sealed
    }

    /// What `entries` hold, which are sorted by key and of one moment.
    pub(super) fn new(entries: Vec<Entry>, stamp: Option<Stamp>) -> Self {
        let mut snapshot = Self {
            stamp,
            ..Self::default()
        };
        let mut busy: Vec<(Key, Cell)> = Vec::new();
        for Entry { key, value, .. } in entries {
            if key.starts_with('!') {
                continue;
            }
            // Whoever lists the accounts does not see what comes before all names.
            let is_name = &*key >= FIRST_NAME;
            let cell = is_name.then(|| Cell::parse_value(&key, &value)).flatten();
            let Some(cell) = cell else {
                snapshot.unreadable.push(key);
                continue;
            };
            snapshot.accounts.push(Account {
                holder: Arc::clone(&key),
                balance: cell.balance,
            });
            snapshot.sum += i128::from(cell.balance);
            if cell.seal.is_some() {
                snapshot.sealed.push(Arc::clone(&key));
            }
            if !cell.outbox.is_empty() || !cell.inbox.is_empty() {
                busy.push((key, cell));
            }
        }
        if !busy.is_empty() {
            snapshot.roll_forward(&busy);
        }
        snapshot
    }

    fn roll_forward(&mut self, busy: &[(Key, Cell)]) {
        let marks: HashMap<(&str, Uuid), MarkKind> = busy
            .iter()
            .flat_map(|(key, cell)| {
                let marks = cell.inbox.iter();
                marks.map(move |mark| ((&**key, mark.id), mark.kind))
            })
            .collect();
        let cells: HashMap<&str, &Cell> = busy.iter().map(|(key, cell)| (&**key, cell)).collect();

        let unreadable: HashSet<&Key> = self.unreadable.iter().collect();
        let mut moved: BTreeMap<Key, i128> = BTreeMap::new();
        for (sender, cell) in busy {
            for intent in &cell.outbox {
                let receiver = intent.receiver.to_shared();
                let amount = i128::from(intent.amount.get());
                let mark = marks.get(&(&*receiver, intent.id)).copied();
                if mark != Some(MarkKind::In) {
                    self.sum -= amount;
                }
                match mark {
                    Some(MarkKind::In) => {}
                    Some(MarkKind::Fence) => {
                        *moved.entry(Arc::clone(sender)).or_default() -= amount
                    }
                    None => *moved.entry(Arc::clone(&receiver)).or_default() -= amount,
                }
                if let Some(transfer) = transfer_of(sender, intent) {
                    self.open.push(Open {
                        id: intent.id,
                        transfer,
                        mark,
                        readable: !unreadable.contains(&receiver),
                    });
                }
            }
            for mark in &cell.inbox {
                let is_open = cells
                    .get(mark.sender.as_str())
                    .is_some_and(|cell| cell.sends(mark.id));
                if !is_open {
                    self.stray.push((Arc::clone(sender), mark.clone()));
                }
            }
        }
        self.show(moved);
    }

    /// Moves balances by `moved`, of people too who have no cell yet.
    fn show(&mut self, mut moved: BTreeMap<Key, i128>) {
        for account in &mut self.accounts {
            if let Some(delta) = moved.remove(&account.holder) {
                account.balance = clamped(i128::from(account.balance) + delta);
            }
        }
        let newcomers = moved.into_iter().map(|(holder, balance)| Account {
            holder,
            balance: clamped(balance),
        });
        self.accounts.extend(newcomers);
        self.accounts
            .sort_unstable_by(|one, other| one.holder.cmp(&other.holder));
    }
}

/// A sum past what can be shown, which only a spoiled ledger has.
fn clamped(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}
