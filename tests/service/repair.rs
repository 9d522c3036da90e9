//! `splitdim repair` on a ledger that another program has spoiled.

use std::process::{Command, Output};
use std::time::Duration;

use crate::common::http::{get, post};
use crate::common::kvstore::Kvstore;
use crate::common::splitdim::Splitdim;
use splitdim::kv::{Kv, Put};
use tokio::time::sleep;

#[tokio::test]
async fn a_whole_ledger_needs_no_repair() {
    let store = Kvstore::in_memory(&[]);
    transfer(&replica(&store), "a", "b", 200).await;
    let output = repair(&store, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("The balances sum to zero."));
}

#[tokio::test]
async fn a_wrong_balance_is_shown_and_set_to_what_the_records_say() {
    let store = Kvstore::in_memory(&[]);
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    transfer(&splitdim, "c", "b", 200).await;
    spoil(&store.client(), "a", "7").await;
    quarantined(&splitdim).await;

    let output = repair(&store, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("\"a\" has 7; by the records it is 1."),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("in quarantine"), "{}", said(&output));
    // It has only looked.
    assert_eq!(balance(&store.client(), "a").await, "7");

    let output = repair(&store, &["--apply", "--from-records"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(balance(&store.client(), "a").await, "1");
    sleep(Duration::from_secs(1)).await;
    transfer(&splitdim, "a", "b", 200).await;
}

#[tokio::test]
async fn an_operator_may_book_a_correction() {
    let store = Kvstore::in_memory(&[]);
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    spoil(&store.client(), "someone", "7").await;
    quarantined(&splitdim).await;

    // No record names them, so the records do not tell what they should have.
    let output = repair(&store, &["--apply", "--from-records"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("someone"), "{}", said(&output));

    let output = repair(&store, &["--apply", "--book", "someone=-7"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(balance(&store.client(), "someone").await, "0");
    sleep(Duration::from_secs(1)).await;
    transfer(&splitdim, "a", "b", 200).await;
    assert!(repair(&store, &[]).status.success());
}

#[test]
fn a_correction_that_cannot_be_is_a_mistake_of_the_command_line() {
    let output = splitdim(&["repair", "--apply", "--book", "someone"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("NAME=AMOUNT"), "{}", said(&output));
}

fn replica(store: &Kvstore) -> Splitdim {
    Splitdim::in_memory(&[
        "--mode",
        "resilientkvstore",
        "--addr",
        &store.address.to_string(),
    ])
}

fn repair(store: &Kvstore, arguments: &[&str]) -> Output {
    let address = store.address.to_string();
    let mut all = vec!["repair", "--mode", "resilientkvstore", "--addr", &*address];
    all.extend(arguments);
    splitdim(&all)
}

fn splitdim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
    command.args(arguments).output().expect("it runs")
}

fn said(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

async fn transfer(splitdim: &Splitdim, sender: &str, receiver: &str, status: u16) {
    let body = format!(r#"{{"sender":"{sender}","receiver":"{receiver}","amount":1}}"#);
    let mut client = splitdim.connect().await;
    let answer = client
        .call(&post("/api/transfer", body))
        .await
        .expect("it answers");
    assert_eq!(
        answer.status(),
        status,
        "{}",
        String::from_utf8_lossy(answer.body())
    );
}

/// Waits until transfers are refused.
async fn quarantined(splitdim: &Splitdim) {
    for _ in 0..100 {
        let mut client = splitdim.connect().await;
        assert_eq!(
            client
                .call(&get("/api/accounts"))
                .await
                .expect("it answers")
                .status(),
            200
        );
        let body = r#"{"sender":"a","receiver":"b","amount":0}"#;
        assert_eq!(
            client
                .call(&post("/api/transfer", body))
                .await
                .expect("it answers")
                .status(),
            400
        );
        let body = r#"{"sender":"a","receiver":"b","amount":9007199254740991}"#;
        let answer = client
            .call(&post("/api/transfer", body))
            .await
            .expect("it answers");
        if String::from_utf8_lossy(answer.body()).contains("\"outcome\":\"quarantined\"") {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the ledger was not quarantined within 10 s");
}

/// Another program's put.
async fn spoil(kv: &Kv, key: &str, value: &str) {
    // The sweeper is to have seen the ledger whole before.
    sleep(Duration::from_secs(4)).await;
    let (stored, _) = kv.get(key.into()).await.expect("it reads");
    let put = Put::new(key, value, stored.version);
    kv.put(put, None).await.expect("it writes");
}

async fn balance(kv: &Kv, key: &str) -> String {
    kv.get(key.into())
        .await
        .expect("it reads")
        .0
        .value
        .to_string()
}
