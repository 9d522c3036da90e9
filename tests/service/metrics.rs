//! What operators are told of what was done.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::figures::Figures;
use crate::common::http::{Connection, get, post, request};
use crate::common::kvstore::Kvstore;
use crate::common::proxy::{Fate, Proxy};
use crate::common::splitdim::Splitdim;
use axum::http::Method;
use tokio::time::{Instant, sleep};

const OPS: [&str; 2] = ["--ops-listen", "127.0.0.1:0"];

/// Names that would stand out.
const PEOPLE: [&str; 3] = ["Ariadne", "Bartholomäus", "Cassiopeia"];

#[tokio::test]
async fn requests_and_transfers_are_counted() {
    let splitdim = Splitdim::in_memory(&OPS);
    let mut client = splitdim.connect().await;
    for _ in 0..7 {
        assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 200);
    }
    let far = (1 << 53) - 1;
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[2], far).await, 400);
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[0], 5).await, 400);
    for path in ["/api/accounts", "/api/clear", "/api/clear"] {
        assert_eq!(call(&mut client, &get(path)).await, 200);
    }
    let status = get("/api/v1/transfers/01a2046a-6733-71d3-80ad-6b1a88d62844");
    assert_eq!(call(&mut client, &status).await, 404);
    assert_eq!(call(&mut client, &get(&format!("/{}", "x"))).await, 404);
    let odd: Method = "BREW".parse().unwrap();
    assert_eq!(
        call(&mut client, &request(odd, "/api/reset", "")).await,
        405
    );

    let figures = splitdim.figures().await;
    let requests = |route, method, code| {
        let labels = [("route", route), ("method", method), ("code", code)];
        figures.get("splitdim_http_requests_total", &labels)
    };
    assert_eq!(requests("/api/transfer", "POST", "200"), Some(7.0));
    assert_eq!(requests("/api/transfer", "POST", "400"), Some(2.0));
    assert_eq!(requests("/api/accounts", "GET", "200"), Some(1.0));
    assert_eq!(requests("/api/clear", "GET", "200"), Some(2.0));
    assert_eq!(requests("/api/v1/transfers/{id}", "GET", "404"), Some(1.0));
    assert_eq!(requests("other", "GET", "404"), Some(1.0));
    assert_eq!(requests("/api/reset", "other", "405"), Some(1.0));
    assert_eq!(figures.sum("splitdim_http_requests_total"), 15.0);
    assert_eq!(
        figures.sum("splitdim_http_request_duration_seconds_count"),
        15.0
    );

    assert_eq!(outcome(&figures, "done"), 7.0);
    assert_eq!(outcome(&figures, "refused"), 1.0);
    assert_eq!(figures.sum("splitdim_transfers_total"), 8.0);
    assert!(figures.one("splitdim_transfer_tries_total") >= 8.0);
    assert!(figures.one("splitdim_commit_duration_seconds_count") >= 7.0);
    // One snapshot, one search.
    assert_eq!(figures.one("splitdim_settle_duration_seconds_count"), 1.0);
    // One debtor, one creditor, one payment.
    assert_eq!(figures.one("splitdim_settle_minimal"), 1.0);
    // Two creditors, two debtors, and three payments: it could be two, as far as is known.
    for (sender, receiver, amount) in [("a", "b", 3), ("c", "b", 1), ("c", "d", 2)] {
        assert_eq!(transfer(&mut client, sender, receiver, amount).await, 200);
    }
    assert_eq!(call(&mut client, &get("/api/clear")).await, 200);
    assert_eq!(splitdim.figures().await.one("splitdim_settle_minimal"), 0.0);
    assert_eq!(figures.one("splitdim_retry_budget"), 16.0);
    assert_eq!(figures.one("splitdim_quarantined"), 0.0);
    assert_eq!(figures.one("splitdim_open_transfers"), 0.0);
    assert_eq!(figures.one("splitdim_oldest_open_transfer_seconds"), 0.0);
    nobody_is_named(&figures);
}

#[tokio::test]
async fn every_process_tells_of_itself() {
    let splitdim = Splitdim::in_memory(&OPS);
    let kvstore = Kvstore::in_memory(&OPS);
    let resident = splitdim.process.resident() as f64;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let figures = splitdim.figures().await;
    assert_eq!(figures.get("splitdim_build_info", &version), Some(1.0));
    let told = figures.one("process_resident_memory_bytes");
    assert!(told > 0.5 * resident && told < 2.0 * resident, "{told}");
    assert!(figures.one("process_cpu_seconds_total") < 30.0);
    let open = figures.one("process_open_fds");
    assert!(
        open >= 5.0 && open < figures.one("process_max_fds"),
        "{open}"
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.unwrap().as_secs_f64() - figures.one("process_start_time_seconds");
    assert!((-2.0..60.0).contains(&age), "{age}");

    let figures = Figures::of(kvstore.process.operators().unwrap()).await;
    assert_eq!(figures.get("kvstore_build_info", &version), Some(1.0));
    assert_eq!(figures.kind("process_cpu_seconds"), Some("counter"));
}

#[tokio::test]
async fn a_store_tells_of_its_requests_its_commits_and_its_syncs() {
    let kvstore = Kvstore::on_disk(&OPS);
    let splitdim = Splitdim::replica("resilientkvstore", kvstore.address, &OPS);
    let mut client = splitdim.connect().await;
    for _ in 0..3 {
        assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 200);
    }
    let stale = post("/api/put", r#"{"key":"Ariadne","value":"7","version":0}"#);
    let mut store = kvstore.connect().await;
    assert_eq!(call(&mut store, &stale).await, 428);
    let figures = Figures::of(kvstore.process.operators().unwrap()).await;
    let puts = |code| {
        let labels = [("route", "/api/put"), ("method", "POST"), ("code", code)];
        figures.get("kvstore_http_requests_total", &labels)
    };
    assert!(puts("200") >= Some(9.0), "{:?}", puts("200"));
    assert_eq!(puts("428"), Some(1.0));
    let commits = figures.one("kvstore_commit_duration_seconds_count");
    assert!(commits >= 9.0);
    // Each takes one.
    assert!(figures.one("kvstore_fsync_duration_seconds_count") >= commits);
    let syncing = figures.one("kvstore_fsync_duration_seconds_sum");
    let committing = figures.one("kvstore_commit_duration_seconds_sum");
    assert!(syncing > 0.0 && committing > syncing);
    nobody_is_named(&figures);
    nobody_is_named(&splitdim.figures().await);
}

#[tokio::test]
async fn what_the_alerts_look_at_is_told() {
    let rules = include_str!("../../k8s/monitoring/rules.yaml");
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    // What comes after `(splitdim|kvstore)` is told by both.
    let of = |program: &str| -> BTreeSet<String> {
        let named = |word: &str| match word.strip_prefix(program) {
            Some(rest) => rest.starts_with('_').then(|| word.to_owned()),
            None => (word.starts_with('_') && !word.starts_with("__"))
                .then(|| format!("{program}{word}")),
        };
        words.clone().filter_map(named).collect()
    };
    let kvstore = Kvstore::on_disk(&OPS);
    let splitdim = Splitdim::in_memory(&OPS);
    let strange = |word: &&str| word.contains("_seconds") || word.ends_with("_total");
    for word in words.clone().filter(strange) {
        let own = ["splitdim_", "kvstore_", "_"];
        assert!(own.iter().any(|prefix| word.starts_with(prefix)), "{word}");
    }
    let mut looked_at = 0;
    for (program, figures) in [
        ("splitdim", splitdim.figures().await),
        (
            "kvstore",
            Figures::of(kvstore.process.operators().unwrap()).await,
        ),
    ] {
        for name in of(program) {
            assert!(figures.has(&name), "{program} tells of no {name}");
            looked_at += 1;
        }
    }
    assert!(looked_at >= 5, "{looked_at}");
}

#[tokio::test]
async fn conflicts_tries_and_retries_are_counted() {
    let kvstore = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(kvstore.address).await;
    // What is spent does not come back by itself.
    let arguments = [&OPS[..], &["--spare-retries", "0"]].concat();
    let splitdim = Splitdim::replica("transactionalkvstore", proxy.address, &arguments);
    let mut client = splitdim.connect().await;
    let before = splitdim.figures().await;
    // What comes second meets what came first.
    proxy.rule(|seen| match (seen.path, seen.before) {
        ("/api/transaction", 0) => Fate::Twice,
        ("/api/transaction", 2) => Fate::Refuse(500),
        _ => Fate::Pass,
    });
    for _ in 0..2 {
        assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 200);
    }
    proxy.rule(|seen| match seen.path {
        "/api/transaction" => Fate::Refuse(404),
        _ => Fate::Pass,
    });
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 503);
    let figures = splitdim.figures().await;
    assert_eq!(before.one("splitdim_store_conflicts_total"), 0.0);
    assert!(figures.one("splitdim_store_conflicts_total") >= 1.0);
    assert!(figures.one("splitdim_transfer_tries_total") >= 5.0);
    assert!(figures.one("splitdim_retry_budget") < 16.0);
    assert_eq!(outcome(&figures, "done"), 2.0);
    assert_eq!(outcome(&figures, "not_applied"), 1.0);
    assert_eq!(figures.sum("splitdim_transfers_total"), 3.0);
}

#[tokio::test]
async fn a_transfer_is_counted_once_as_its_client_was_told() {
    let kvstore = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(kvstore.address).await;
    let arguments = [&OPS[..], &["--answer-within", "300ms"]].concat();
    let splitdim = Splitdim::replica("resilientkvstore", proxy.address, &arguments);
    let mut client = splitdim.connect().await;
    // It is answered before it is made, and made all the same.
    proxy.rule(|seen| match seen.path {
        "/api/put" => Fate::SlowAnswer(Duration::from_millis(200)),
        _ => Fate::Pass,
    });
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 503);
    kvstore.comes_to_rest(Duration::from_secs(10)).await;
    // Whoever has gone is told nothing; the transfer is counted as what became of it.
    let puts = proxy.requests("/api/put");
    let mut gone = splitdim.connect().await;
    let body = r#"{"sender":"Cassiopeia","receiver":"Ariadne","amount":1}"#;
    let bytes = crate::common::http::bytes(&post("/api/transfer", body));
    gone.write(&bytes).await.unwrap();
    while proxy.requests("/api/put") == puts {
        sleep(Duration::from_millis(5)).await;
    }
    gone.reset().unwrap();
    proxy.heal();
    let figures = eventually(&splitdim, |figures| {
        figures.sum("splitdim_transfers_total") >= 2.0
    })
    .await;
    assert_eq!(outcome(&figures, "unknown"), 1.0);
    assert_eq!(outcome(&figures, "done"), 1.0);
}

#[tokio::test]
async fn what_is_open_and_a_quarantine_are_told() {
    let kvstore = Kvstore::in_memory(&[]);
    let proxy = Proxy::start(kvstore.address).await;
    let patience = [
        "--quarantine-after=2s",
        "--stale-after=1s",
        "--sweep-every=100ms",
        "--answer-within=300ms",
    ];
    let arguments = [&OPS[..], &patience].concat();
    let splitdim = Splitdim::replica("resilientkvstore", proxy.address, &arguments);
    let mut client = splitdim.connect().await;
    proxy.rule(|seen| match seen.puts(PEOPLE[1]) {
        true => Fate::Refuse(503),
        false => Fate::Pass,
    });
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[1], 5).await, 503);
    let figures = eventually(&splitdim, |figures| {
        figures.one("splitdim_quarantined") == 1.0
    })
    .await;
    assert_eq!(figures.one("splitdim_open_transfers"), 1.0);
    assert!(figures.one("splitdim_oldest_open_transfer_seconds") >= 2.0);
    assert_eq!(transfer(&mut client, PEOPLE[0], PEOPLE[2], 5).await, 503);
    assert_eq!(outcome(&splitdim.figures().await, "quarantined"), 1.0);

    proxy.heal();
    let figures = eventually(&splitdim, |figures| {
        figures.one("splitdim_quarantined") == 0.0
    })
    .await;
    assert_eq!(figures.one("splitdim_open_transfers"), 0.0);
    assert_eq!(figures.one("splitdim_oldest_open_transfer_seconds"), 0.0);
    nobody_is_named(&figures);
}

#[test]
fn what_is_no_openmetrics_is_not_read() {
    let one = "# HELP a_b Help\n# TYPE a_b gauge\na_b 1\n";
    let histogram = "# HELP h Help\n# TYPE h histogram\nh_sum 1.5\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n";
    let read = |text: &str| Figures::parse(format!("{text}# EOF\n"));
    assert_eq!(read(one).unwrap().one("a_b"), 1.0);
    assert_eq!(read(histogram).unwrap().one("h_count"), 2.0);
    let wrong = [
        one.replace("# TYPE a_b gauge\n", ""),
        one.replace("# HELP a_b Help\n", ""),
        one.replace("gauge", "counter"),
        one.replace("a_b 1", "a_c 1"),
        one.replace("a_b 1", "a_b x"),
        one.replace("a_b 1", "a_b{x=\"1\",x=\"2\"} 1"),
        format!("{one}a_b 2\n"),
        format!("{one}{one}"),
        histogram.replace("h_count 2", "h_count 3"),
        histogram.replace("} 1", "} 3"),
        histogram.replace("1.0", "+Inf"),
        histogram.replace("h_sum 1.5\n", ""),
    ];
    for text in wrong {
        assert!(read(&text).is_err(), "{text}");
    }
    assert!(Figures::parse(one.to_owned()).is_err());
}

async fn call(client: &mut Connection, request: &axum::http::Request<axum::body::Bytes>) -> u16 {
    let answer = client.call(request).await.expect("it answers");
    answer.status().as_u16()
}

async fn transfer(client: &mut Connection, sender: &str, receiver: &str, amount: i64) -> u16 {
    let body = serde_json::json!({ "sender": sender, "receiver": receiver, "amount": amount });
    call(client, &post("/api/transfer", body.to_string())).await
}

fn outcome(figures: &Figures, outcome: &str) -> f64 {
    let count = figures.get("splitdim_transfers_total", &[("outcome", outcome)]);
    count.expect("every outcome is told")
}

fn nobody_is_named(figures: &Figures) {
    for person in PEOPLE {
        assert!(!figures.text.contains(person), "{}", figures.text);
    }
}

/// The first figures that are as they should be.
async fn eventually(splitdim: &Splitdim, is_so: impl Fn(&Figures) -> bool) -> Figures {
    let begun = Instant::now();
    loop {
        let figures = splitdim.figures().await;
        if is_so(&figures) {
            return figures;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            figures.text
        );
        sleep(Duration::from_millis(50)).await;
    }
}
