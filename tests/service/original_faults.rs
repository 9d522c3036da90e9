//! The six faults of the original store, each of which lost money, must not come back.

use crate::common::http::{get, header, post};
use crate::common::kvstore::{Kvstore, command, text};
use crate::common::splitdim::Splitdim;
use splitdim::kv::{Conflict, Kv, KvError, Put};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_put_of_the_stored_value_looks_at_the_version_too() {
    let store = Kvstore::on_disk(&[]);
    let kv = store.client();
    kv.put(put("k", "1", 0), None).await.unwrap();
    // Two have read version 1, and both write the same value.
    kv.put(put("k", "2", 1), None).await.unwrap();
    assert_conflict(kv.put(put("k", "2", 1), None).await);
    assert_conflict(kv.transaction(vec![put("k", "2", 1)], None).await);
    assert_stored(&kv, "k", "2", 2).await;
    // Equal or not, a write raises the version.
    kv.put(put("k", "2", 2), None).await.unwrap();
    assert_stored(&kv, "k", "2", 3).await;
}

#[tokio::test]
async fn a_missing_key_takes_version_0_only() {
    let store = Kvstore::on_disk(&[]);
    let kv = store.client();
    for version in [1, 2, 7, u64::MAX - 1] {
        assert_conflict(kv.put(put("k", "old", version), None).await);
        assert_conflict(kv.transaction(vec![put("k", "old", version)], None).await);
    }
    assert_stored(&kv, "k", "", 0).await;
}

#[tokio::test]
async fn a_put_from_before_a_reset_does_not_match_after_it() {
    let store = Kvstore::on_disk(&[]);
    let kv = store.client();
    kv.put(put("k", "100", 0), None).await.unwrap();
    let (stored, stamp) = kv.get("k".into()).await.unwrap();
    let epoch = stamp.map(|stamp| stamp.epoch);
    kv.reset(None).await.unwrap();
    kv.put(put("k", "1", 0), None).await.unwrap();
    // The version is the same as it was before.
    assert_stored(&kv, "k", "1", stored.version).await;
    let late = put("k", "101", stored.version);
    assert_conflict(kv.put(late.clone(), epoch).await);
    assert_conflict(kv.transaction(vec![late], epoch).await);
    assert_stored(&kv, "k", "1", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_on_disk_in_the_order_of_the_versions() {
    const WRITERS: usize = 8;
    let mut store = Kvstore::on_disk(&[]);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let kv = store.client();
        writers.spawn(async move {
            let (mut acknowledged, mut newest) = (0, (0, String::new()));
            while acknowledged < 20 {
                let version = kv.get("k".into()).await.unwrap().0.version;
                let value = format!("{writer} {acknowledged}");
                match kv.put(put("k", &value, version), None).await {
                    Ok(_) => {
                        acknowledged += 1;
                        newest = (version + 1, value);
                    }
                    Err(KvError::Conflict(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            newest
        });
    }
    let (version, value) = writers.join_all().await.into_iter().max().unwrap();
    // At once, with no chance to write anything down.
    store.process.kill();
    store.restart();
    assert_eq!(version, 20 * WRITERS as u64);
    assert_stored(&store.client(), "k", &value, version).await;
}

#[tokio::test]
async fn any_value_is_there_after_a_crash() {
    let mut store = Kvstore::on_disk(&[]);
    let long = "l".repeat(70_000);
    let texts = [
        "John Smith",
        " ",
        "a\tb\nc\r\n",
        "",
        "{\"key\":\"k\"}",
        "é 🦀",
        "\0",
        &long,
    ];
    for text in texts {
        let kv = store.client();
        kv.put(put(&format!("key {text:.20}"), text, 0), None)
            .await
            .unwrap();
    }
    store.process.kill();
    store.restart();
    for text in texts {
        assert_stored(&store.client(), &format!("key {text:.20}"), text, 1).await;
    }
}

#[tokio::test]
async fn a_torn_last_line_of_the_original_does_not_keep_the_rest_away() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("transactions.log");
    let lines = "1\tput\t{\"key\":\"John Smith\",\"value\":\"7 or so\",\"version\":0}\n2\tput\t{\"key\":\"J";
    std::fs::write(&log, lines).unwrap();
    let output = command(&[
        "import-translog",
        "--lenient",
        "--data",
        text(data.path()),
        text(&log),
    ]);
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && complaints.contains("line 2"),
        "{complaints}"
    );
    let store = Kvstore::over(data);
    assert_stored(&store.client(), "John Smith", "7 or so", 1).await;
}

#[tokio::test]
async fn a_balance_that_is_no_number_is_not_overwritten() {
    let store = Kvstore::on_disk(&[]);
    let kv = store.client();
    kv.put(put("a", "seven", 0), None).await.unwrap();
    kv.put(put("zero", "", 0), None).await.unwrap();
    for mode in ["kvstore", "resilientkvstore", "transactionalkvstore"] {
        let splitdim = Splitdim::replica(mode, store.address, &[]);
        let mut client = splitdim.connect().await;
        for (sender, receiver) in [("a", "b"), ("b", "a"), ("zero", "b")] {
            let body = format!(r#"{{"sender":"{sender}","receiver":"{receiver}","amount":1}}"#);
            let answer = client.call(&post("/api/transfer", body)).await.unwrap();
            let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(answer.status(), 500);
            assert_eq!(problem["outcome"], "not_applied");
        }
        // The others' accounts can be read, and changed.
        let answer = client
            .call(&post(
                "/api/transfer",
                r#"{"sender":"c","receiver":"d","amount":1}"#,
            ))
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        let answer = client.call(&get("/api/accounts")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
        assert!(!splitdim.balances().await.0.contains_key("a"));
        assert_stored(&kv, "a", "seven", 1).await;
        assert_stored(&kv, "b", "", 0).await;
        assert_stored(&kv, "zero", "", 1).await;
    }
    // In single puts it takes two for each cell: one opens it, one puts it to rest.
    assert_stored(&kv, "c", "3", 5).await;
}

fn put(key: &str, value: &str, version: u64) -> Put {
    Put::new(key, value, version)
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(result: Result<T, KvError>) {
    let conflict = matches!(
        result,
        Err(KvError::Conflict(
            Conflict::Version { .. } | Conflict::Epoch { .. }
        ))
    );
    assert!(conflict, "{result:?}");
}

async fn assert_stored(kv: &Kv, key: &str, value: &str, version: u64) {
    let (stored, _) = kv.get(key.into()).await.expect("it reads");
    assert_eq!((&*stored.value, stored.version), (value, version), "{key}");
}
