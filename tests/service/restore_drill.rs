//! The restore drill of OPERATIONS.md works.

use std::process::{Command, Output};

#[test]
fn a_backup_is_restored() {
    let output = drill(&[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn a_backup_that_is_not_whole_is_told() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("backup.json");
    let path = file.to_str().expect("the path is text");
    // Somebody has 5, and nobody owes it.
    let entries = [
        r#"{"format":"splitdim-store","version":1,"epoch":1,"revision":1}"#,
        r#"{"key":"a","value":"5","version":1}"#,
        r#"{"entries":1}"#,
    ];
    std::fs::write(&file, entries.join("\n") + "\n").expect("there is room for a file");
    let output = drill(&[path]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("not whole"), "{said}");
}

fn drill(arguments: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/restore-drill");
    let output = Command::new(script)
        .args(arguments)
        .env("SPLITDIM", env!("CARGO_BIN_EXE_splitdim"))
        .env("KVSTORE", env!("CARGO_BIN_EXE_kvstore"))
        .output();
    output.expect("the script starts; it needs bash and curl")
}
