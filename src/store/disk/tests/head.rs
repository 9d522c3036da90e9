//! What a file begins with.

use tempfile::TempDir;

use crate::store::disk::head::{Begins, Head};
use crate::store::tests::device::Device;
use crate::store::tests::workload::{Content, new_device, open};
use crate::store::tests::{put, puts, with_store};
use crate::store::{Backend, Disk, FILE_NAME, OpenError, Store, Write};

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let device = new_device();
    let Begins::Store(head) = Head::read(&device).unwrap() else {
        panic!("no store");
    };
    head.write_as(3, &device).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::write(&path, device.content()).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the store {} has format 3, and this program knows format 2; \
             use the program that wrote it",
            path.display()
        )
    );
    assert!(
        std::fs::read(path).unwrap() == device.content(),
        "it was changed"
    );
}

#[test]
fn no_damaged_head_is_taken_for_a_sound_one() {
    let sound = new_device().content();
    let length = (16 + 8 + 8 + 8 + 16) as usize;
    for at in 0..length {
        for bit in 0..8 {
            let mut content = sound.clone();
            content[at] ^= 1 << bit;
            let device = Device::holding(content);
            let error = Disk::on(device.clone(), device.directory()).unwrap_err();
            match at {
                0..16 => assert!(matches!(error, OpenError::Foreign(_)), "{at}: {error:?}"),
                _ => assert!(
                    matches!(error, OpenError::Damaged { .. }),
                    "{at}: {error:?}"
                ),
            }
        }
    }
    let database = 8_192 + 64 * 1024;
    let within = [length, 5_000, 8_192, database, database + 1, database + 8];
    for cut in (1..length)
        .chain(within)
        .chain([database + 9, database + 319])
    {
        let device = Device::holding(sound[..cut].to_vec());
        let error = Disk::on(device.clone(), device.directory()).unwrap_err();
        match cut {
            0..15 => assert!(matches!(error, OpenError::Foreign(_)), "{cut}: {error:?}"),
            _ => assert!(
                matches!(error, OpenError::Damaged { .. }),
                "{cut}: {error:?}"
            ),
        }
    }
}

/// Also not where the last commit is a checkpoint of its own: redb has no checksum of the bit that says
/// which of its two commits is the newer one.
#[test]
fn no_damaged_bit_shows_an_older_commit() {
    let long = "x".repeat(40_000);
    let first = puts([put("a", "1", 0)]);
    for last in [
        puts([put("a", "2", 1)]),
        puts([put("a", &long, 1)]),
        Write::Reset,
    ] {
        let device = new_device();
        let (mut killed, mut shown) = (Vec::new(), Content::default());
        let (_, ended) = with_store(open(&device), async |store: Store<Disk>| {
            for write in [first.clone(), last.clone()] {
                store.write(write).await.unwrap();
            }
            killed = device.content();
            shown = Content::of(&store.snapshot());
        });
        ended.unwrap();
        for sound in [killed, device.content()] {
            let database = 8_192 + 64 * 1024;
            let places = (0..56).chain(4_096..4_112).chain(database..database + 320);
            for (at, bit) in places.flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut content = sound.clone();
                content[at] ^= 1 << bit;
                let device = Device::holding(content);
                if let Ok(disk) = Disk::on(device.clone(), device.directory()) {
                    let found = Content::of(&disk.newest().snapshot());
                    assert_eq!(found, shown, "byte {at}, bit {bit}");
                }
            }
        }
    }
}
