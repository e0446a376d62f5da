// SPDX-License-Identifier: Apache-2.0
//! Opens store directories that the reference's broker wrote (`tests/golden/store`) and compares every message.
//!
//! Not compared: `bodySha1` (the stored body's CRC and the decompressed length are), and what the store does not read
//! yet: index, timer wheel and timer log, configuration files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use kerolox_protocol::message::{name, properties, property, record, tags};
use kerolox_server::store::clock::{Clock, SystemClock};
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::{MessageStore, StoreOptions};
use serde::Deserialize;

use super::{append_one, open, read_all, tar};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    queues: Vec<Queue>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    topic: String,
    queue_id: i32,
    min_offset: i64,
    max_offset: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    topic: String,
    queue_id: i32,
    queue_offset: i64,
    physical_offset: i64,
    store_size: i32,
    msg_id: Option<String>,
    offset_msg_id: String,
    sys_flag: i32,
    flag: i32,
    born_timestamp: i64,
    store_timestamp: i64,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    body_crc: i32,
    body_length: usize,
    properties: BTreeMap<String, String>,
}

pub(super) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/store")
        .join(name)
}

fn options(dir: &tempfile::TempDir) -> StoreOptions {
    StoreOptions {
        commit_log_file_size: 1_048_576,
        consume_queue_file_size: 6000,
        ..StoreOptions::new(dir.path().join("store"))
    }
}

pub(super) fn unpacked(kind: &str) -> (tempfile::TempDir, StoreOptions) {
    let dir = tempfile::tempdir().unwrap();
    tar::unpack(&golden(&format!("store-5.5.0-{kind}.tar.gz")), dir.path());
    let options = options(&dir);
    (dir, options)
}

fn seams() -> (Arc<dyn Disk>, Arc<dyn Clock>) {
    (Arc::new(RealDisk::new()), Arc::new(SystemClock))
}

/// Compares queues and messages; offsets of queues in `more` may have grown by that many.
fn compare(store: &MessageStore, kind: &str) {
    let file = File::open(golden(&format!("manifest-{kind}.json"))).unwrap();
    let manifest: Manifest = serde_json::from_reader(file).unwrap();
    let mut queue_count = 0;
    for queue in &manifest.queues {
        let range = (
            store.min_offset(&queue.topic, queue.queue_id),
            store.max_offset(&queue.topic, queue.queue_id),
        );
        assert_eq!(
            range,
            (queue.min_offset, queue.max_offset),
            "{} {}",
            queue.topic,
            queue.queue_id
        );
        let read = read_all(store, &queue.topic, queue.queue_id);
        let expected: Vec<_> = manifest
            .messages
            .iter()
            .filter(|message| (&message.topic, message.queue_id) == (&queue.topic, queue.queue_id))
            .collect();
        assert_eq!(
            read.len(),
            expected.len(),
            "{} {}",
            queue.topic,
            queue.queue_id
        );
        for (message, expected) in read.into_iter().zip(expected) {
            compare_message(store, message, expected);
        }
        queue_count += 1;
    }
    assert_eq!(
        store
            .topics()
            .iter()
            .map(|(_, queues)| queues.len())
            .sum::<usize>(),
        queue_count
    );
}

fn compare_message(
    store: &MessageStore,
    mut message: kerolox_protocol::message::MessageExt,
    expected: &Message,
) {
    let bytes = store.record_at(expected.physical_offset).unwrap();
    assert_eq!(record::decode(&bytes).unwrap(), message);
    assert_eq!(message.message.topic, expected.topic);
    assert_eq!(message.queue_offset, expected.queue_offset);
    assert_eq!(message.physical_offset, expected.physical_offset);
    assert_eq!(message.store_size, expected.store_size);
    assert_eq!(message.sys_flag, expected.sys_flag);
    assert_eq!(message.message.flag, expected.flag);
    assert_eq!(message.born_timestamp, expected.born_timestamp);
    assert_eq!(message.store_timestamp, expected.store_timestamp);
    assert_eq!(message.reconsume_times, expected.reconsume_times);
    assert_eq!(
        message.prepared_transaction_offset,
        expected.prepared_transaction_offset
    );
    assert_eq!(message.body_crc, expected.body_crc);
    assert_eq!(message.offset_message_id(), expected.offset_msg_id);
    if let Some(id) = &expected.msg_id {
        assert_eq!(&message.message_id(), id);
    }
    let read: BTreeMap<_, _> = message
        .message
        .properties
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(read, expected.properties);
    message.decompress(4 << 20).unwrap();
    assert_eq!(message.message.body.len(), expected.body_length);
}

/// Tags codes of the reference's own units are those that we would write.
fn compare_tags_codes(store: &MessageStore) {
    for (topic, queues) in store.topics() {
        for queue_id in queues {
            let mut codes = Vec::new();
            let max = store.max_offset(&topic, queue_id);
            let mut offset = 0;
            while offset < max {
                let result = store.get(&topic, queue_id, offset, 32, 1 << 20, &mut |code| {
                    codes.push(code);
                    true
                });
                codes.truncate(usize::try_from(result.next_offset).unwrap());
                offset = result.next_offset;
            }
            for (message, code) in read_all(store, &topic, queue_id).into_iter().zip(codes) {
                let text = message.message.properties.to_text();
                if topic == name::SCHEDULE_TOPIC {
                    let level = properties::find(&text, property::DELAY)
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert_eq!(
                        code,
                        message.store_timestamp + store.options().delay_ms(level)
                    );
                } else {
                    assert_eq!(code, tags::tags_code(message.message.tag()));
                }
            }
        }
    }
}

#[test]
fn cleanly_stopped_store_of_the_reference_opens_with_every_message() {
    let (_dir, options) = unpacked("clean");
    let (disk, clock) = seams();
    let (store, report) = open(&options, &disk, &clock);
    assert!(
        !report.is_after_crash && report.damaged.is_empty() && report.rebuilt_queues.is_empty()
    );
    assert_eq!(report.records, 0, "a clean stop needs no reading");
    compare(&store, "clean");
    compare_tags_codes(&store);
    store.shutdown().unwrap();
    drop(store);

    // Once more, now that we have stopped it.
    let (store, report) = open(&options, &disk, &clock);
    assert!(!report.is_after_crash);
    compare(&store, "clean");
    assert_eq!(append_one(&store, "golden_main", 2, b"ours"), 50);
    assert_eq!(read_all(&store, "golden_main", 2)[50].message.body, "ours");
}

#[test]
fn killed_store_of_the_reference_is_recovered_with_every_message() {
    let (_dir, options) = unpacked("killed");
    let (disk, clock) = seams();
    let (store, report) = open(&options, &disk, &clock);
    assert!(report.is_after_crash && report.damaged.is_empty() && report.rebuilt_queues.is_empty());
    compare(&store, "killed");
    compare_tags_codes(&store);
    drop(store);

    // We were not shut down either.
    let (store, report) = open(&options, &disk, &clock);
    assert!(report.is_after_crash);
    compare(&store, "killed");
}

#[test]
fn queues_of_the_reference_are_rebuilt_from_its_log() {
    for kind in ["clean", "killed"] {
        let (_dir, options) = unpacked(kind);
        std::fs::remove_dir_all(options.root_dir.join("consumequeue")).unwrap();
        std::fs::write(options.root_dir.join("checkpoint"), b"garbage").unwrap();
        let (disk, clock) = seams();
        let (store, report) = open(&options, &disk, &clock);
        assert!(report.start == 0 && report.records > 200);
        compare(&store, kind);
        compare_tags_codes(&store);
    }
}

#[test]
fn wrong_queue_files_are_rebuilt_and_reported() {
    let (_dir, options) = unpacked("clean");
    let queue = options.root_dir.join("consumequeue/golden_main/1");
    std::fs::write(queue.join("00000000000000000000"), vec![0x55; 6000]).unwrap();
    let foreign = options.root_dir.join("consumequeue/golden_main/2/notes");
    std::fs::write(&foreign, b"mine").unwrap();
    let (disk, clock) = seams();
    let (store, report) = open(&options, &disk, &clock);
    assert_eq!(report.rebuilt_queues, [queue]);
    compare(&store, "clean");
    // What is not understood is not removed, with its topic neither.
    store.delete_topic("golden_main").unwrap();
    assert_eq!(std::fs::read(&foreign).unwrap(), b"mine");
}
