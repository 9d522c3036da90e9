//! A store that is slow, silent, stopped or gone, while transfers keep coming that are made in single
//! puts: each is answered in time, the store is not flooded, nothing is quarantined and nothing piles
//! up; and when the store is back, so is the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::exact::{Journal, Outcome};
use crate::common::kvstore::Kvstore;
use crate::common::load::Load;
use crate::common::offered::{Offer, Offered};
use crate::common::process::Signal;
use crate::common::proxy::{Fate, Proxy, Seen};
use crate::common::splitdim::Splitdim;
use tokio::time::{Instant, sleep};

const MODE: &str = "resilientkvstore";

/// Everything is answered in this time, whatever the store does.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// In this time after the trouble all is as before.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// What a busy machine may add to either before a test fails.
const SLACK: Duration = Duration::from_secs(1);

const PER_SECOND: u32 = 120;

/// Requests of one transfer that was under way when the trouble began, by its saga: it had read and
/// put already, or was just about to.
const OF_ONE_UNDER_WAY: usize = 5;

/// Requests of what nobody offers, and of what was offered in the moment that this test took to
/// begin the trouble.
const OTHERS: usize = 50;

const SHORT: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(30);

/// How much more memory may be in use while nothing can be finished.
const MAX_GROWTH: u64 = 32 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Each request arrives two seconds late.
    Slow,
    /// Requests are taken, and nothing ever comes back.
    BlackHole,
    /// Connections stand, and new ones can be made, but nobody is behind them; what was sent is
    /// served when the store goes on.
    HalfOpen,
    /// The store was killed, and comes back with what was on its disk.
    Down,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow() {
    outlives(Trouble::Slow, SHORT, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole() {
    outlives(Trouble::BlackHole, SHORT, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_with_nobody_behind_them() {
    outlives(Trouble::HalfOpen, SHORT, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down() {
    outlives(Trouble::Down, SHORT, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_while_few_people_make_many_transfers() {
    outlives(Trouble::Down, SHORT, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn a_store_that_is_slow_for_long() {
    outlives(Trouble::Slow, LONG, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn a_black_hole_for_long() {
    outlives(Trouble::BlackHole, LONG, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn connections_with_nobody_behind_them_for_long() {
    outlives(Trouble::HalfOpen, LONG, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn a_store_that_is_down_for_long() {
    outlives(Trouble::Down, LONG, 1000).await;
}

/// Offers transfers among so many people before, during and after so much of a trouble.
async fn outlives(trouble: Trouble, length: Duration, people: usize) {
    // The test has as many open connections as there are transfers that wait.
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised as far as is allowed");
    let mut store = Kvstore::on_disk(&[]);
    let proxy = Proxy::start(store.address).await;
    let replica = Splitdim::replica(MODE, proxy.address, &[]);
    let load = Load {
        clients: 1,
        each: 1_000_000,
        people,
        round: 0,
    };
    let offer = Offer {
        per_second: PER_SECOND,
        load,
    };
    let offering = offer.start(replica.address);
    sleep(Duration::from_secs(2)).await;

    let counts = Arc::<Counts>::default();
    let before = replica.process.resident();
    let begun = Instant::now();
    begin(trouble, &mut store, &proxy, &counts);
    let mut most = before;
    while begun.elapsed() < length {
        sleep(Duration::from_millis(100)).await;
        most = most.max(replica.process.resident());
    }
    // Until the last answer of what was offered meanwhile: its requests are counted too.
    let ended = Instant::now();
    let meanwhile = counts.so_far();
    end(trouble, &mut store, &proxy);
    sleep(BACK_WITHIN + SLACK + Duration::from_secs(1)).await;
    most = most.max(replica.process.resident());
    let offered = offering.ended().await;
    let (balances, rested) = store.comes_to_rest(Duration::from_secs(20)).await;

    let seen = Observed {
        trouble,
        begun,
        ended,
        offered,
        meanwhile,
        growth: most.saturating_sub(before),
        rested,
    };
    seen.report();
    // Money first.
    let mut journal = Journal::default();
    for offered in &seen.offered {
        journal.note(offered.transfer.clone(), offered.outcome);
    }
    assert_eq!(journal.check(&balances), Ok(()));
    assert_eq!(replica.balances().await, balances);
    seen.judge();
}

fn begin(trouble: Trouble, store: &mut Kvstore, proxy: &Proxy, counts: &Arc<Counts>) {
    let counts = Arc::clone(counts);
    let fate = match trouble {
        Trouble::Slow => Fate::Late(Duration::from_secs(2)),
        Trouble::BlackHole => Fate::Swallow,
        Trouble::HalfOpen => {
            store.process.signal(Signal::STOP);
            Fate::Pass
        }
        Trouble::Down => {
            store.process.kill();
            // Whoever is connected sees it end.
            proxy.cut();
            Fate::Pass
        }
    };
    proxy.rule(move |seen| {
        counts.note(seen);
        fate
    });
}

fn end(trouble: Trouble, store: &mut Kvstore, proxy: &Proxy) {
    match trouble {
        Trouble::Slow | Trouble::BlackHole => {}
        Trouble::HalfOpen => store.process.signal(Signal::CONT),
        Trouble::Down => store.restart_in_place(),
    }
    proxy.heal();
}

/// What was asked of the store.
#[derive(Debug, Default)]
struct Counts {
    /// Reads and writes of transfers.
    gets: AtomicUsize,
    puts: AtomicUsize,
    /// Those of the sweeper.
    lists: AtomicUsize,
    quarantine: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Meanwhile {
    gets: usize,
    puts: usize,
    lists: usize,
    quarantine: usize,
}

impl Counts {
    fn note(&self, seen: &Seen<'_>) {
        let count = match seen.path {
            "/api/list" => &self.lists,
            "/api/get" if seen.query == "id=%21quarantine" => &self.quarantine,
            "/api/get" => &self.gets,
            _ => &self.puts,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn so_far(&self) -> Meanwhile {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        Meanwhile {
            gets: read(&self.gets),
            puts: read(&self.puts),
            lists: read(&self.lists),
            quarantine: read(&self.quarantine),
        }
    }
}

/// What there was to see.
#[derive(Debug)]
struct Observed {
    trouble: Trouble,
    begun: Instant,
    ended: Instant,
    offered: Vec<Offered>,
    meanwhile: Meanwhile,
    growth: u64,
    rested: Duration,
}

impl Observed {
    fn judge(&self) {
        for offered in &self.offered {
            assert!(offered.took < ANSWER_WITHIN + SLACK, "{offered:?}");
            match offered.status {
                200 => assert_eq!(offered.text, ""),
                503 => assert!(
                    offered.text.contains(r#""outcome":"not_applied""#)
                        || offered.text.contains(r#""outcome":"unknown""#),
                    "{offered:?}"
                ),
                _ => panic!("{offered:?}"),
            }
            let before = offered.begun + offered.took < self.begun;
            let after = offered.begun > self.ended + BACK_WITHIN + SLACK;
            if before || after {
                assert_eq!(offered.outcome, Outcome::Done, "{offered:?}");
            }
        }
        assert!(self.is_done().any(|done| done.begun < self.begun));
        let after = self.ended + BACK_WITHIN + SLACK;
        assert!(self.is_done().any(|done| done.begun > after));
        // Else there was no trouble. What was begun just before it may have got through.
        let mut during = self
            .is_done()
            .filter(|done| done.begun > self.begun && done.begun + done.took < self.ended);
        assert!(during.next().is_none(), "a transfer was made meanwhile");

        assert!(self.growth < MAX_GROWTH, "{} bytes more", self.growth);

        let (requests, offered) = (self.requests(), self.offered_meanwhile());
        assert!(offered > 100);
        assert!(requests > 0);
        // Few, unless the machine stood still just then.
        let under_way = self.under_way() * OF_ONE_UNDER_WAY + OTHERS;
        assert!(
            requests * 10 <= offered * 11 + under_way * 10,
            "{requests} requests for {offered} transfers, and {under_way} of what was under way: {:?}",
            self.meanwhile
        );
    }

    fn is_done(&self) -> impl Iterator<Item = &Offered> {
        let done = |offered: &&Offered| offered.outcome == Outcome::Done;
        self.offered.iter().filter(done)
    }

    fn offered_meanwhile(&self) -> usize {
        let meanwhile =
            |offered: &&Offered| offered.begun >= self.begun && offered.begun < self.ended;
        self.offered.iter().filter(meanwhile).count()
    }

    /// How many transfers had no answer yet when the trouble began.
    fn under_way(&self) -> usize {
        let waiting = |offered: &&Offered| {
            offered.begun < self.begun && offered.begun + offered.took > self.begun
        };
        self.offered.iter().filter(waiting).count()
    }

    fn requests(&self) -> usize {
        self.meanwhile.gets + self.meanwhile.puts
    }

    #[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
    fn report(&self) {
        let count = |outcome| {
            let same = |offered: &&Offered| offered.outcome == outcome;
            self.offered.iter().filter(same).count()
        };
        let slowest = self.offered.iter().map(|offered| offered.took).max();
        let last_failed = self
            .offered
            .iter()
            .filter(|offered| offered.outcome != Outcome::Done)
            .map(|offered| offered.begun.saturating_duration_since(self.ended))
            .max();
        let first_done = self
            .is_done()
            .filter_map(|done| (done.begun + done.took).checked_duration_since(self.ended))
            .min();
        println!(
            "{:?}: {} done, {} not applied, {} unknown, the slowest answer took {slowest:?}; for {} transfers \
             meanwhile {} requests ({} gets, {} puts), and of the sweeper {} lists, {} looks for a quarantine; {} KiB more; first done {first_done:?} after it, the last that failed \
             begun {last_failed:?} after it; at rest {:?} later",
            self.trouble,
            count(Outcome::Done),
            count(Outcome::NotApplied),
            count(Outcome::Unknown),
            self.offered_meanwhile(),
            self.requests(),
            self.meanwhile.gets,
            self.meanwhile.puts,
            self.meanwhile.lists,
            self.meanwhile.quarantine,
            self.growth / 1024,
            self.rested,
        );
    }
}
