//! Where a block is cut.

use crate::store::disk::block::Rewritten;
use crate::store::disk::row;
use crate::store::{Key, Versioned};

/// Rows of so many bytes: twelve fill a block.
const ROW: usize = 300;

#[test]
fn what_fits_a_block_is_one() {
    let there = rows("adgj", 1, 50);
    assert_eq!(merge(&there, &rows("bdz", 2, 50)), ["abdgjz"]);
    assert_eq!(merge(&[], &rows("a", 1, 50)), ["a"]);
}

#[test]
fn what_comes_last_fills_block_after_block() {
    let new = rows("efghijklmnopqrstuvwxyz", 1, ROW);
    let cut = merge(&rows("abcd", 1, ROW), &new);
    assert_eq!(cut, ["abcdefghijkl", "mnopqrstuvwx", "yz"]);
}

#[test]
fn a_full_block_is_not_cut() {
    let full = "abcdefghijkl";
    assert_eq!(
        merge(&rows(&full[..10], 1, ROW), &rows(&full[10..], 1, ROW)),
        [full]
    );
}

#[test]
fn what_comes_after_new_rows_that_are_side_by_side_begins_a_block() {
    let there = rows("abcdefghilmn", 1, ROW);
    assert_eq!(merge(&there, &rows("jk", 1, ROW)), ["abcdefghijk", "lmn"]);
    assert_eq!(merge(&there, &rows("01", 1, ROW)), ["01", "abcdefghilmn"]);
}

#[test]
fn among_new_rows_here_and_there_all_blocks_have_room() {
    let there = rows("bdfhjlnprtvx", 1, ROW);
    assert_eq!(merge(&there, &rows("a", 1, ROW)), ["abdfhjl", "nprtvx"]);
    assert_eq!(merge(&there, &rows("ay", 1, ROW)), ["abdfhjl", "nprtvxy"]);
    let many = merge(&there, &rows("acegikmoqsuwy", 1, ROW));
    assert_eq!(many, ["abcdefghi", "jklmnopq", "rstuvwxy"]);
}

#[test]
fn what_has_only_grown_is_halved() {
    let there = rows("abcdefghijkl", 1, ROW);
    assert_eq!(merge(&there, &rows("c", 2, ROW + 1)), ["abcdef", "ghijkl"]);
}

#[test]
fn a_row_that_is_longer_than_a_block_is_alone() {
    let there = rows("ac", 1, ROW);
    assert_eq!(merge(&there, &rows("b", 1, 5_000)), ["a", "b", "c"]);
    assert_eq!(merge(&rows("b", 1, 5_000), &rows("b", 2, 6_000)), ["b"]);
}

#[test]
fn rows_of_a_long_restore_are_merged_a_part_at_a_time() {
    let new = rows("bcd", 1, 40_000);
    let mut next = new.into_iter().peekable();
    let there = encoded(&rows("ae", 1, ROW));
    let rewritten = Rewritten::of(&there, &mut next, None).unwrap();
    assert_eq!(
        rewritten.cut().into_iter().map(keys).collect::<Vec<_>>(),
        ["a", "b", "c", "e"]
    );
    assert_eq!(&*next.next().unwrap().0, "d");
}

#[test]
fn rows_from_the_next_block_on_are_left() {
    let mut next = rows("bxz", 1, 20).into_iter().peekable();
    let rewritten = Rewritten::of(&encoded(&rows("a", 1, 20)), &mut next, Some("x")).unwrap();
    assert_eq!(
        rewritten.cut().into_iter().map(keys).collect::<Vec<_>>(),
        ["ab"]
    );
    assert_eq!(next.count(), 2);
}

#[test]
fn a_block_that_is_not_whole_is_an_error() {
    let there = encoded(&rows("ab", 1, 20));
    for length in (1..there.len()).filter(|length| *length != there.len() / 2) {
        let mut none = std::iter::empty().peekable();
        assert!(
            Rewritten::of(&there[..length], &mut none, None).is_err(),
            "{length}"
        );
    }
}

/// A row for each letter of `keys`, of so many bytes.
fn rows(keys: &str, version: u64, length: usize) -> Vec<(Key, Versioned)> {
    let row = |key: char| {
        let key = Key::from(key.to_string());
        let value = "x".repeat(length.saturating_sub(17)).into();
        (key, Versioned { value, version })
    };
    keys.chars().map(row).collect()
}

fn encoded(rows: &[(Key, Versioned)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, row) in rows {
        row::encode(&mut bytes, key, row);
    }
    bytes
}

/// The keys of each block that `new` over `there` makes; the rows must be those.
fn merge(there: &[(Key, Versioned)], new: &[(Key, Versioned)]) -> Vec<String> {
    let mut next = new.iter().cloned().peekable();
    let rewritten = Rewritten::of(&encoded(there), &mut next, None).unwrap();
    assert!(next.peek().is_none());
    let mut expected: std::collections::BTreeMap<_, _> = there.iter().cloned().collect();
    expected.extend(new.iter().cloned());
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(rewritten.cut().concat(), encoded(&expected));
    rewritten.cut().into_iter().map(keys).collect()
}

fn keys(block: &[u8]) -> String {
    row::decode(block)
        .map(|row| row.unwrap().key().unwrap().to_string())
        .collect()
}
