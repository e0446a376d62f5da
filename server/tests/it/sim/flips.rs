// SPDX-License-Identifier: Apache-2.0
//! Single inverted bits in the log of a real store: each costs one message at most, which is reported, and no damaged
//! body is delivered.
//!
//! The ordinary run tries a few. All of them, 2,000 bits in 100,000 messages, which takes six minutes:
//!
//!     KEROLOX_FLIPS=2000 KEROLOX_FLIP_MESSAGES=100000 cargo test --release -p kerolox-server --test it flips -- --nocapture

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::message::record::RecordView;
use kerolox_server::store::clock::{Clock, SystemClock};
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::{MessageStore, RecoveryReport, StoreOptions};

use crate::store::{fields, invert, open};

const LOG: u64 = 1 << 20;
const QUEUES: i32 = 4;
const BODY: usize = 128;

fn number(variable: &str, ordinary: u64) -> u64 {
    std::env::var(variable).map_or(ordinary, |text| text.parse().unwrap())
}

struct Log {
    options: StoreOptions,
    messages: u64,
    /// Place and size in the log of each message.
    places: Vec<(u64, u64)>,
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    let mut random = fastrand::Rng::with_seed(number);
    body.resize_with(BODY, || random.u8(..));
    body
}

impl Log {
    /// Writes a store and leaves it as after a clean stop, or as a killed process leaves it.
    fn write(root: &Path, messages: u64, is_stopped: bool) -> Self {
        let options = StoreOptions {
            commit_log_file_size: LOG,
            consume_queue_file_size: 20_000,
            message_index: false,
            ..StoreOptions::new(root)
        };
        let mut log = Self {
            options,
            messages,
            places: Vec::new(),
        };
        let (store, _) = log.open();
        for from in (0..messages).step_by(100) {
            let mut batch = store.new_batch();
            for number in from..messages.min(from + 100) {
                let queue_id = log.queue_id(number);
                let queue = store.queue("orders", queue_id).unwrap();
                let text = format!("TAGS\u{1}t{}\u{2}UNIQ_KEY\u{1}u{number}\u{2}", number % 9);
                batch
                    .push(
                        &queue,
                        &fields("orders", queue_id, &body(number), &[text.as_bytes()]),
                        0,
                    )
                    .unwrap();
            }
            store.append(&mut batch);
            for result in batch.results() {
                let appended = result.unwrap();
                let at = appended.physical_offset.cast_unsigned();
                log.places.push((at, u64::try_from(appended.size).unwrap()));
            }
            if from == messages / 200 * 100 {
                // The first half lies before the checkpoint, the rest is the tail that a kill leaves.
                store.flush_pass().unwrap();
                store.tick(i64::MAX / 2);
            }
        }
        if is_stopped {
            store.shutdown().unwrap();
        }
        log
    }

    fn queue_id(&self, number: u64) -> i32 {
        i32::try_from(number).unwrap() % QUEUES
    }

    fn open(&self) -> (Arc<MessageStore>, RecoveryReport) {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        open(&self.options, &disk, &clock)
    }

    /// Reads everything; returns the messages that are not there, and checks that all others are what was sent.
    fn check(&self, store: &MessageStore, hit: Option<u64>) -> Vec<u64> {
        let mut is_there = vec![false; usize::try_from(self.messages).unwrap()];
        for (topic, ids) in store.topics() {
            for id in ids {
                let mut offset = store.min_offset(&topic, id);
                while offset < store.max_offset(&topic, id) {
                    let result = store.get(&topic, id, offset, 32, 1 << 20, &mut |_| true);
                    assert!(result.next_offset > offset);
                    offset = result.next_offset;
                    for slice in &result.slices {
                        let mut rest = slice.as_ref();
                        while !rest.is_empty() {
                            let record = RecordView::parse(rest).unwrap();
                            let number = u64::from_be_bytes(*record.body.first_chunk().unwrap());
                            assert!(record.body == body(number), "a damaged body is delivered");
                            let is_own = topic == "orders"
                                && id == self.queue_id(number)
                                && record.queue_offset
                                    == i64::try_from(number / QUEUES.cast_unsigned() as u64)
                                        .unwrap()
                                && record.topic == b"orders";
                            assert!(is_own || hit == Some(number), "{number} is elsewhere");
                            let seen = &mut is_there[usize::try_from(number).unwrap()];
                            // A record of which the queue is damaged is found by its unit, and by what it says itself.
                            let is_again = std::mem::replace(seen, true);
                            assert!(!is_again || hit == Some(number), "{number} comes twice");
                            rest = &rest[record.size..];
                        }
                    }
                }
            }
        }
        let numbers = (0u64..).zip(is_there);
        numbers
            .filter(|(_, is_there)| !is_there)
            .map(|(number, _)| number)
            .collect()
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Flips `count` bits, one at a time; returns how many cost a message.
fn flip(count: u64, messages: u64, is_stopped: bool, seed: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::write(&dir.path().join("store"), messages, is_stopped);
    let root = log.options.root_dir.clone();
    // Everything but the log, which is as it was after each flip back.
    let derived = dir.path().join("derived");
    copy_dir(&root, &derived);
    fs::remove_dir_all(derived.join("commitlog")).unwrap();
    let (last, size) = *log.places.last().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lost_all = 0;
    for _ in 0..count {
        let hit = random.u64(..last + size);
        let bit = random.u8(..8);
        let path = root.join(format!("commitlog/{:020}", hit / LOG * LOG));
        let original = fs::read(&path).unwrap();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        invert(&file, hit % LOG, bit);
        let victim = (0u64..)
            .zip(&log.places)
            .find(|(_, (at, size))| (*at..at + size).contains(&hit));
        let victim = victim.map(|(number, _)| number);

        let (store, report) = log.open();
        let lost = log.check(&store, victim);
        let place = victim.map_or(0, |number| log.places[usize::try_from(number).unwrap()].0);
        let is_reported = store.figures().damaged_reads > 0
            || report.lost_places > 0
            || report
                .damaged
                .iter()
                .any(|range| range.contains(&place.cast_signed()));
        assert!(
            lost.is_empty() || lost.iter().copied().eq(victim) && is_reported,
            "byte {hit} bit {bit} of message {victim:?} costs {lost:?}, {report:?}"
        );
        lost_all += lost.len() as u64;
        drop(store);

        fs::write(&path, original).unwrap();
        for entry in fs::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            } else if !path.ends_with("commitlog") {
                fs::remove_dir_all(path).unwrap();
            }
        }
        copy_dir(&derived, &root);
    }
    lost_all
}

#[test]
fn flips_cost_one_message_each_at_most_and_are_reported() {
    let count = number("KEROLOX_FLIPS", 40);
    let messages = number("KEROLOX_FLIP_MESSAGES", 2000);
    let begun = std::time::Instant::now();
    let stopped = flip(count / 2, messages, true, 1);
    let killed = flip(count.div_ceil(2), messages, false, 2);
    println!(
        "{count} flips in {messages} messages cost {} messages in {:?}",
        stopped + killed,
        begun.elapsed()
    );
    assert!(stopped + killed > 0);
}
