// SPDX-License-Identifier: Apache-2.0
//! Extension files of consume queues: filters work through them, and without them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kerolox_protocol::message::tags::tags_code;
use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, SimDisk};
use kerolox_server::store::{BitSource, MessageFilter, MessageStore, RecoveryReport, StoreOptions};

use super::{fields, open};

fn start(disk: &SimDisk, is_enabled: bool) -> (Arc<MessageStore>, RecoveryReport) {
    let options = StoreOptions {
        commit_log_file_size: 32 * 1024,
        consume_queue_file_size: 2000,
        consume_queue_ext: is_enabled,
        // Fifty units.
        consume_queue_ext_file_size: 1024,
        max_hash_slot_num: 16,
        max_index_num: 200,
        ..StoreOptions::new("/store")
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    open(&options, &disk, &clock)
}

fn fill(store: &MessageStore, from: usize, to: usize) {
    for number in from..to {
        let queue_id = i32::try_from(number % 2).unwrap();
        let queue = store.queue("orders", queue_id).unwrap();
        let tag = format!("t{}", number / 2 % 5);
        let text = format!("TAGS\u{1}{tag}\u{2}");
        let mut batch = store.new_batch();
        let code = tags_code(Some(&tag));
        batch
            .push(
                &queue,
                &fields("orders", queue_id, b"x", &[text.as_bytes()]),
                code,
            )
            .unwrap();
        assert_eq!(store.append(&mut batch).appended, 1);
    }
}

/// How many messages of a queue have tag t3.
fn count(store: &MessageStore, queue_id: i32) -> usize {
    let wanted = tags_code(Some("t3"));
    let (mut offset, mut found) = (0, 0);
    while offset < store.max_offset("orders", queue_id) {
        let result = store.get("orders", queue_id, offset, 32, 1 << 20, &mut |code| {
            code == wanted
        });
        found += result.count;
        offset = result.next_offset;
    }
    found
}

/// Marks messages with tag t3, with bits of various lengths.
struct Marks;

impl BitSource for Marks {
    fn bits(&self, topic: &str, properties: &[&[u8]]) -> Option<Box<[u8]>> {
        assert_eq!(topic, "orders");
        let text = String::from_utf8(properties.concat()).unwrap();
        let bits = match text.as_str() {
            "TAGS\u{1}t0\u{2}" => return None,
            "TAGS\u{1}t3\u{2}" => vec![1; 14],
            _ => vec![0; text.len() + 30],
        };
        Some(bits.into())
    }
}

/// How many records of a queue had to be read because of their bits, and how many have none.
fn read_by_bits(store: &MessageStore, queue_id: i32) -> (usize, usize) {
    let queue = store.queue("orders", queue_id).unwrap();
    let (mut offset, mut without, mut read) = (0, 0, 0);
    while offset < queue.max_offset() {
        let mut filter = MessageFilter::Record {
            bits: &mut |stored| {
                assert!(stored.store_timestamp >= 1_700_000_000_000);
                without += usize::from(stored.bits.is_empty());
                stored.bits.first().is_none_or(|bits| *bits != 0)
            },
            record: &mut |_| {
                read += 1;
                true
            },
        };
        let result = store.get_filtered(&queue, offset, 32, 1 << 20, &mut filter);
        offset = result.next_offset;
    }
    (read - without, without)
}

fn ext_files(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new("/store/consumequeue_ext");
    let files = disk.files();
    files
        .into_iter()
        .filter(|path| path.starts_with(dir))
        .collect()
}

#[test]
fn tags_are_found_through_the_extension_across_stops_and_kills() {
    let mut disk = SimDisk::new();
    for round in 0..6 {
        // The extension is used as long as units point into it, also when it is switched off.
        let (store, report) = start(&disk, round != 4);
        assert!(report.rebuilt_queues.is_empty(), "round {round}");
        assert_eq!(count(&store, 0), round * 20);
        fill(&store, round * 200, round * 200 + 200);
        if round % 2 == 0 {
            store.shutdown().unwrap();
        }
        drop(store);
        disk = disk.kill();
    }
    assert!(ext_files(&disk).len() > 6);
    let (store, _) = start(&disk, true);
    assert_eq!((count(&store, 0), count(&store, 1)), (120, 120));
}

#[test]
fn a_missing_or_cut_extension_costs_a_rebuild() {
    let disk = SimDisk::new();
    let (store, _) = start(&disk, true);
    fill(&store, 0, 300);
    store.shutdown().unwrap();
    drop(store);
    for path in ext_files(&disk) {
        let damaged = disk.kill();
        damaged.remove_file(&path).unwrap();
        let (store, _) = start(&damaged, true);
        assert_eq!((count(&store, 0), count(&store, 1)), (30, 30), "{path:?}");
        fill(&store, 300, 400);
        assert_eq!((count(&store, 0), count(&store, 1)), (40, 40), "{path:?}");
    }
    let damaged = disk.kill();
    damaged
        .remove_dir_all(Path::new("/store/consumequeue_ext"))
        .unwrap();
    let (store, report) = start(&damaged, false);
    assert_eq!(report.rebuilt_queues.len(), 2);
    assert_eq!((count(&store, 0), count(&store, 1)), (30, 30));
    store.delete_topic("orders").unwrap();
    assert!(ext_files(&damaged).is_empty());
}

#[test]
fn bits_stay_with_their_messages_across_stops_and_kills() {
    let mut disk = SimDisk::new();
    for round in 0..4 {
        let (store, report) = start(&disk, true);
        assert!(report.rebuilt_queues.is_empty(), "round {round}");
        store.calculate_bits(Arc::new(Marks));
        fill(&store, round * 100, round * 100 + 100);
        let each = (round + 1) * 10;
        for queue_id in [0, 1] {
            assert_eq!(
                read_by_bits(&store, queue_id),
                (each, each),
                "round {round}"
            );
        }
        assert_eq!(count(&store, 0), each);
        if round % 2 == 0 {
            store.shutdown().unwrap();
        }
        drop(store);
        disk = disk.kill();
    }
}
