// SPDX-License-Identifier: Apache-2.0
//! The files' bytes, as the reference has them.

use std::path::Path;

use super::*;
use crate::store::disk::SimDisk;

const T: i64 = 1_700_000_000_000;

fn layout() -> TimerLayout {
    TimerLayout {
        root_dir: "/store".into(),
        precision_ms: 1000,
        slots: 100,
        log_file_size: 3 * 52 + 20,
    }
}

fn new() -> (SimDisk, Arc<dyn Disk>, TimerFiles) {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/store/config")).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let files = TimerFiles::create(&shared, &layout()).unwrap();
    (disk, shared, files)
}

fn unit(previous: i64, offset: i64) -> Unit {
    Unit {
        previous,
        magic: magic::DEFAULT,
        written_ms: T,
        delay_ms: 5_000,
        offset,
        size: 200,
        topic_hash: -2,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn slots_lie_where_their_time_says() {
    let (disk, _, mut files) = new();
    let slot = Slot {
        time_ms: T + 5_000,
        first: 52,
        last: 104,
        count: 3,
    };
    files.wheel.put(&slot).unwrap();
    assert_eq!(files.wheel.slot(T + 5_999), Some(slot));
    // The same place, a turn later.
    assert_eq!(files.wheel.slot(T + 205_000), None);
    let bytes = disk.read(Path::new("/store/timerwheel")).unwrap();
    assert_eq!(bytes.len(), 200 * 32);
    let at = usize::try_from(1_700_000_005 % 200).unwrap() * 32;
    assert_eq!(
        hex(&bytes[at..at + 32]),
        "000000006553f105000000000000003400000000000000680000000300000000"
    );
    assert_eq!(files.wheel.next(T, T + 5_000), None);
    assert_eq!(files.wheel.next(T, T + 5_001), Some(slot));
    assert_eq!(files.wheel.next(T - 190_000, T + 90_000), Some(slot));
    files.wheel.clear(T + 5_000).unwrap();
    assert_eq!(files.wheel.next(T - 90_000, T + 90_000), None);
}

#[test]
fn units_fill_files_that_end_with_a_blank() {
    let (disk, shared, mut files) = new();
    let positions: Vec<_> = (0..5)
        .map(|n| files.log.append(&unit(n - 1, 1000 + n)).unwrap())
        .collect();
    assert_eq!(positions, [0, 52, 104, 176, 228]);
    let first = disk
        .read(Path::new("/store/timerlog/00000000000000000000"))
        .unwrap();
    assert_eq!(first.len(), 176);
    assert_eq!(
        hex(&first[52..104]),
        "00000034000000000000000000000001\
         0000018bcfe568000000138800000000000003e9000000c8fffffffe0000000000000000"
    );
    assert_eq!(hex(&first[156..172]), "000000140000000000000000cbd43194");
    assert_eq!(files.log.unit(176), Some(unit(2, 1003)));
    assert_eq!(files.log.unit(156), None);
    assert_eq!(files.log.unit(280), None);
    assert_eq!(files.log.unit(-1), None);

    drop(files);
    let mut log = TimerLog::open(&shared, &layout()).unwrap().unwrap();
    let mut seen = Vec::new();
    let end = log
        .walk(0, |position, unit| {
            seen.push((position, unit.offset));
            true
        })
        .unwrap();
    assert_eq!(end, 280);
    assert_eq!(seen.last(), Some(&(228, 1004)));
    log.truncate(228).unwrap();
    assert_eq!((log.end(), log.unit(228)), (228, None));
    assert_eq!(log.append(&unit(-1, 7)).unwrap(), 228);
    assert_eq!(log.unit(228), Some(unit(-1, 7)));
}

#[test]
fn files_are_removed_when_the_last_of_their_messages_is() {
    let (_, _, mut files) = new();
    for n in 0..7 {
        files.log.append(&unit(-1, n * 10)).unwrap();
    }
    assert_eq!(files.log.remove_expired(20).unwrap(), 0);
    assert_eq!(files.log.remove_expired(21).unwrap(), 1);
    assert_eq!(files.log.start(), 176);
    // The newest stays.
    assert_eq!(files.log.remove_expired(1000).unwrap(), 1);
    assert_eq!(files.log.remove_expired(1000).unwrap(), 0);
    assert_eq!(files.log.start(), 352);
}

#[test]
fn checkpoints_are_in_the_references_order_and_nonsense_is_none() {
    let (disk, shared, mut files) = new();
    let mut checkpoint = TimerCheckpoint {
        read_ms: T,
        log_flushed: 0,
        queue_offset: 7,
        master_queue_offset: 8,
        ..TimerCheckpoint::default()
    };
    checkpoint.version.next(T);
    files.log.append(&unit(-1, 1)).unwrap();
    let log_flushed = files
        .checkpoint(shared.as_ref(), checkpoint.clone())
        .unwrap();
    assert_eq!(log_flushed, 52);
    checkpoint.log_flushed = log_flushed;
    let bytes = disk.read(Path::new("/store/config/timercheck")).unwrap();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(
        hex(&bytes[..56]),
        "0000018bcfe56800000000000000003400000000000000070000000000000008\
         00000000000000000000018bcfe568000000000000000001"
    );
    assert_eq!(TimerCheckpoint::decode(&bytes), Some(checkpoint.clone()));
    let old = TimerCheckpoint::decode(&bytes[..32]).unwrap();
    assert_eq!((old.queue_offset, old.version.counter), (7, 0));
    for bytes in [&bytes[..31], &[0; 56], &[0xFF; 56]] {
        assert_eq!(TimerCheckpoint::decode(bytes), None);
    }
}
