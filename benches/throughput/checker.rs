//! The checker of the tests, on a ledger on which wrk is at work too.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tower::BoxError;

use crate::common::exact::{Balances, Journal, Outcome};
use crate::common::http::{Connection, get};
use crate::common::load::Load;
use crate::common::status;

/// Few beside those of wrk, so that the load stays that of the benchmark.
const CLIENTS: usize = 8;

/// Among so few people that every batch has several transfers of each.
const PEOPLE: usize = 20;

/// How long it looks at something else between two looks at the accounts.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the checker has found to be exact.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What it was told of its transfers.
    pub(crate) told: Journal,
    /// The same with what became of the unknown ones.
    pub(crate) journal: Journal,
    /// How often it looked at the accounts.
    pub(crate) looks: usize,
}

/// Makes transfers and looks at them until it `is_over`, then looks at all of them.
///
/// # Errors
///
/// The ledger is not exact. So it is if a look does not show what was answered before it began.
pub(crate) async fn check(
    address: SocketAddr,
    mut is_over: oneshot::Receiver<()>,
) -> Result<Checked, BoxError> {
    let load = Load {
        clients: CLIENTS,
        each: 1_000_000,
        people: PEOPLE,
        round: 0,
    };
    let running = load.start(address);
    let mut connection = Connection::open(address).await?;
    let mut looks = 0;
    loop {
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            _ = &mut is_over => break,
        }
        let before = running.journal();
        let balances = look(&mut connection).await?;
        is_exact(&running.journal().seen_since(&before), &balances)?;
        looks += 1;
    }
    running.stop();
    let told = running.ended().await;
    let done = told.count(Outcome::Done);
    if looks == 0 || done == 0 {
        return Err(format!("{looks} looks and {done} transfers check nothing").into());
    }
    let mut journal = told.clone();
    status::resolve(&mut journal, address).await;
    let checked = Checked {
        told,
        journal,
        looks,
    };
    checked.is_in(&look(&mut connection).await?)?;
    Ok(checked)
}

impl Checked {
    /// Whether `balances` have all that the checker knows, and sum to zero.
    pub(crate) fn is_in(&self, balances: &Balances) -> Result<(), String> {
        is_exact(&self.journal, balances)
    }
}

async fn look(connection: &mut Connection) -> Result<Balances, BoxError> {
    let answer = connection.call(&get("/api/accounts")).await?;
    match answer.status().as_u16() {
        200 => Ok(Balances::from_json(answer.body())),
        status => Err(format!("the accounts were answered {status}").into()),
    }
}

/// Whether `journal` tells all of `balances` but those of wrk's people, and both sum to zero.
fn is_exact(journal: &Journal, balances: &Balances) -> Result<(), String> {
    let (wrks, own) = balances
        .0
        .clone()
        .into_iter()
        .partition(|(person, _)| is_wrks(person));
    let (wrks, own) = (Balances(wrks), Balances(own));
    let doubts = &journal.doubts;
    journal
        .check(&own)
        .map_err(|inexact| format!("MONEY IS LOST: {inexact}\nin doubt: {doubts:?}"))?;
    match wrks.sum() {
        0 => Ok(()),
        sum => Err(format!(
            "MONEY IS LOST: the balances of wrk's people sum to {sum}"
        )),
    }
}

/// Whether the person is one of `transfer.lua`.
fn is_wrks(person: &str) -> bool {
    let number = person.strip_prefix('p');
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}
