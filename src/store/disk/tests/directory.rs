//! Which directories are synced when the data directory is made.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::store::disk::directory::{changed, make_directory};

#[test]
fn each_that_gets_another_one_is_synced() {
    let there = TempDir::new().unwrap();
    let there = there.path();
    let (above, data) = (there.join("ledgers"), there.join("ledgers/ours/data"));
    assert_eq!(
        changed(&data).collect::<Vec<_>>(),
        [&above.join("ours"), &above, there]
    );
    fs::create_dir(&above).unwrap();
    assert_eq!(
        changed(&data).collect::<Vec<_>>(),
        [&above.join("ours"), &above]
    );
    make_directory(&data).unwrap();
    assert!(data.is_dir());
    assert_eq!(changed(&data).count(), 0);
}

#[test]
fn a_relative_path_begins_in_the_current_directory() {
    for (path, expected) in [
        ("no-such-ledger", &["."][..]),
        ("no-such-ledger/", &["."]),
        ("./no-such-ledger", &["."]),
        ("no-such-ledger/data", &["no-such-ledger", "."]),
        (".", &[]),
        ("..", &[]),
    ] {
        let changed: Vec<_> = changed(Path::new(path)).collect();
        let expected: Vec<_> = expected.iter().map(Path::new).collect();
        assert_eq!(changed, expected, "{path}");
    }
}
