//! A store with very many keys.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::http::get;
use crate::common::kvstore::{Kvstore, command, text};
use tokio::time::Instant;

const KEYS: usize = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_keys_are_listed() {
    let data = tempfile::tempdir().expect("there is room for a directory");
    let file = data.path().join("export");
    fs::write(&file, export()).unwrap();
    let output = command(&["import", "--data", text(data.path()), text(&file)]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let begun = Instant::now();
    let store = Kvstore::over(data);
    let opened = begun.elapsed();
    let mut connection = store.connect().await;
    let resident = resident_mib(store.data());
    let begun = Instant::now();
    let list = connection.call(&get("/api/list")).await.unwrap();
    let listed = begun.elapsed();
    assert_eq!(list.status(), 200);
    assert_eq!(list.body(), &expected());

    let mut lists = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut connection = store.connect().await;
        lists.spawn(async move {
            connection
                .call(&get("/api/list"))
                .await
                .unwrap()
                .body()
                .len()
        });
    }
    let lengths = lists.join_all().await;
    assert!(lengths.iter().all(|length| *length == list.body().len()));
    report(
        opened,
        listed,
        list.body().len(),
        resident,
        resident_mib(store.data()),
    );
    assert!(opened < Duration::from_secs(5), "opening took {opened:?}");
}

fn export() -> String {
    let mut export =
        String::from("{\"format\":\"splitdim-store\",\"version\":1,\"epoch\":3,\"revision\":9}\n");
    for number in 0..KEYS {
        export.push_str(&entry(number));
        export.push('\n');
    }
    export + &format!("{{\"entries\":{KEYS}}}\n")
}

fn expected() -> String {
    let entries: Vec<_> = (0..KEYS).map(entry).collect();
    format!("[{}]", entries.join(","))
}

fn entry(number: usize) -> String {
    let (value, version) = (number as i64 - 50_000, number % 7 + 1);
    format!(r#"{{"key":"person {number:06}","value":"{value}","version":{version}}}"#)
}

/// The memory of the process that serves `data`, at its most.
fn resident_mib(data: &Path) -> u64 {
    let processes = fs::read_dir("/proc").expect("this is Linux");
    let process = processes
        .flatten()
        .map(|process| process.path())
        .find(|process| {
            let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
            arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == text(data).as_bytes())
        });
    let status = fs::read_to_string(process.expect("it runs").join("status"));
    let status = status.expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.expect("it is told")
        .parse::<u64>()
        .expect("it is a number")
        / 1024
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
fn report(opened: Duration, listed: Duration, length: usize, before: u64, after: u64) {
    println!(
        "{KEYS} keys: opened in {opened:?} (wanted: 1 s), listed in {listed:?} ({length} bytes); \
         {before} MiB resident before, {after} MiB after five lists, four of them at once"
    );
}
