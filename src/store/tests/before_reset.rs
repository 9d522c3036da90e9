//! What a reset forgets is kept in a file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Disk, Refusal, Store, Write, entry, everything, put, puts, refusal, with_store, write_at_once,
};

#[test]
fn a_reset_leaves_a_whole_copy_of_what_it_forgets() {
    on_disk(async |store, directory| {
        // More than the export reads at a time.
        let rows: Vec<_> = (0..2_500)
            .map(|row| put(&format!("name {row:04}"), "-7", 0))
            .collect();
        store.write(puts(rows)).await.unwrap();
        store
            .write(puts([put("name 0000", "\"\n", 1)]))
            .await
            .unwrap();
        let before = everything(&store.snapshot());
        store.write(Write::Reset { epoch: None }).await.unwrap();

        assert_eq!(names(directory), ["before-reset-0.json"]);
        let mut lines = lines(&directory.join("before-reset-0.json"));
        assert_eq!(
            lines.remove(0),
            json!({"format": "splitdim-store", "version": 1, "epoch": 0, "revision": 2})
        );
        assert_eq!(lines.pop().unwrap(), json!({"entries": 2_500}));
        let expected: Vec<Value> = before
            .iter()
            .map(|row| json!({"key": *row.key, "value": *row.value, "version": row.version}))
            .collect();
        assert_eq!(lines, expected);
        assert_eq!(everything(&store.snapshot()), []);
    });
}

#[test]
fn the_copy_holds_the_writes_that_were_sent_together_with_the_reset_and_before_it() {
    on_disk(async |store, directory| {
        let writes = [
            puts([put("anna", "1", 0)]),
            Write::Reset { epoch: None },
            puts([put("anna", "2", 0)]),
            Write::Reset { epoch: None },
            puts([put("anna", "3", 0)]),
        ];
        for answer in write_at_once(&store, writes.into()).await {
            answer.unwrap();
        }
        assert_eq!(
            names(directory),
            ["before-reset-0.json", "before-reset-1.json"]
        );
        for (epoch, value) in [(0, "1"), (1, "2")] {
            let lines = lines(&directory.join(format!("before-reset-{epoch}.json")));
            assert_eq!(
                lines[1..],
                [
                    json!({"key": "anna", "value": value, "version": 1}),
                    json!({"entries": 1})
                ]
            );
        }
        assert_eq!(everything(&store.snapshot()), [entry("anna", "3", 1)]);
    });
}

#[test]
fn a_reset_of_an_empty_store_leaves_no_file() {
    on_disk(async |store, directory| {
        assert_eq!(
            store
                .write(Write::Reset { epoch: None })
                .await
                .unwrap()
                .epoch,
            1
        );
        store.write(puts([put("anna", "1", 0)])).await.unwrap();
        store.write(Write::Reset { epoch: None }).await.unwrap();
        assert_eq!(
            store
                .write(Write::Reset { epoch: None })
                .await
                .unwrap()
                .epoch,
            3
        );
        assert_eq!(names(directory), ["before-reset-1.json"]);
    });
}

#[test]
#[cfg(unix)]
fn a_reset_whose_copy_cannot_be_written_forgets_nothing() {
    on_disk(async |store, directory| {
        store.write(puts([put("anna", "1", 0)])).await.unwrap();
        // A disk that is full, whoever writes to it.
        let unfinished = directory.join("before-reset-0.unfinished");
        std::os::unix::fs::symlink("/dev/full", &unfinished).unwrap();
        let [refused, later] = write_at_once(
            &store,
            vec![Write::Reset { epoch: None }, puts([put("b", "2", 0)])],
        )
        .await
        .try_into()
        .unwrap();
        assert_eq!(refusal(refused), Refusal::CopyFailed);
        assert_eq!(later.unwrap().epoch, 0);
        assert_eq!(
            everything(&store.snapshot()),
            [entry("anna", "1", 1), entry("b", "2", 1)]
        );
        // Half a copy must not take the room of the next writes, nor be taken for a copy.
        assert_eq!(names(directory), Vec::<String>::new());

        store.write(Write::Reset { epoch: None }).await.unwrap();
        assert_eq!(names(directory), ["before-reset-0.json"]);
    });
}

#[test]
fn a_copy_that_is_there_is_never_overwritten() {
    on_disk(async |store, directory| {
        // As another store leaves it that was in this directory before, and began with epoch 0 too.
        for name in ["before-reset-0.json", "before-reset-0-2.json"] {
            fs::write(directory.join(name), "somebody's money").unwrap();
        }
        store.write(puts([put("anna", "1", 0)])).await.unwrap();
        store.write(Write::Reset { epoch: None }).await.unwrap();
        for name in ["before-reset-0.json", "before-reset-0-2.json"] {
            let kept = fs::read_to_string(directory.join(name)).unwrap();
            assert_eq!(kept, "somebody's money");
        }
        let lines = lines(&directory.join("before-reset-0-3.json"));
        assert_eq!(lines[2], json!({"entries": 1}));
    });
}

fn on_disk(work: impl AsyncFnOnce(Store<Disk>, &Path)) {
    let directory = TempDir::new().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    with_store(disk, |store| work(store, directory.path()))
        .1
        .unwrap();
}

/// The names in `directory`, without those of the store itself.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("store."))
        .collect();
    names.sort();
    names
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
