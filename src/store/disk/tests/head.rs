//! What a file begins with.

use tempfile::TempDir;

use crate::store::disk::head::{Begins, Head};
use crate::store::tests::device::Device;
use crate::store::tests::workload::{Content, DATABASE, MARKS, new_device, open};
use crate::store::tests::{put, puts, with_store};
use crate::store::{Backend, Disk, FILE_NAME, OpenError, Store, Write};

/// Bytes of the head: magic, seal, format, length of the journal, key.
const HEAD: usize = 16 + 8 + 8 + 8 + 16;

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let device = new_device();
    let Begins::Store(head) = Head::read(&device).unwrap() else {
        panic!("no store");
    };
    let newer = Head { format: 5, ..head };
    newer.write(&device).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::write(&path, device.content()).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the store {} has format 5, and this program knows format 4; \
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
    for at in 0..HEAD {
        for bit in 0..8 {
            let mut content = sound.clone();
            content[at] ^= 1 << bit;
            is_refused(content, at < 16, at);
        }
    }
    let within = [HEAD, 5_000, 8_192, DATABASE, DATABASE + 1, DATABASE + 8];
    let cuts = (1..HEAD).chain(within);
    for cut in cuts.chain([DATABASE + 9, DATABASE + 319]) {
        is_refused(sound[..cut].to_vec(), cut < 15, cut);
    }
}

/// Expects that a file of `content`, which was damaged `at` some byte, is refused: as foreign, or as damaged.
fn is_refused(content: Vec<u8>, as_foreign: bool, at: usize) {
    let device = Device::holding(content);
    let error = Disk::on(device.clone(), device.directory()).unwrap_err();
    match as_foreign {
        true => assert!(matches!(error, OpenError::Foreign(_)), "{at}: {error:?}"),
        false => assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{at}: {error:?}"
        ),
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
        Write::Reset { epoch: None },
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
            let places = (0..HEAD)
                .chain(MARKS.into_iter().flat_map(|mark| mark..mark + 16))
                .chain(DATABASE..DATABASE + 320);
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
