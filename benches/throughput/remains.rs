//! What a ledger has left on disk.

use std::collections::BTreeMap;
use std::path::Path;

use splitdim::kv::{Kv, Listed, Range, spawn_embedded};
use splitdim::store::Disk;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::common::exact::Balances;

/// What is there when its process has ended.
#[derive(Debug)]
pub(crate) struct Remains {
    /// Everybody's.
    pub(crate) balances: Balances,
    /// How many transfers have a record that they were made.
    pub(crate) records: u64,
}

impl Remains {
    /// Reads the data directory of a splitdim or a kvstore.
    ///
    /// # Errors
    ///
    /// Also if something is still open.
    pub(crate) fn of(data: &Path) -> Outcome<Self> {
        let entries = Runtime::new()?.block_on(async {
            let (store, _writing) = spawn_embedded(Disk::open(data)?)?;
            match Kv::new(store).list(Range::default(), None).await? {
                Listed::Entries(entries, _) => Outcome::Ok(entries),
                Listed::Unchanged => {
                    Err("it lists nothing, though it does not know what we know".into())
                }
            }
        })?;
        let mut remains = Self {
            balances: Balances(BTreeMap::new()),
            records: 0,
        };
        for entry in entries {
            let (key, value) = (&*entry.key, &*entry.value);
            if key.starts_with("!t/") {
                remains.records += u64::from(is_done(value)?);
            } else if !key.starts_with('!') {
                let balance = value.parse().map_err(|_| format!("{key} is {value}"))?;
                remains.balances.0.insert(key.to_owned(), balance);
            }
        }
        Ok(remains)
    }
}

/// Whether this is the record of a transfer that was made.
fn is_done(record: &str) -> Outcome<bool> {
    #[derive(serde::Deserialize)]
    struct Record {
        result: String,
    }
    let record: Record = serde_json::from_str(record)?;
    Ok(record.result == "done")
}
