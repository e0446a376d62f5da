// SPDX-License-Identifier: Apache-2.0
//! The store on the real disk and on the reference's files.

mod golden;
mod golden_timers;
mod index;
mod inspect;
mod prop_crc;
mod queue_ext;
mod queue_offsets;
mod real;
mod retention;
mod tar;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use kerolox_protocol::message::{MessageExt, RecordFields, record};
use kerolox_server::store::clock::Clock;
use kerolox_server::store::disk::Disk;
use kerolox_server::store::{GetResult, MessageStore, RecoveryReport, StoreOptions};

/// Opens a store that must open.
pub(crate) fn open(
    options: &StoreOptions,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
) -> (Arc<MessageStore>, RecoveryReport) {
    MessageStore::open(options.clone(), Arc::clone(disk), Arc::clone(clock)).unwrap()
}

/// A plain record.
pub(crate) fn fields<'a>(
    topic: &'a str,
    queue_id: i32,
    body: &'a [u8],
    properties: &'a [&'a [u8]],
) -> RecordFields<'a> {
    RecordFields {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Appends one message and returns its queue offset.
pub(crate) fn append_one(store: &MessageStore, topic: &str, queue_id: i32, body: &[u8]) -> i64 {
    let queue = store.queue(topic, queue_id).unwrap();
    let mut batch = store.new_batch();
    batch
        .push(&queue, &fields(topic, queue_id, body, &[]), 0)
        .unwrap();
    assert_eq!(store.append(&mut batch).appended, 1);
    batch.results()[0].unwrap().queue_offset
}

/// Inverts a bit of the byte at `at`.
pub(crate) fn invert(file: &File, at: u64, bit: u8) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).unwrap();
}

/// Messages of a result.
pub(crate) fn messages(result: &GetResult) -> Vec<MessageExt> {
    let messages: Vec<_> = result
        .slices
        .iter()
        .flat_map(|slice| record::decode_all(Bytes::clone(slice)))
        .collect();
    assert_eq!(messages.len(), result.count);
    assert_eq!(
        result.slices.iter().map(Bytes::len).sum::<usize>(),
        result.bytes
    );
    messages
}

/// Reads a whole queue from its minimum offset.
pub(crate) fn read_all(store: &MessageStore, topic: &str, queue_id: i32) -> Vec<MessageExt> {
    let mut read = Vec::new();
    let mut offset = store.min_offset(topic, queue_id);
    while offset < store.max_offset(topic, queue_id) {
        let result = store.get(topic, queue_id, offset, 32, 1 << 20, &mut |_| true);
        read.extend(messages(&result));
        assert!(
            result.next_offset > offset,
            "no progress at {offset}: {:?}",
            result.status
        );
        offset = result.next_offset;
    }
    read
}
