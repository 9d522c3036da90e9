//! Export and import, and what comes in from the original store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::kvstore::{Kvstore, command, text};
use splitdim::kv::{Entry, Kv, Listed, Put, Range, Stamp};
use tempfile::TempDir;

#[tokio::test]
async fn what_was_exported_can_be_imported() {
    let mut store = filled().await;
    let (entries, stamp) = list(&store.client()).await;
    assert!(entries.len() > 3 && stamp.epoch > 0);

    // While it runs, and nobody else may have the directory.
    let address = store.address.to_string();
    let running = exported(&["--addr", &address]);
    let refused = command(&["export", "--data", text(store.data())]);
    assert_refused(&refused, "in use");
    assert_eq!(refused.stdout, b"");
    store.stop().await;
    let offline = exported(&["--data", text(store.data())]);
    assert_eq!(running, offline);

    let target = empty();
    let output = import(&target, &running);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("imported {} entries", entries.len())));
    let imported = Kvstore::over(target);
    let (again, stamp_again) = list(&imported.client()).await;
    assert_eq!(again, entries);
    // So what was read from the first one is refused by this one.
    assert!(stamp_again.epoch > stamp.epoch && stamp_again.revision > stamp.revision);
    let late = imported
        .client()
        .put(put("k", "late", 2), Some(stamp.epoch))
        .await;
    assert!(late.is_err());
}

#[tokio::test]
async fn an_empty_store_can_be_exported_and_imported() {
    let mut store = Kvstore::on_disk(&[]);
    store.stop().await;
    let export = exported(&["--data", text(store.data())]);
    let target = empty();
    assert!(import(&target, &export).status.success());
    assert_eq!(list(&Kvstore::over(target).client()).await.0, []);
}

#[tokio::test]
async fn what_a_reset_leaves_behind_can_be_imported() {
    let store = filled().await;
    let (entries, stamp) = list(&store.client()).await;
    store.client().reset(None).await.unwrap();
    let copy = store
        .data()
        .join(format!("before-reset-{}.json", stamp.epoch));
    let target = empty();
    let output = command(&["import", "--data", text(target.path()), text(&copy)]);
    assert!(output.status.success(), "{}", said(&output));
    let (again, stamp_again) = list(&Kvstore::over(target).client()).await;
    assert_eq!(again, entries);
    assert!(stamp_again.epoch > stamp.epoch);
}

#[tokio::test]
async fn a_store_that_is_not_empty_is_not_imported_into() {
    let mut store = filled().await;
    let (entries, stamp) = list(&store.client()).await;
    let file = exported(&["--addr", &store.address.to_string()]);
    assert_refused(&import_into(store.data(), &file), "in use");
    store.stop().await;
    assert_refused(&import_into(store.data(), &file), "not empty");
    store.restart();
    assert_eq!(list(&store.client()).await, (entries, stamp));
}

#[tokio::test]
async fn a_store_that_was_reset_takes_an_import_and_goes_on_in_its_epoch() {
    let mut store = filled().await;
    let (entries, stamp) = list(&store.client()).await;
    let file = exported(&["--addr", &store.address.to_string()]);
    for _ in 0..5 {
        store.client().reset(None).await.unwrap();
    }
    store.stop().await;
    assert!(import_into(store.data(), &file).status.success());
    store.restart();
    let (again, stamp_again) = list(&store.client()).await;
    assert_eq!(again, entries);
    // Past the resets, and so far that it is not taken for one of them.
    assert_eq!(stamp_again.epoch, stamp.epoch + 5 + 1000);
}

#[tokio::test]
async fn a_damaged_export_is_refused_and_nothing_is_changed() {
    let mut store = filled().await;
    store.stop().await;
    let good = exported(&["--data", text(store.data())]);
    let lines: Vec<_> = good.lines().collect();
    let (head, tail) = (lines[0], lines[lines.len() - 1]);
    let without = |left_out: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != left_out);
        kept.map(|(_, line)| format!("{line}\n"))
            .collect::<String>()
    };
    let half = good.len() / 2;
    let half = (half..).find(|at| good.is_char_boundary(*at)).unwrap();
    let with_head = |member: &str, value: &str| {
        let mut head: serde_json::Value = serde_json::from_str(head).unwrap();
        head[member] = serde_json::from_str(value).unwrap();
        format!("{head}\n{tail}\n")
    };
    let newer = good.replacen("\"version\":1", "\"version\":2", 1);
    for (file, reason) in [
        (String::new(), "no export"),
        ("hello\n".to_owned(), "no export"),
        (
            "{\"format\":\"other\",\"version\":1,\"epoch\":0,\"revision\":0}\n".to_owned(),
            "no export",
        ),
        (without(0), "no export"),
        (newer, "version 2"),
        (with_head("version", "-1"), "\"version\""),
        (with_head("version", "1.5"), "\"version\""),
        (with_head("epoch", "\"0\""), "\"epoch\""),
        (with_head("epoch", "9007199254740993"), "\"epoch\""),
        (without(1), "cut off"),
        (without(lines.len() - 1), "cut off"),
        (format!("{head}\n"), "cut off"),
        (good[..half].to_owned(), ""),
        (good[..good.len() - 2].to_owned(), ""),
        (
            format!("{head}\n{}\n{}\n{{\"entries\":2}}\n", lines[1], lines[1]),
            "line 3",
        ),
        (
            format!("{head}\n{{\"key\":\"\",\"value\":\"\",\"version\":1}}\n{{\"entries\":1}}\n"),
            "line 2",
        ),
        (
            format!("{head}\n{{\"key\":\"k\",\"value\":\"\",\"version\":0}}\n{{\"entries\":1}}\n"),
            "line 2",
        ),
        (
            format!("{head}\n{{\"key\":\"k\",\"value\":1,\"version\":1}}\n{{\"entries\":1}}\n"),
            "line 2",
        ),
        (format!("{head}\n\n{tail}\n"), "line 2"),
        // Two exports in one file: the second must not be left out in silence.
        (format!("{good}{good}"), "after its end"),
        (format!("{good}\n"), "after its end"),
    ] {
        let target = empty();
        assert_refused(&import(&target, &file), reason);
        let (entries, stamp) = list(&Kvstore::over(target).client()).await;
        assert_eq!((entries, stamp.revision), (vec![], 0));
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let target = empty();
    let data = text(target.path());
    let nothing = target.path().join("nothing");
    assert_refused(
        &command(&["import", "--data", data, text(&nothing)]),
        "nothing",
    );
    assert_refused(
        &command(&["import-translog", "--data", data, text(&nothing)]),
        "nothing",
    );
    assert_refused(&command(&["export", "--data", text(&nothing)]), "no store");
    assert!(!nothing.exists(), "an export makes no store");
    // A port on which nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = command(&["export", "--addr", &address]);
    assert_refused(&output, &address);
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn the_log_of_the_original_can_be_imported() {
    let long = "l".repeat(70_000);
    let log = [
        line(1, "put", r#"{"key":"gone","value":"1","version":0}"#),
        line(2, "reset", ""),
        line(
            3,
            "put",
            r#"{"key":"John Smith","value":"a b\tc\nd","version":0}"#,
        ),
        line(
            4,
            "put",
            &format!(r#"{{"key":"long","value":"{long}","version":0}}"#),
        ),
        line(5, "put", r#"{"key":"John Smith","value":"2","version":1}"#),
        line(
            6,
            "transaction",
            r#"[{"key":"a","value":"3","version":0},{"key":"John Smith","value":"4","version":2}]"#,
        ),
    ]
    .concat();
    let target = empty();
    let output = import_translog(&target, &log, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let (entries, stamp) = list(&Kvstore::over(target).client()).await;
    assert_eq!(
        entries,
        [
            entry("John Smith", "4", 3),
            entry("a", "3", 1),
            entry("long", &long, 1)
        ]
    );
    assert!(stamp.epoch > 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_log_is_listed_and_the_rest_is_imported_if_wished() {
    let log = [
        line(1, "put", r#"{"key":"a","value":"1","version":0}"#),
        line(2, "delete", r#"{"key":"a"}"#),
        "no log\n".to_owned(),
        line(4, "put", r#"{"key":"a","value":"late","version":0}"#),
        line(5, "put", r#"{"key":"b","value":"early","version":2}"#),
        line(6, "put", r#"{"key":"c"}"#),
        line(7, "transaction", r#"[{"key":"d","value":"1","version":0}]"#),
        "8\tput\t{\"key\":\"torn\",\"va".to_owned(),
    ]
    .concat();
    let target = empty();
    let output = import_translog(&target, &log, &[]);
    assert_refused(&output, "nothing was imported");
    let complaints = said(&output);
    for wrong in [2, 3, 4, 5, 8] {
        assert!(
            complaints.contains(&format!(": line {wrong}: ")),
            "{complaints}"
        );
    }
    for right in [1, 6, 7] {
        assert!(
            !complaints.contains(&format!(": line {right}: ")),
            "{complaints}"
        );
    }
    assert!(complaints.contains("5 lines"), "{complaints}");

    let output = import_translog(&target, &log, &["--lenient"]);
    assert!(output.status.success(), "{}", said(&output));
    // They are listed all the same.
    assert_eq!(
        said(&output).matches(": line ").count(),
        5,
        "{}",
        said(&output)
    );
    let (entries, _) = list(&Kvstore::over(target).client()).await;
    assert_eq!(
        entries,
        [
            entry("a", "1", 1),
            entry("b", "early", 3),
            entry("c", "", 1),
            entry("d", "1", 1)
        ]
    );
}

#[tokio::test]
async fn a_log_is_not_imported_into_a_store_that_is_not_empty() {
    let mut store = filled().await;
    let before = list(&store.client()).await;
    store.stop().await;
    let log = line(1, "put", r#"{"key":"a","value":"1","version":0}"#);
    for flags in [&[][..], &["--lenient"]] {
        assert_refused(
            &import_translog_into(store.data(), &log, flags),
            "not empty",
        );
    }
    store.restart();
    assert_eq!(list(&store.client()).await, before);
}

/// A store with odd entries, of higher versions and a higher epoch than the first.
async fn filled() -> Kvstore {
    let store = Kvstore::on_disk(&[]);
    let kv = store.client();
    write(&kv, put("k", "before", 0)).await;
    kv.reset(None).await.expect("it resets");
    let long = "lång ".repeat(20_000);
    for (version, value) in (0..).zip(["1", "2", "3"]) {
        write(&kv, put("k", value, version)).await;
    }
    let odd = [
        "John Smith",
        "{\"entries\":1}",
        "a\nb\r\n",
        "\0",
        "🦀",
        "!t/1",
        "\u{feff}",
        "\u{2028}",
    ];
    for text in odd.iter().copied().chain([&*long]) {
        let key: String = text.chars().take(40).collect();
        write(&kv, put(&key, text, 0)).await;
    }
    store
}

async fn write(kv: &Kv, put: Put) {
    kv.put(put, None).await.expect("nobody else writes");
}

async fn list(kv: &Kv) -> (Vec<Entry>, Stamp) {
    match kv.list(Range::default(), None).await.expect("it lists") {
        Listed::Entries(entries, stamp) => {
            let entries = entries.all().await.expect("it lists to its end");
            (entries, stamp.expect("ours has stamps"))
        }
        Listed::Unchanged => panic!("nothing has changed since nothing"),
    }
}

fn exported(arguments: &[&str]) -> String {
    let output = command(&[&["export"], arguments].concat());
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

fn import(target: &TempDir, file: &str) -> Output {
    import_into(target.path(), file)
}

fn import_into(data: &Path, file: &str) -> Output {
    let (_directory, file) = written(file);
    command(&["import", "--data", text(data), text(&file)])
}

fn import_translog(target: &TempDir, log: &str, flags: &[&str]) -> Output {
    import_translog_into(target.path(), log, flags)
}

fn import_translog_into(data: &Path, log: &str, flags: &[&str]) -> Output {
    let (_directory, file) = written(log);
    command(
        &[
            &["import-translog", "--data", text(data), text(&file)],
            flags,
        ]
        .concat(),
    )
}

fn written(content: &str) -> (TempDir, PathBuf) {
    let directory = empty();
    let file = directory.path().join("file");
    fs::write(&file, content).expect("there is room for a file");
    (directory, file)
}

fn empty() -> TempDir {
    tempfile::tempdir().expect("there is room for a directory")
}

/// Asserts that a command has failed with one sentence, which contains `part`.
#[track_caller]
fn assert_refused(output: &Output, part: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("kvstore: ") && last.contains(part),
        "{part:?} is not in: {said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A line of the original's log.
fn line(sequence: u64, kind: &str, json: &str) -> String {
    format!("{sequence}\t{kind}\t{json}\n")
}

fn entry(key: &str, value: &str, version: u64) -> Entry {
    Entry {
        key: key.into(),
        value: value.into(),
        version,
    }
}

fn put(key: &str, value: &str, version: u64) -> Put {
    Put::new(key, value, version)
}
