//! Many clients that make transfers, each on a connection that it keeps, one after another.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::exact::{Journal, Outcome, Transfer};
use super::http::{Answer, Connection, header, post};
use super::random::Random;

/// A load of transfers among a few people and many fresh receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// How many clients there are.
    pub(crate) clients: usize,
    /// How many transfers each of them makes, if nobody stops it.
    pub(crate) each: usize,
    /// Among how many people.
    pub(crate) people: usize,
    /// Tells this load's choices and fresh receivers from those of another load on the same ledger.
    pub(crate) round: usize,
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Running {
    clients: JoinSet<()>,
    journal: Arc<Mutex<Journal>>,
    answered: watch::Receiver<usize>,
    stopping: Arc<AtomicBool>,
}

impl Load {
    /// Sends it to `address`. A client ends early when its connection does.
    pub(crate) fn start(self, address: SocketAddr) -> Running {
        let (answered, progress) = watch::channel(0);
        let answered = Arc::new(answered);
        let journal = Arc::<Mutex<Journal>>::default();
        let stopping = Arc::<AtomicBool>::default();
        let clients = (0..self.clients)
            .map(|client| {
                let (answered, stopping) = (Arc::clone(&answered), Arc::clone(&stopping));
                let journal = Arc::clone(&journal);
                run(self, client, address, journal, answered, stopping)
            })
            .collect();
        Running {
            clients,
            journal,
            answered: progress,
            stopping,
        }
    }

    /// What `client` sends as its transfer number `number`: every third has a fresh receiver.
    pub(crate) fn transfer(&self, client: usize, number: usize) -> Transfer {
        let mut random = Random(((self.round * self.clients + client) * self.each + number) as u64);
        let sender = random.below(self.people);
        let receiver = match number % 3 {
            0 => format!("fresh {} {client} {number}", self.round),
            _ => format!(
                "person {}",
                (sender + 1 + random.below(self.people - 1)) % self.people
            ),
        };
        Transfer {
            sender: format!("person {sender}"),
            receiver,
            amount: 1 + random.below(1000) as i64,
        }
    }
}

impl Running {
    /// Waits until so many transfers were answered.
    pub(crate) async fn answered(&mut self, count: usize) {
        let answered = self.answered.wait_for(|answered| *answered >= count).await;
        answered.expect("the clients go on until then");
    }

    /// What is known by now.
    pub(crate) fn journal(&self) -> Journal {
        lock(&self.journal).clone()
    }

    /// Has each client end after the answer that it waits for.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Waits for the end of all clients.
    pub(crate) async fn ended(self) -> Journal {
        self.clients.join_all().await;
        mem::take(&mut lock(&self.journal))
    }
}

/// Makes `transfer`, and tells what is known of it afterwards.
pub(crate) async fn send(
    connection: &mut Connection,
    transfer: &Transfer,
) -> io::Result<(Outcome, Answer)> {
    let answer = connection
        .call(&post("/api/transfer", body(transfer)))
        .await?;
    Ok((outcome(&answer), answer))
}

/// The body that asks for `transfer`.
pub(crate) fn body(transfer: &Transfer) -> String {
    let Transfer {
        sender,
        receiver,
        amount,
    } = transfer;
    serde_json::json!({ "sender": sender, "receiver": receiver, "amount": amount }).to_string()
}

fn outcome(answer: &Answer) -> Outcome {
    let says = |part: &[u8]| {
        answer
            .body()
            .windows(part.len())
            .any(|window| window == part)
    };
    match answer.status().as_u16() {
        200 => Outcome::Done,
        400..500 => Outcome::NotApplied,
        503 if says(br#""outcome":"not_applied""#) => Outcome::NotApplied,
        503 if says(br#""outcome":"quarantined""#) => Outcome::NotApplied,
        _ => Outcome::Unknown,
    }
}

/// Where to ask what became of a transfer of which `answer` does not know it.
fn place(answer: &Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Doubt {
        transfer: String,
    }
    let doubt: Doubt = serde_json::from_slice(answer.body()).ok()?;
    Some(doubt.transfer)
}

async fn run(
    load: Load,
    client: usize,
    address: SocketAddr,
    journal: Arc<Mutex<Journal>>,
    answered: Arc<watch::Sender<usize>>,
    stopping: Arc<AtomicBool>,
) {
    let Ok(mut connection) = Connection::open(address).await else {
        return;
    };
    for number in 0..load.each {
        if stopping.load(Ordering::SeqCst) {
            break;
        }
        let transfer = load.transfer(client, number);
        let noted = lock(&journal).sent(transfer.clone());
        match send(&mut connection, &transfer).await {
            Ok((outcome, answer)) => {
                let mut journal = lock(&journal);
                journal.answered(noted, outcome, place(&answer));
                if outcome == Outcome::Unknown {
                    journal.doubts.push(format!("{answer:?}"));
                }
                answered.send_modify(|answered| *answered += 1);
                if header(&answer, "connection") == Some("close") {
                    break;
                }
            }
            Err(error) => {
                lock(&journal)
                    .doubts
                    .push(format!("transfer {number} of a connection: {error}"));
                break;
            }
        }
    }
}

fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    // Nothing panics under this lock but a test that has failed.
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}
