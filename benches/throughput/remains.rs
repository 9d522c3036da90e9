//! What a ledger has left on disk.

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
            let (store, _writing) = spawn_embedded(Disk::open(data)?);
            match Kv::new(store).list(Range::default(), None).await? {
                Listed::Entries(entries, _) => Outcome::Ok(entries.all().await?),
                Listed::Unchanged => {
                    Err("it lists nothing, though it does not know what we know".into())
                }
            }
        })?;
        let entries = entries.iter().map(|entry| (&*entry.key, &*entry.value));
        let mut records = 0;
        for (_, record) in entries.clone().filter(|(key, _)| key.starts_with("!t/")) {
            records += u64::from(is_done(record)?);
        }
        let balances = Balances::at_rest(entries);
        let balances = balances.map_err(|open| format!("something is open: {open:#?}"))?;
        Ok(Self { balances, records })
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
