//! Settings, and what is said where the program cannot start.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, ExitStatus};

use crate::common::http::{Connection, get};
use crate::common::process::Process;
use crate::common::splitdim::{PROGRAM, Splitdim};

#[tokio::test]
async fn the_start_line_says_address_mode_and_data() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("ledger");
    let data = data.to_str().unwrap();
    let mut process = Process::start(PROGRAM, &["--listen", "127.0.0.1:0", "--data", data], &[]);
    let line = process.wait_for("address=127.0.0.1:");
    assert!(
        line.contains("mode=\"local\"") && line.contains(data),
        "{line}"
    );

    let mut process = Process::start(PROGRAM, &["--listen", "127.0.0.1:0", "--in-memory"], &[]);
    let line = process.wait_for("address=127.0.0.1:");
    assert!(
        line.contains("mode=\"local\"") && line.contains("memory"),
        "{line}"
    );
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_default() {
    // The default of --in-memory is false; what is wrong in the environment does not matter where
    // there is a flag.
    let environment = [
        ("SPLITDIM_LISTEN", "127.0.0.1:0"),
        ("SPLITDIM_IN_MEMORY", "true"),
        ("KVSTORE_MODE", "local"),
        ("KVSTORE_ADDR", "localhost:1"),
        ("SPLITDIM_THREADS", "3"),
    ];
    let mut process = Process::start(PROGRAM, &[], &environment);
    let line = process.wait_for("address=127.0.0.1:");
    assert!(
        line.contains("memory only") && line.contains("threads=3"),
        "{line}"
    );

    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let arguments = [
        "--in-memory=false",
        "--data",
        data,
        "--threads",
        "2",
        "--mode",
        "local",
    ];
    let mut environment = environment.to_vec();
    environment.extend([("SPLITDIM_DATA", "/nowhere"), ("KVSTORE_MODE", "nonsense")]);
    let mut process = Process::start(PROGRAM, &arguments, &environment);
    let line = process.wait_for("address=127.0.0.1:");
    assert!(line.contains(data) && line.contains("threads=2"), "{line}");
}

#[tokio::test]
async fn what_is_set_but_empty_is_not_set() {
    let arguments = ["--listen", "127.0.0.1:0", "--in-memory"];
    let empty = [("SPLITDIM_OPS_LISTEN", ""), ("SPLITDIM_RESET_TOKEN", "")];
    let mut process = Process::start(PROGRAM, &arguments, &empty);
    process.wait_for("memory only");
}

#[tokio::test]
async fn the_log_is_json_on_request() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--in-memory",
        "--log-format",
        "json",
    ];
    let mut process = Process::start(PROGRAM, &arguments, &[]);
    let line = process.wait_for("listening");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["fields"]["mode"], "local");
    let address = line["fields"]["address"].as_str().unwrap().parse().unwrap();
    let mut client = Connection::open(address).await.unwrap();
    assert_eq!(client.call(&get("/healthz")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let arguments = [
        "--mode=remote",
        "--listen=8080",
        "--log-format=xml",
        "--idle-timeout=0",
    ];
    let environment = [
        ("SPLITDIM_GRACE_PERIOD", "soon"),
        ("SPLITDIM_MAX_CONNECTIONS", "-1"),
        ("SPLITDIM_THREADS", "many"),
        ("SPLITDIM_IN_MEMORY", "perhaps"),
    ];
    let (status, log) = refused(&arguments, &environment).await;
    assert_eq!(status.code(), Some(64), "{log}");
    let flags = [
        "--mode",
        "--listen",
        "--log-format",
        "--idle-timeout",
        "--grace-period",
        "--max-connections",
        "--threads",
        "--in-memory",
    ];
    for flag in flags {
        let told = log.lines().find(|line| line.contains(flag));
        let sentence = told.unwrap_or_else(|| panic!("{flag} is missing in:\n{log}"));
        assert!(sentence.ends_with('.'), "{sentence:?} is no sentence");
    }
    for value in ["remote", "8080", "xml", "soon", "-1", "many", "perhaps"] {
        assert!(
            log.contains(&format!("{value:?}")),
            "{value} is missing in:\n{log}"
        );
    }
}

#[tokio::test]
async fn both_programs_say_no_to_the_same() {
    for program in [PROGRAM, env!("CARGO_BIN_EXE_kvstore")] {
        let arguments = [
            "--in-memory",
            "--listen=127.0.0.1:9090",
            "--ops-listen=127.0.0.1:9090",
            "--idle-timeout=4s",
        ];
        let mut process = Process::start(program, &arguments, &[]);
        assert_eq!(process.ended().await.code(), Some(64));
        let log = process.log();
        assert!(
            log.contains("--ops-listen: ") && log.contains("--idle-timeout: "),
            "{log}"
        );
    }
}

#[tokio::test]
async fn an_unknown_flag_is_refused() {
    for arguments in [&["--nonsense"][..], &["extra"], &["--listen"]] {
        let (status, log) = refused(arguments, &[]).await;
        assert_eq!(status.code(), Some(64), "{log}");
        assert!(log.contains(arguments[0]), "{log}");
    }
}

#[tokio::test]
async fn nobody_listens_on_port_0() {
    let arguments = ["--mode=kvstore", "--addr=foo:0"];
    let (status, log) = refused(&arguments, &[]).await;
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("--addr: \"foo:0\" has port 0"), "{log}");
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    for program in [PROGRAM, env!("CARGO_BIN_EXE_kvstore")] {
        let prefix = if program == PROGRAM {
            "SPLITDIM"
        } else {
            "KVSTORE"
        };
        let variable = format!("{prefix}_GRACE_PERIOD");
        let output = Command::new(program)
            .arg("--in-memory")
            .env(&variable, OsStr::from_bytes(b"\xff"))
            // Paths may be any bytes.
            .env(format!("{prefix}_DATA"), OsStr::from_bytes(b"\xff"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&variable), "{said}");
        assert!(!said.contains("_DATA"), "{said}");
    }
}

#[tokio::test]
async fn a_repair_does_not_mind_who_may_reset() {
    // As in the pod of a server whose flags say that a token may.
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap(), "repair"];
    let environment = [("SPLITDIM_RESET_TOKEN", "secret")];
    let mut process = Process::start(PROGRAM, &arguments, &environment);
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(process.log().contains("no ledger in"), "{}", process.log());
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_refused() {
    let (status, log) = refused(&["--in-memory"], &[("RUST_LOG", "a=b=c")]).await;
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("RUST_LOG") && log.contains("a=b=c"), "{log}");
}

#[tokio::test]
async fn help_and_version_are_no_mistakes() {
    for (flag, part) in [("--help", "--max-connections"), ("--version", "splitdim")] {
        let mut process = Process::start(PROGRAM, &[flag], &[]);
        assert_eq!(process.ended().await.code(), Some(0));
        assert!(process.output().contains(part));
        assert_eq!(process.log(), "");
    }
}

#[tokio::test]
async fn memory_comes_from_mimalloc() {
    for program in [PROGRAM, env!("CARGO_BIN_EXE_kvstore")] {
        let mut process = Process::start(program, &["--version"], &[("MIMALLOC_SHOW_STATS", "1")]);
        process.ended().await;
        let log = process.log();
        let pages = log
            .lines()
            .find_map(|line| line.trim().strip_prefix("pages     :"));
        let most: Option<u32> =
            pages.and_then(|pages| pages.split_whitespace().next()?.parse().ok());
        assert!(most.is_some_and(|most| most > 0), "{log}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (status, log) = refused(&["--in-memory", "--listen", &address], &[]).await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert_sentence(&log, &[&address, "in use", "stop what listens there"]);
}

#[tokio::test]
async fn an_address_that_is_not_of_this_machine_is_told() {
    // The second is kept for documents.
    for address in ["nosuch.invalid:28099", "192.0.2.1:28099"] {
        let (status, log) = refused(&["--in-memory", "--listen", address], &[]).await;
        assert_eq!(status.code(), Some(1), "{log}");
        assert_sentence(&log, &[address, "choose an address of this machine"]);
        assert!(!log.contains("stop what listens"), "{log}");
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_told() {
    let first = Splitdim::on_disk(&[]);
    let data = first.data().to_str().unwrap();
    let (status, log) = refused(&["--data", data], &[]).await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert_sentence(&log, &[data, "in use by another process"]);
    let mut client = first.connect().await;
    assert_eq!(
        client.call(&get("/api/accounts")).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    let data = file.join("data");
    let (status, log) = refused(&["--data", data.to_str().unwrap()], &[]).await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert_sentence(&log, &[data.to_str().unwrap()]);
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_told_and_left_alone() {
    let mut splitdim = Splitdim::on_disk(&[]);
    let body = r#"{"sender":"a","receiver":"b","amount":1}"#;
    let transfer = crate::common::http::post("/api/transfer", body);
    assert_eq!(
        splitdim
            .connect()
            .await
            .call(&transfer)
            .await
            .unwrap()
            .status(),
        200
    );
    splitdim.stop().await;
    let file = splitdim.data().join(splitdim::store::FILE_NAME);
    let whole = fs::read(&file).unwrap();

    let mut flipped = whole.clone();
    for byte in &mut flipped[4096..] {
        *byte ^= 0x55;
    }
    let cut = whole[..whole.len() / 2].to_vec();
    let foreign = b"Dear diary, today I owed nobody anything.\n".repeat(500);
    for damaged in [flipped, cut, foreign, Vec::new()] {
        fs::write(&file, &damaged).unwrap();
        let (status, log) = refused(&["--data", splitdim.data().to_str().unwrap()], &[]).await;
        assert_eq!(status.code(), Some(1), "{log}");
        assert_sentence(&log, &[file.to_str().unwrap()]);
        assert!(fs::read(&file).unwrap() == damaged, "the file was changed");
    }

    fs::write(&file, whole).unwrap();
    splitdim.restart();
    assert_eq!(splitdim.balances().await.0["a"], 1);
}

/// Runs the program, which must not start, and tells how it ended.
async fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let listen = ["--listen", "127.0.0.1:0"];
    let named = arguments
        .iter()
        .any(|argument| argument.starts_with("--listen"));
    let arguments = if named {
        arguments.to_vec()
    } else {
        [&listen, arguments].concat()
    };
    let mut process = Process::start(PROGRAM, &arguments, environment);
    let status = process.ended().await;
    (status, process.log().to_owned())
}

/// Asserts that the last line is one for people, and names `parts`.
#[track_caller]
fn assert_sentence(log: &str, parts: &[&str]) {
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("splitdim: "), "{log}");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in {last:?}");
    }
    assert!(!log.contains("panicked"), "{log}");
}
