//! The disk is full, or fails: nothing is acknowledged any more, and nothing acknowledged is lost.

use std::num::NonZero;

use super::chance::Chance;
use super::device::{DISK_FULL, Device, Failure, IO_ERROR, Kind};
use super::workload::{Content, Workload, new_device, open};
use super::{Backend, Disk};
use crate::store::{FILE_NAME, OpenError};

const POINTS: u64 = 100;

#[test]
fn a_full_disk_ends_the_writer_and_loses_nothing() {
    fails_at_any_point(
        Kind::Room,
        DISK_FULL,
        "No space left on device (os error 28); free some space",
    );
}

#[test]
fn a_write_that_fails_ends_the_writer_and_loses_nothing() {
    fails_at_any_point(Kind::Write, IO_ERROR, INPUT_OUTPUT);
}

#[test]
fn a_sync_that_fails_ends_the_writer_and_loses_nothing() {
    fails_at_any_point(Kind::Sync, IO_ERROR, INPUT_OUTPUT);
}

#[test]
fn a_file_that_cannot_grow_ends_the_writer_and_loses_nothing() {
    fails_at_any_point(Kind::Length, IO_ERROR, INPUT_OUTPUT);
}

#[test]
fn a_disk_that_fails_while_a_store_is_opened_is_named_and_loses_nothing() {
    let mut chance = Chance::seeded(1);
    let device = new_device();
    let workload = Workload::new(Content::default(), 10, &mut chance);
    let mut unclean = Vec::new();
    workload
        .run(open(&device), || unclean = device.content())
        .unwrap();

    let device = Device::holding(unclean.clone());
    device.record();
    let disk = open(&device);
    let steps = device.count();
    drop(disk);
    assert!(steps > 0, "an unclean file is repaired");
    for point in 0..steps {
        let device = Device::holding(unclean.clone());
        let failure = Failure {
            of: Kind::Any,
            after: point,
            errno: IO_ERROR,
            stays: point % 2 == 0,
        };
        device.fail(Some(failure));
        let error = Disk::on(device.clone(), device.directory()).unwrap_err();
        assert!(
            matches!(error, OpenError::Io { .. }),
            "{failure:?}: {error:?}"
        );
        let path = device.directory().join(FILE_NAME);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot write {}: Input/output error (os error 5); \
                 check the disk and the data directory, then start again",
                path.display()
            )
        );
        device.fail(None);
        let found = Content::of(&open(&device).newest().snapshot());
        assert_eq!(Some(&found), workload.contents.last(), "{failure:?}");
    }
}

#[test]
fn what_is_shown_after_a_failed_sync_survives_the_next_power_failure() {
    let mut shown = 0;
    for point in 0..POINTS {
        let mut chance = Chance::seeded(point);
        let workload = Workload::new(Content::default(), 20, &mut chance);
        let device = new_device();
        let disk = open(&device);
        device.record();
        device.fail(Some(Failure {
            of: Kind::Sync,
            after: chance.below(steps_until_the_last_answer(&workload, Kind::Sync)),
            errno: IO_ERROR,
            stays: false,
        }));
        let mut acknowledged = 0;
        workload.run(disk, || acknowledged += 1).unwrap_err();

        // The operating system still shows what it could not write, and holds it for written.
        let found = Content::of(&open(&device).newest().snapshot());
        shown += usize::from(workload.contents.get(acknowledged + 1) == Some(&found));
        let image = device.after_power_loss(device.count(), &mut chance);
        let left = Content::of(&open(&Device::holding(image)).newest().snapshot());
        assert_eq!(left, found, "point {point}");
    }
    assert!(
        shown > 10,
        "{shown} commits were shown whose sync had failed"
    );
}

const INPUT_OUTPUT: &str = "Input/output error (os error 5); check the disk and the data directory";

/// Lets steps of one kind fail, at [`POINTS`] points of different workloads: one of them in one
/// half of the cases, it and all further steps in the other.
fn fails_at_any_point(of: Kind, errno: i32, reason: &str) {
    let mut without = 0;
    for point in 0..POINTS {
        let mut chance = Chance::seeded(point);
        let workload = Workload::new(Content::default(), 20, &mut chance);
        // What went into the journal alone made the file no longer.
        let Some(steps) = NonZero::new(steps_until_the_last_answer(&workload, of)) else {
            without += 1;
            continue;
        };
        let failure = Failure {
            of,
            after: chance.below(steps.get()),
            errno,
            stays: chance.percent(50),
        };

        let device = new_device();
        let disk = open(&device);
        device.record();
        device.fail(Some(failure));
        let mut acknowledged = 0;
        let fault = workload.run(disk, || acknowledged += 1).unwrap_err();
        let path = device.directory().join(FILE_NAME);
        assert_eq!(
            fault.to_string(),
            format!(
                "cannot write {}: {reason}, then start again",
                path.display()
            ),
            "point {point}: {failure:?}"
        );

        // Of what was not synced, anything may be gone by now: it may never be written again.
        let image = device.after_power_loss(device.count(), &mut chance);
        for left in [device.content(), image] {
            let found = Content::of(&open(&Device::holding(left)).newest().snapshot());
            let mut possible = workload.contents[acknowledged..].iter().take(2);
            assert!(
                possible.any(|content| *content == found),
                "point {point}: {failure:?}"
            );
        }
    }
    assert!(without * 10 < POINTS, "{without} workloads without {of:?}");
}

/// How many steps of a kind `workload` takes, without those of the closing, and with those that are made
/// after the last answer.
fn steps_until_the_last_answer(workload: &Workload, kind: Kind) -> usize {
    let device = new_device();
    let disk = open(&device);
    device.record();
    let mut steps = 0;
    workload.run(disk, || steps = device.count()).unwrap();
    let steps = &device.steps()[..steps];
    steps.iter().filter(|step| kind.is(step)).count()
}
