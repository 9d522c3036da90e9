//! Rows in runs are rows like others.

use super::Backend;
use super::chance::Chance;
use super::written::{Written, change, compare};
use crate::store::runs::{Piece, pieces};
use crate::store::{Key, Memory, Versioned};

#[test]
fn what_was_just_made_is_cut_into_runs_of_a_page() {
    let row = |key: &str, version, length| {
        let value = "x".repeat(length).into();
        (Key::from(key), Versioned { value, version })
    };
    let rows = [
        row("!t/a", 1, 10),
        row("!t/b", 1, 3_000),
        row("!t/c", 1, 500),
        row("!t/d", 1, 1_000),
        row("!t/e", 2, 1),
        row("!t/f", 1, 1),
        row("!t/g", 2, 1),
        row("!t/h", 1, 30_000),
        row("!t/i", 1, 1),
        row("!t/j", 1, 1),
        row("Ann", 1, 1),
        row("Anton", 1, 1),
        row("Ben", 1, 1),
    ];
    let cut: Vec<_> = pieces(rows.into_iter())
        .map(|piece| match piece {
            Piece::Row(key, _) => vec![key],
            Piece::Run(run) => run.into_iter().map(|(key, _)| key).collect(),
        })
        .collect();
    let cut: Vec<_> = cut.iter().map(|keys| keys.join(" ")).collect();
    let expected = [
        "!t/a !t/b !t/c",
        "!t/d",
        "!t/e",
        "!t/f",
        "!t/g",
        "!t/h",
        "!t/i !t/j",
        // Not in the run before it.
        "Ann",
        "Anton",
        "Ben",
    ];
    assert_eq!(cut, expected);
}

#[test]
fn rows_are_shown_as_they_were_written_and_old_snapshots_as_they_were() {
    for seed in 0..60 {
        let mut chance = Chance::seeded(seed);
        let mut memory = Memory::new();
        let mut written = Written::new();
        let mut kept = Vec::new();
        for _ in 0..60 {
            change(&mut memory, &mut written, &mut chance);
            let shown = memory.newest().snapshot();
            compare(&shown, &written, &mut chance);
            if chance.percent(10) {
                kept.push((shown, written.clone()));
            }
        }
        for (shown, written) in kept {
            compare(&shown, &written, &mut chance);
        }
    }
}
