//! The file that is held back until it is released.

use redb::StorageBackend;

use crate::store::disk::held::Held;
use crate::store::tests::chance::Chance;
use crate::store::tests::device::{Device, Failure, IO_ERROR, Kind};

/// Sequences of steps that are compared with those on a device of its own.
const SEQUENCES: u64 = 2_000;

#[test]
fn a_held_file_reads_as_if_it_were_written_and_is_not() {
    for seed in 0..SEQUENCES {
        let mut chance = Chance::seeded(seed);
        let (file, plain) = (device(), device());
        let held = Held::new(file.clone());
        for _ in 0..20 {
            any_step(&mut chance, &[&held, &plain]);
            assert_eq!(held.len().unwrap(), plain.len().unwrap(), "seed {seed}");
            let (from, length) = part(&plain, &mut chance);
            let (mut seen, mut expected) = (vec![1; length], vec![2; length]);
            held.read(from, &mut seen).unwrap();
            plain.read(from, &mut expected).unwrap();
            assert_eq!(seen, expected, "seed {seed}");
        }
        assert_eq!(file.content(), device().content());
        assert_eq!(file.count(), 0);
        held.read(plain.len().unwrap(), &mut [0]).unwrap_err();

        held.release().unwrap();
        assert_eq!(file.steps(), plain.steps(), "seed {seed}");
        any_step(&mut chance, &[&held, &plain]);
        assert_eq!(file.steps(), plain.steps(), "seed {seed}");
    }
}

#[test]
fn a_file_whose_release_failed_takes_nothing_more() {
    let file = device();
    let held = Held::new(file.clone());
    for at in 0..3 {
        held.write(at, &[9]).unwrap();
    }
    file.fail(Some(Failure {
        of: Kind::Write,
        after: 1,
        errno: IO_ERROR,
        stays: false,
    }));
    held.release().unwrap_err();
    held.write(5, &[9]).unwrap_err();
    held.set_len(5).unwrap_err();
    held.sync_data().unwrap_err();
    // The first write, and not the ones after the failure.
    assert_eq!(file.count(), 1);
}

fn device() -> Device {
    let device = Device::holding((0..100).collect());
    device.record();
    device
}

/// Does the same on each of `backends`, which are in the same state.
fn any_step(chance: &mut Chance, backends: &[&dyn StorageBackend]) {
    let kind = chance.below(8);
    let length = chance.below(200) as u64;
    let (from, count) = part(backends[0], chance);
    let data: Vec<u8> = (0..count).map(|_| chance.one_of([7, 8, 9])).collect();
    for backend in backends {
        match kind {
            0 => backend.sync_data().unwrap(),
            1 | 2 => backend.set_len(length).unwrap(),
            _ => backend.write(from, &data).unwrap(),
        }
    }
}

/// Where a part of what `backend` holds begins, and its length.
fn part(backend: &dyn StorageBackend, chance: &mut Chance) -> (u64, usize) {
    let length = usize::try_from(backend.len().unwrap()).unwrap();
    let from = chance.below(length + 1);
    (from as u64, chance.below(length - from + 1))
}
