// SPDX-License-Identifier: Apache-2.0
//! Inverted bits in the queue offsets of records: whichever it is, the start ends, and all other messages of the queue
//! are there.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use kerolox_server::store::clock::{Clock, SystemClock};
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::{MessageStore, RecoveryReport, StoreOptions};

use super::{append_one, fields, invert, open, read_all};

const TOPIC: &str = "orders";
const LOG: u64 = 4096;
/// Where a record has its queue offset, eight bytes (store.md 2.1).
const AT: u64 = 20;

/// Bits that are inverted, from the lowest: near offsets, both sides of the widest gap, of 32 bits and of what a file can hold,
/// and the sign.
const BITS: [u8; 16] = [0, 1, 2, 3, 9, 19, 20, 21, 31, 32, 57, 58, 59, 60, 62, 63];

/// A killed store with one queue, and where each of its messages lies in the log.
struct Killed {
    options: StoreOptions,
    places: Vec<u64>,
}

impl Killed {
    /// A store with `messages`, in a log that begins with one that has expired or with the first.
    fn new(root: &Path, messages: usize, has_expired: bool) -> Self {
        let options = StoreOptions {
            commit_log_file_size: LOG,
            message_index: false,
            ..StoreOptions::new(root)
        };
        let mut killed = Self {
            options,
            places: Vec::new(),
        };
        let (store, _) = killed.open();
        if has_expired {
            // The first file holds this one alone.
            append_one(&store, TOPIC, 0, &[7; 3900]);
        }
        for number in 0..messages {
            let queue = store.queue(TOPIC, 0).unwrap();
            let mut batch = store.new_batch();
            let body = [u8::try_from(number).unwrap(); 200];
            let record = fields(TOPIC, 0, &body, &[]);
            batch.push(&queue, &record, 0).unwrap();
            store.append(&mut batch);
            let at = batch.results()[0].unwrap().physical_offset;
            killed.places.push(at.cast_unsigned());
        }
        drop(store);
        if has_expired {
            fs::remove_file(root.join(format!("commitlog/{:020}", 0))).unwrap();
        }
        killed
    }

    fn open(&self) -> (Arc<MessageStore>, RecoveryReport) {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        open(&self.options, &disk, &clock)
    }

    /// Inverts a bit, counted from the lowest, of the queue offset of a message.
    fn invert(&self, message: usize, bit: u8) {
        let at = self.places[message];
        let path = format!("commitlog/{:020}", at / LOG * LOG);
        let path = self.options.root_dir.join(path);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(path).unwrap();
        invert(&file, at % LOG + AT + 7 - u64::from(bit / 8), bit % 8);
    }

    fn remove_checkpoint(&self) {
        fs::remove_file(self.options.root_dir.join("checkpoint")).unwrap();
    }
}

fn check(messages: usize, has_expired: bool, has_queue: bool) {
    for victim in 0..messages {
        for bit in BITS {
            let offset = victim + usize::from(has_expired);
            let is_last = victim > 0 && victim + 1 == messages;
            if is_last && !has_queue && offset == 1 << bit {
                // A lone 0 after others is that of a queue that was made anew, if no file says otherwise.
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let killed = Killed::new(dir.path(), messages, has_expired);
            // The unit of the victim must come from its record, or the bit means nothing.
            killed.remove_checkpoint();
            if !has_queue {
                fs::remove_dir_all(dir.path().join("consumequeue")).unwrap();
            }
            killed.invert(victim, bit);
            let (store, report) = killed.open();
            let what = format!(
                "bit {bit} of {victim} of {messages}, expired {has_expired}, queue {has_queue}"
            );
            let read: Vec<_> = read_all(&store, TOPIC, 0)
                .iter()
                .map(|message| usize::from(message.message.body[0]))
                .collect();
            let mut others: Vec<_> = (0..messages).filter(|number| *number != victim).collect();
            if read.contains(&victim) {
                others.push(victim);
            } else {
                let is_reported = report.lost_places > 0 || store.figures().damaged_reads > 0;
                assert!(is_reported, "{what}: its loss is not reported, {report:?}");
            }
            others.sort_unstable();
            let mut sorted = read.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, others, "{what}: {report:?}");
            assert!(append_one(&store, TOPIC, 0, b"next") >= 0);
        }
    }
}

#[test]
fn a_bit_of_a_queue_offset_costs_its_message_at_most() {
    for messages in [1, 2, 4] {
        for has_expired in [false, true] {
            for has_queue in [false, true] {
                check(messages, has_expired, has_queue);
            }
        }
    }
}

#[test]
fn after_a_gap_of_more_than_a_million_those_behind_it_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let killed = Killed::new(dir.path(), 5, false);
    for message in 2..5 {
        killed.invert(message, 21);
    }
    for _ in 0..2 {
        let (store, report) = killed.open();
        let read = read_all(&store, TOPIC, 0);
        let offsets: Vec<_> = read.iter().map(|message| message.queue_offset).collect();
        let first = (1 << 21) + 2;
        assert_eq!(offsets, [first, first + 1, first + 2]);
        assert_eq!(store.min_offset(TOPIC, 0), first);
        assert_eq!(report.lost_places, 2);
        drop(store);
        killed.remove_checkpoint();
    }
}
