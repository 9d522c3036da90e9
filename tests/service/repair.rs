//! `splitdim repair` on a ledger that another program has spoiled.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use crate::common::http::{get, post};
use crate::common::kvstore::Kvstore;
use crate::common::proxy::{Fate, Proxy};
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
    lifted(&splitdim).await;
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
    lifted(&splitdim).await;
    assert!(repair(&store, &[]).status.success());
}

#[tokio::test]
async fn records_that_corrections_have_unbalanced_set_no_balance() {
    let store = Kvstore::in_memory(&[]);
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    // Of somebody's change, and of what undid it, the records have only the second.
    put(&store.client(), "b", "3").await;
    let output = repair(&store, &["--apply", "--book", "b=-4"]);
    assert!(output.status.success(), "{}", said(&output));

    let output = repair(&store, &["--apply", "--from-records"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("sum to -4"), "{}", said(&output));
    assert_eq!(balance(&store.client(), "b").await, "-1");
    lifted(&splitdim).await;
}

#[tokio::test]
async fn records_that_nobody_would_write_are_shown_and_set_no_balance() {
    let store = Kvstore::in_memory(&[]);
    for (id, amount) in [("1", i64::MIN), ("2", i64::MIN), ("3", i64::MAX)] {
        let record =
            format!(r#"{{"result":"done","sender":"a","receiver":"b","amount":{amount}}}"#);
        put(&store.client(), &format!("!t/{id}"), &record).await;
    }
    let correction = format!(r#"{{"person":"c","by":{}}}"#, i64::MIN);
    put(&store.client(), "!c/1", &correction).await;
    let output = repair(&store, &[]);
    let told = r#""a" has no balance; by the records it is -9223372036854775809."#;
    assert!(said(&output).contains(told), "{}", said(&output));

    put(&store.client(), "!c/1", "").await;
    let output = repair(&store, &["--apply", "--from-records"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no balance"), "{}", said(&output));
    assert_eq!(balance(&store.client(), "a").await, "");
}

// The proxy goes on while the program is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_are_booked_once_whatever_becomes_of_the_answer() {
    let fates = [
        (Fate::Twice, true),
        (Fate::DropAnswer, true),
        (Fate::Cut, false),
    ];
    for (fate, is_told) in fates {
        let store = Kvstore::in_memory(&[]);
        let proxy = Proxy::start(store.address).await;
        proxy.rule(move |seen| match (seen.path, seen.before) {
            ("/api/transaction", 0) => fate,
            _ => Fate::Pass,
        });
        let book = [
            "--apply", "--book", "a=5", "--book", "b=-7", "--book", "b=2",
        ];
        let output = repair_at(proxy.address, &book);
        assert_eq!(output.status.success(), is_told, "{}", said(&output));
        if !is_told {
            let told = "no correction was booked";
            assert!(said(&output).contains(told), "{}", said(&output));
            assert_eq!(balance(&store.client(), "a").await, "");
            assert!(repair_at(proxy.address, &book).status.success());
        }
        assert_eq!(balance(&store.client(), "a").await, "5");
        assert_eq!(balance(&store.client(), "b").await, "-5");
        // The records say the same.
        let output = repair(&store, &[]);
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            !said(&output).contains("by the records"),
            "{}",
            said(&output)
        );
        transfer(&replica(&store), "a", "b", 200).await;
    }
}

// The proxy goes on while the program is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_stays_when_it_cannot_be_held() {
    let store = Kvstore::in_memory(&[]);
    let quarantine = r#"{"reason":"something is wrong","sum":0}"#;
    put(&store.client(), "!quarantine", quarantine).await;
    let proxy = Proxy::start(store.address).await;
    let holds = |body: &[u8]| String::from_utf8_lossy(body).contains("repair");
    proxy.rule(
        move |seen| match seen.puts("!quarantine") && holds(seen.body) {
            true => Fate::Cut,
            false => Fate::Pass,
        },
    );
    let output = repair_at(
        proxy.address,
        &["--apply", "--book", "a=5", "--book", "b=-5"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(balance(&store.client(), "!quarantine").await, quarantine);
    assert_eq!(balance(&store.client(), "a").await, "");
}

#[tokio::test]
async fn a_ledger_that_never_summed_to_zero_comes_to_it_by_what_is_booked_or_is_left_alone() {
    let store = Kvstore::in_memory(&[]);
    put(&store.client(), "imported", "7").await;
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    let output = repair(&store, &["--apply", "--book", "a=1", "--book", "b=-1"]);
    assert_unbooked(&output, 7, -7);
    transfer(&splitdim, "a", "b", 200).await;

    spoil(&store.client(), "someone", "5").await;
    quarantined(&splitdim).await;
    let output = repair(&store, &["--apply", "--book", "someone=-5"]);
    assert_unbooked(&output, 7, -12);
    assert_eq!(balance(&store.client(), "someone").await, "5");
    let book = ["--apply", "--book", "someone=-5", "--book", "imported=-7"];
    let output = repair(&store, &book);
    assert!(output.status.success(), "{}", said(&output));
    lifted(&splitdim).await;
}

#[tokio::test]
async fn corrections_that_would_leave_another_sum_than_zero_change_nothing() {
    let store = Kvstore::in_memory(&[]);
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    let (most, more) = (9_007_199_254_740_991, "a=9007199254740991");
    let output = repair(&store, &["--apply", "--book", more]);
    assert_unbooked(&output, most, 0);
    let output = repair(&store, &["--apply", "--book", more, "--book", more]);
    assert_unbooked(&output, 2 * most, 0);
    // No transfer was refused for it.
    transfer(&splitdim, "a", "b", 200).await;

    // The records are right about `a`, who needs nothing else.
    spoil(&store.client(), "a", "9").await;
    quarantined(&splitdim).await;
    let book = ["--apply", "--from-records", "--book", "a=-7"];
    assert_unbooked(&repair(&store, &book), -7, 0);
    assert_eq!(balance(&store.client(), "a").await, "9");
    let output = repair(&store, &["--apply", "--from-records"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(balance(&store.client(), "a").await, "2");
    lifted(&splitdim).await;
}

#[tokio::test]
async fn clients_are_told_nothing_else_than_is_so_after_a_repair_that_failed() {
    let store = Kvstore::in_memory(&[]);
    let splitdim = replica(&store);
    transfer(&splitdim, "a", "b", 200).await;
    put(&store.client(), "c", "x").await;
    let output = repair(&store, &["--apply", "--book", "c=1", "--book", "a=-1"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let output = repair(&store, &[]);
    let told = "The ledger is in quarantine: its repair was begun, and has not ended well so far.";
    assert!(said(&output).contains(told), "{}", said(&output));
}

#[tokio::test]
async fn what_comes_before_all_names_is_no_balance() {
    let store = Kvstore::in_memory(&[]);
    put(&store.client(), " bob", "-5").await;
    put(&store.client(), "ann", "5").await;
    let output = repair(&store, &[]);
    assert_eq!(output.status.code(), Some(1));
    for told in [
        "What is stored for \" bob\" is no balance.",
        "sum to 5 instead",
    ] {
        assert!(said(&output).contains(told), "{}", said(&output));
    }
}

#[test]
fn where_there_is_no_ledger_none_is_made_and_called_whole() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let missing = directory.path().join("missing");
    for data in [directory.path(), &missing] {
        let data = data.to_str().expect("the path is text");
        let output = splitdim(&["repair", "--data", data]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("no ledger in"), "{}", said(&output));
    }
    assert!(!missing.exists());
    assert_eq!(directory.path().read_dir().expect("it is there").count(), 0);
}

#[test]
fn a_correction_that_cannot_be_is_a_mistake_of_the_command_line() {
    let output = splitdim(&["repair", "--apply", "--book", "someone"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("NAME=AMOUNT"), "{}", said(&output));
}

fn replica(store: &Kvstore) -> Splitdim {
    Splitdim::replica("resilientkvstore", store.address, &[])
}

fn repair(store: &Kvstore, arguments: &[&str]) -> Output {
    repair_at(store.address, arguments)
}

fn repair_at(address: SocketAddr, arguments: &[&str]) -> Output {
    let address = address.to_string();
    let mut all = vec!["repair", "--mode", "resilientkvstore", "--addr", &*address];
    all.extend(arguments);
    splitdim(&all)
}

fn splitdim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_splitdim"));
    command.args(arguments).output().expect("it runs")
}

/// Asserts that no correction was booked, since the balances would sum to `sum` instead of zero, and that it is told
/// what all of them must come to.
#[track_caller]
fn assert_unbooked(output: &Output, sum: i64, needed: i64) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let told = format!("the balances would sum to {sum} instead of zero");
    assert!(said.contains(&told), "{said}");
    let told = format!("all corrections together must come to {needed}");
    assert!(said.contains(&told), "{said}");
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

/// Waits until a transfer is made.
async fn lifted(splitdim: &Splitdim) {
    let transfer = post(
        "/api/transfer",
        r#"{"sender":"a","receiver":"b","amount":1}"#,
    );
    for _ in 0..100 {
        let answer = splitdim.connect().await.call(&transfer).await;
        if answer.expect("it answers").status() == 200 {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the quarantine was not lifted within 10 s");
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
    put(kv, key, value).await;
}

async fn put(kv: &Kv, key: &str, value: &str) {
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
