//! A look at splitdim's ledger from outside: speed that loses money counts for nothing.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::Outcome;
use crate::fetch;

const ACCOUNTS: &str = "/api/accounts";

/// Within this time the ledger is at rest after the last request was sent.
const REST_LIMIT: Duration = Duration::from_secs(10);

/// Two equal looks this far apart are taken for rest: longer than a transfer in flight takes.
const REST: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Account {
    balance: i64,
}

/// How many people are in the ledger.
///
/// # Errors
///
/// Their balances do not sum to zero, or there are none.
pub(crate) fn count_balanced(address: SocketAddr) -> Outcome<usize> {
    let accounts: Vec<Account> = serde_json::from_slice(&fetch::get(address, ACCOUNTS)?)
        .map_err(|error| format!("GET {ACCOUNTS}: {error}"))?;
    let sum: i128 = accounts
        .iter()
        .map(|account| i128::from(account.balance))
        .sum();
    if accounts.is_empty() {
        return Err("the ledger is empty after the transfers".into());
    }
    if sum != 0 {
        return Err(format!(
            "MONEY IS LOST: the balances of {} people sum to {sum} instead of 0",
            accounts.len()
        )
        .into());
    }
    Ok(accounts.len())
}

/// Waits until the transfers that the last load left in flight have gone through.
///
/// # Errors
///
/// The ledger keeps changing.
pub(crate) fn wait_for_rest(address: SocketAddr) -> Outcome<()> {
    let deadline = Instant::now() + REST_LIMIT;
    let mut last = fetch::get(address, ACCOUNTS)?;
    loop {
        thread::sleep(REST);
        let now = fetch::get(address, ACCOUNTS)?;
        if now == last {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("the ledger is not at rest after {REST_LIMIT:?}").into());
        }
        last = now;
    }
}
