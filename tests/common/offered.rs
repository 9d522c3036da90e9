//! Clients who do not wait for each other: transfers come at their times, whether the earlier ones
//! were answered or not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};

use super::exact::{Outcome, Transfer};
use super::http::Connection;
use super::load::{self, Load};

/// So many transfers a second, of the people of `load`, each from a client of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) per_second: u32,
    pub(crate) load: Load,
}

/// An offer under way.
#[derive(Debug)]
pub(crate) struct Offering {
    stop: oneshot::Sender<()>,
    offering: JoinHandle<Vec<Offered>>,
}

/// A transfer that was offered, and what came of it.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) transfer: Transfer,
    pub(crate) outcome: Outcome,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    /// What was answered.
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Offer {
    /// Offers transfers to `address`, from now on.
    pub(crate) fn start(self, address: SocketAddr) -> Offering {
        let (stop, mut stopped) = oneshot::channel();
        let offering = tokio::spawn(async move {
            let mut clients = JoinSet::new();
            let mut times = interval(Duration::from_secs(1) / self.per_second);
            for number in 0.. {
                tokio::select! {
                    _ = times.tick() => {}
                    _ = &mut stopped => break,
                }
                clients.spawn(offer(self.load.transfer(0, number), address));
            }
            clients.join_all().await
        });
        Offering { stop, offering }
    }
}

impl Offering {
    /// Offers no more, and waits until everything was answered.
    pub(crate) async fn ended(self) -> Vec<Offered> {
        self.stop.send(()).expect("it goes on until it is stopped");
        self.offering.await.expect("clients do not panic")
    }
}

async fn offer(transfer: Transfer, address: SocketAddr) -> Offered {
    let begun = Instant::now();
    let connection = Connection::open(address).await;
    let mut connection = connection.expect("it accepts connections");
    let sent = load::send(&mut connection, &transfer).await;
    let (outcome, answer) = sent.expect("it answers");
    Offered {
        transfer,
        outcome,
        begun,
        took: begun.elapsed(),
        status: answer.status().as_u16(),
        text: String::from_utf8_lossy(answer.body()).into_owned(),
    }
}
