//! The power fails at any instant: what was acknowledged is there, and no half of anything else.

use super::Backend;
use super::chance::Chance;
use super::device::{Device, SECTOR};
use super::workload::{Content, DATABASE, Workload, new_device, open};

const SEEDS: u64 = 1_000;

/// Each image is opened, written to, and loses power again, perhaps while it is opened.
const FAILURES: usize = 3;

/// What stands where it is in one place only, and is not survived if it is destroyed while it is written: the
/// head, which is when the store is made or converted, and redb's, a few times for each checkpoint.
const ONCE: usize = 4_096;

#[test]
fn what_was_acknowledged_survives_power_failures_and_nothing_half_done_does() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let _told = Told(seed);
        fail_again_and_again(seed, &mut seen);
    }
    // The images are of all kinds, or this test shows nothing.
    assert_eq!(seen.images, SEEDS as usize * FAILURES);
    for (kind, count) in [
        ("an unacknowledged commit is there", seen.made),
        ("an unacknowledged commit is not there", seen.undone),
        ("the power failed during the opening", seen.while_opening),
        ("something unsynced was lost", seen.lossy),
        ("what was being written was destroyed", seen.destroyed),
    ] {
        assert!(count * 20 > seen.images, "{kind}: {seen:?}");
    }
}

/// How many images there were, and how many of which kind.
#[derive(Debug, Default)]
struct Seen {
    images: usize,
    made: usize,
    undone: usize,
    while_opening: usize,
    lossy: usize,
    destroyed: usize,
}

fn fail_again_and_again(seed: u64, seen: &mut Seen) {
    let mut chance = Chance::seeded(seed);
    let mut device = new_device();
    let mut content = Content::default();
    for _ in 0..FAILURES {
        // Half of them short, so that most of it is in the journal, and many, so that it turns.
        let workload = match seed % 2 {
            0 => Workload::new(content, 1 + chance.below(8), &mut chance),
            _ => Workload::small(content, 1 + chance.below(80), &mut chance),
        };
        device.record();
        let disk = open(&device);
        let opened = device.count();
        let mut acknowledged = Vec::new();
        workload
            .run(disk, || acknowledged.push(device.count()))
            .unwrap();

        let instant = match chance.below(10) {
            0..2 => chance.below(opened + 1),
            // Just before an answer, when all is written and the last sync is about to end.
            2..5 => acknowledged[chance.below(acknowledged.len())] - 1 - chance.below(2),
            _ => opened + chance.below(device.count() - opened + 1),
        };
        let mut image = device.after_power_loss(instant, &mut chance);
        let places = [ONCE..DATABASE, DATABASE + ONCE..usize::MAX];
        let destroyed = chance.percent(50)
            && device.destroy_in_flight(instant, (&places, SECTOR), &mut image, &mut chance);
        seen.destroyed += usize::from(destroyed);
        seen.images += 1;
        seen.while_opening += usize::from(instant < opened);
        seen.lossy += usize::from(image != device.content_after(instant));

        let commits = acknowledged.iter().filter(|&&at| at <= instant).count();
        let began = commits
            .checked_sub(1)
            .map_or(opened, |last| acknowledged[last]);
        content = content_of(image.clone());
        if content != workload.contents[commits] {
            let next = workload.contents.get(commits + 1);
            assert_eq!(Some(&content), next, "neither before nor after a commit");
            assert!(instant > began, "a commit that had not begun");
            seen.made += 1;
        } else if instant > began && commits < workload.commits.len() {
            seen.undone += 1;
        }
        device = Device::holding(image);
    }
}

/// What a store shows that is opened on `image`, of which this leaves no trace.
fn content_of(image: Vec<u8>) -> Content {
    let disk = open(&Device::holding(image));
    Content::of(&disk.newest().snapshot())
}

/// Names the seed when the test fails.
struct Told(u64);

impl Drop for Told {
    #[expect(clippy::print_stderr, reason = "the seed repeats the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}
