//! Rows in runs are rows like others.

use super::Backend;
use super::chance::Chance;
use super::written::{Written, change, compare};
use crate::store::runs::{Piece, pieces};
use crate::store::{Key, Memory, Versioned};

#[test]
fn what_was_just_made_is_cut_into_runs() {
    let row = |key: &str, version| {
        let value = "{}".into();
        (Key::from(key), Versioned { value, version })
    };
    let records = (0..70).map(|record| row(&format!("!t/{record:02}"), 1));
    let others = [
        row("!t/c", 1),
        row("!t/d", 2),
        row("!t/e", 1),
        row("!t/f", 2),
        row("!t/g", 1),
        row("!t/h", 1),
        // Not in the run before it.
        row("Ann", 1),
        row("Anton", 1),
        row("Ben", 1),
    ];
    let cut: Vec<_> = pieces(records.chain(others))
        .map(|piece| match piece {
            Piece::Row(key, _) => (key.to_string(), 1),
            Piece::Run(run) => (run[0].0.to_string(), run.len()),
        })
        .collect();
    let expected = [
        ("!t/00", 32),
        ("!t/32", 32),
        ("!t/64", 7),
        ("!t/d", 1),
        ("!t/e", 1),
        ("!t/f", 1),
        ("!t/g", 2),
        ("Ann", 1),
        ("Anton", 1),
        ("Ben", 1),
    ];
    assert_eq!(cut, expected.map(|(key, count)| (key.to_owned(), count)));
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
