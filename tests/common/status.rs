//! What the service says became of transfers of which it did not know it when it answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exact::{Journal, Outcome};
use super::http::{Connection, get};

/// Far longer than the service leaves a transfer open.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks at `address` what became of each unknown transfer whose client was told where to ask, and
/// notes that. One of which nothing is in the ledger stays unknown: it may still be on its way.
pub(crate) async fn resolve(journal: &mut Journal, address: SocketAddr) {
    let connection = Connection::open(address).await;
    let mut connection = connection.expect("it accepts connections");
    for (place, outcome) in journal.open() {
        if let Some(became) = settled(&mut connection, place).await {
            *outcome = became;
        }
    }
}

/// Waits until the transfer at `place` is not open any more.
async fn settled(connection: &mut Connection, place: &str) -> Option<Outcome> {
    #[derive(serde::Deserialize)]
    struct Transfer {
        status: String,
    }
    let begun = Instant::now();
    loop {
        let answer = connection.call(&get(place)).await.expect("it answers");
        if answer.status() == 404 {
            return None;
        }
        assert_eq!(answer.status(), 200, "{answer:?}");
        let transfer: Transfer = serde_json::from_slice(answer.body()).expect("it has a status");
        match &*transfer.status {
            "done" => return Some(Outcome::Done),
            "undone" => return Some(Outcome::NotApplied),
            open => assert_eq!(open, "open", "{place}"),
        }
        assert!(begun.elapsed() < PATIENCE, "{place} stays open");
        sleep(Duration::from_millis(50)).await;
    }
}
