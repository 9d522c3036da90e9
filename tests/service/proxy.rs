//! Each fault of the proxy really happens: else the tests that use it would prove nothing.

use std::time::Duration;

use crate::common::http::{Answer, Connection, get, is_cut, post};
use crate::common::kvstore::Kvstore;
use crate::common::proxy::{Fate, Proxy};
use tokio::time::{Instant, sleep, timeout};

#[tokio::test]
async fn what_it_does_not_disturb_passes_and_is_counted_by_path() {
    let (store, proxy) = pair().await;
    let mut client = connect(&proxy).await;
    assert_eq!(put(&mut client, "a", 0).await.status(), 200);
    let through = client.call(&get("/api/get?id=a")).await.unwrap();
    assert_eq!(&through.body()[..], br#"{"value":"a0","version":1}"#);
    assert_eq!(version(&store, "a").await, 1);
    assert_eq!(client.call(&get("/nothing")).await.unwrap().status(), 404);

    assert_eq!(proxy.requests("/api/put"), 1);
    assert_eq!(proxy.requests("/api/get"), 1);
    assert_eq!(proxy.requests("/api/list"), 0);
    assert_eq!((proxy.all_requests(), proxy.disturbed()), (3, 0));
}

#[tokio::test]
async fn an_answer_that_is_dropped_was_given() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::DropAnswer);
    assert_cut(&mut connect(&proxy).await, "a").await;
    assert_eq!(version(&store, "a").await, 1);
    assert_eq!(proxy.disturbed(), 1);
}

#[tokio::test]
async fn a_request_that_is_sent_twice_arrives_twice_and_the_second_answer_is_given() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::Twice);
    let answer = put(&mut connect(&proxy).await, "a", 0).await;
    assert_eq!(answer.status(), 428);
    assert_eq!((arrived(&store).await, version(&store, "a").await), (2, 1));
    assert_eq!(proxy.requests("/api/put"), 1);
}

#[tokio::test]
async fn a_request_that_is_sent_again_later_is_answered_at_once() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::Again(Duration::from_millis(500)));
    assert_eq!(put(&mut connect(&proxy).await, "a", 0).await.status(), 200);
    assert_eq!(arrived(&store).await, 1);
    while arrived(&store).await < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(version(&store, "a").await, 1);
}

#[tokio::test]
async fn a_late_request_arrives_even_if_its_client_has_left() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::Late(Duration::from_secs(1)));
    let mut client = connect(&proxy).await;
    let waited = timeout(Duration::from_millis(50), put(&mut client, "a", 0)).await;
    assert!(waited.is_err(), "it was answered at once");
    drop(client);
    assert_eq!(version(&store, "a").await, 0);
    while version(&store, "a").await < 1 {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_slow_answer_is_to_a_request_that_was_served_at_once() {
    const DELAY: Duration = Duration::from_secs(1);
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::SlowAnswer(DELAY));
    let begun = Instant::now();
    let mut client = connect(&proxy).await;
    let answer = tokio::spawn(async move { put(&mut client, "a", 0).await });
    while version(&store, "a").await < 1 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(!answer.is_finished(), "it was answered at once");
    assert_eq!(answer.await.unwrap().status(), 200);
    assert!(begun.elapsed() >= DELAY);
}

#[tokio::test]
async fn what_is_refused_was_not_served_and_others_pass() {
    let (store, proxy) = pair().await;
    proxy.rule(|seen| match seen.puts("a b") {
        true => Fate::Refuse(500),
        false => Fate::Pass,
    });
    let mut client = connect(&proxy).await;
    assert_eq!(put(&mut client, "a b", 0).await.status(), 500);
    assert_eq!(put(&mut client, "a", 0).await.status(), 200);
    let both = r#"[{"key":"c","value":"","version":0},{"key":"a b","value":"","version":0}]"#;
    let answer = client.call(&post("/api/transaction", both)).await.unwrap();
    assert_eq!(answer.status(), 500);
    let read = client.call(&get("/api/get?id=a+b")).await.unwrap();
    assert_eq!(&read.body()[..], br#"{"value":"","version":0}"#);
    assert_eq!(
        (version(&store, "a").await, version(&store, "c").await),
        (1, 0)
    );
    assert_eq!(proxy.disturbed(), 2);
}

#[tokio::test]
async fn a_third_of_the_puts_can_be_refused() {
    let (store, proxy) = pair().await;
    proxy.rule(|seen| match seen.path == "/api/put" && seen.is_among(33) {
        true => Fate::Refuse(500),
        false => Fate::Pass,
    });
    let mut client = connect(&proxy).await;
    let mut refused = Vec::new();
    for number in 0..100 {
        match put(&mut client, &format!("key {number}"), 0)
            .await
            .status()
            .as_u16()
        {
            200 => {}
            500 => refused.push(number),
            other => panic!("put {number} was answered {other}"),
        }
    }
    assert_eq!(refused.len(), 33);
    assert!(
        refused
            .windows(2)
            .all(|two| (3..=4).contains(&(two[1] - two[0])))
    );
    assert_eq!(arrived(&store).await, 67);
}

#[tokio::test]
async fn a_request_that_is_cut_did_not_arrive() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::Cut);
    assert_cut(&mut connect(&proxy).await, "a").await;
    assert_eq!(arrived(&store).await, 0);
}

#[tokio::test]
async fn a_black_hole_takes_requests_and_says_nothing_until_it_is_healed() {
    let (store, proxy) = pair().await;
    proxy.rule(|_| Fate::Swallow);
    let mut client = connect(&proxy).await;
    let waited = timeout(Duration::from_millis(200), put(&mut client, "a", 0)).await;
    assert!(waited.is_err(), "it was answered");
    assert_eq!((proxy.requests("/api/put"), arrived(&store).await), (1, 0));
    proxy.heal();
    assert_eq!(put(&mut connect(&proxy).await, "a", 0).await.status(), 200);
}

#[tokio::test]
async fn all_connections_can_be_cut_and_new_ones_go_where_the_proxy_is_told() {
    let (first, proxy) = pair().await;
    let second = Kvstore::in_memory(&[]);
    let mut client = connect(&proxy).await;
    assert_eq!(put(&mut client, "a", 0).await.status(), 200);
    proxy.forward_to(second.address);
    assert!(client.is_ended().await);
    assert_eq!(put(&mut connect(&proxy).await, "b", 0).await.status(), 200);
    assert_eq!(
        (version(&first, "b").await, version(&second, "b").await),
        (0, 1)
    );
    let mut client = connect(&proxy).await;
    drop(proxy);
    assert!(client.is_ended().await);
}

async fn pair() -> (Kvstore, Proxy) {
    // Which counts what arrives.
    let store = Kvstore::in_memory(&["--fault-injection"]);
    let proxy = Proxy::start(store.address).await;
    (store, proxy)
}

async fn connect(proxy: &Proxy) -> Connection {
    Connection::open(proxy.address).await.expect("it answers")
}

async fn put(client: &mut Connection, key: &str, version: u64) -> Answer {
    let body =
        serde_json::json!({ "key": key, "value": format!("{key}{version}"), "version": version });
    client
        .call(&post("/api/put", body.to_string()))
        .await
        .expect("it answers")
}

async fn assert_cut(client: &mut Connection, key: &str) {
    let body = serde_json::json!({ "key": key, "value": "", "version": 0 });
    let answer = client.call(&post("/api/put", body.to_string())).await;
    assert!(answer.is_err_and(|error| is_cut(&error)));
}

/// The version of `key`, asked of the store itself.
async fn version(store: &Kvstore, key: &str) -> u64 {
    store
        .client()
        .get(key.into())
        .await
        .expect("it answers")
        .0
        .version
}

/// How many puts have arrived at the store.
async fn arrived(store: &Kvstore) -> u64 {
    let answer = store
        .connect()
        .await
        .call(&get("/api/fault"))
        .await
        .expect("it answers");
    let report: serde_json::Value = serde_json::from_slice(answer.body()).expect("it answers");
    report["requests"]["/api/put"].as_u64().unwrap_or(0)
}
