// SPDX-License-Identifier: Apache-2.0
//! The store on a disk that fails: what was flushed is never lost, nothing damaged is delivered, offsets have no gaps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, Fault, FaultKind, SimDisk};
use kerolox_server::store::{AppendError, Flush, MessageStore, RecoveryReport, StoreOptions};

use crate::store::{append_one, fields, open, read_all};

const LOG: u64 = 16 * 1024;
const TOPICS: [&str; 2] = ["orders", "%RETRY%g"];

/// What a queue must hold: body and end in the commit log of each message.
type Model = BTreeMap<(&'static str, i32), Vec<(Vec<u8>, i64)>>;

struct Run {
    random: fastrand::Rng,
    options: StoreOptions,
    time: Arc<ManualClock>,
    disk: SimDisk,
    model: Model,
    /// Messages that were refused because a write failed: they may be there after a restart, or not.
    refused: Vec<((&'static str, i32), Vec<u8>)>,
    /// Everything before is on disk, as the store said.
    flushed: i64,
    sent: u64,
}

impl Run {
    fn new(seed: u64, flush: Flush) -> Self {
        let options = StoreOptions {
            commit_log_file_size: LOG,
            consume_queue_file_size: 400,
            max_hash_slot_num: 32,
            max_index_num: 300,
            flush,
            ..StoreOptions::new("/store")
        };
        Self {
            random: fastrand::Rng::with_seed(seed),
            options,
            time: Arc::new(ManualClock::new(1_700_000_000_000)),
            disk: SimDisk::new(),
            model: Model::new(),
            refused: Vec::new(),
            flushed: 0,
            sent: 0,
        }
    }

    fn open(&self) -> (Arc<MessageStore>, RecoveryReport) {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.time);
        open(&self.options, &disk, &clock)
    }

    /// Appends a batch of random messages, some of them as groups; returns whether all were taken.
    fn append(&mut self, store: &MessageStore) -> bool {
        let mut batch = store.new_batch();
        let mut pushed = Vec::new();
        for _ in 0..self.random.usize(1..6) {
            let topic = TOPICS[self.random.usize(..TOPICS.len())];
            let queue_id = self.random.i32(0..3);
            let queue = store.queue(topic, queue_id).unwrap();
            let in_group = if self.random.u8(..4) == 0 {
                self.random.usize(1..9)
            } else {
                1
            };
            if in_group > 1 {
                batch.begin_group();
            }
            for _ in 0..in_group {
                let mut body = self.sent.to_be_bytes().to_vec();
                body.resize(8 + self.random.usize(..900), self.random.u8(..));
                let tag = format!("TAGS\u{1}tag{}\u{2}", self.sent % 7);
                let long = format!("k\u{1}{}\u{2}", "v".repeat(self.random.usize(1..700)));
                batch
                    .push(
                        &queue,
                        &fields(topic, queue_id, &body, &[tag.as_bytes(), long.as_bytes()]),
                        0,
                    )
                    .unwrap();
                pushed.push(((topic, queue_id), body));
                self.sent += 1;
            }
            batch.end_group();
        }
        store.append(&mut batch);
        let mut all = true;
        for ((key, body), result) in pushed.into_iter().zip(batch.results()) {
            let Ok(appended) = result else {
                all = false;
                self.refused.push((key, body));
                continue;
            };
            let messages = self.model.entry(key).or_default();
            assert_eq!(
                appended.queue_offset,
                i64::try_from(messages.len()).unwrap()
            );
            messages.push((body, appended.physical_offset + i64::from(appended.size)));
        }
        all
    }

    fn step(&mut self, store: &MessageStore) {
        match self.random.u8(..10) {
            0..6 => drop(self.append(store)),
            6 => {
                if let Ok(report) = store.flush_pass() {
                    self.flushed = report.flushed;
                }
            }
            _ => {
                self.time.advance(self.random.i64(1..1500));
                store.tick(self.time.now_ms());
                self.flushed = store.flushed_offset();
            }
        }
    }

    /// Compares the reopened store with the model and cuts the model to what survived. `must` says which messages must
    /// have survived, by their end in the log.
    fn check(&mut self, store: &MessageStore, must: impl Fn(i64) -> bool) {
        for (&(topic, queue_id), messages) in &mut self.model {
            let max = usize::try_from(store.max_offset(topic, queue_id)).unwrap();
            let refused = self
                .refused
                .iter()
                .filter(|(key, _)| *key == (topic, queue_id));
            let missing = max.saturating_sub(messages.len());
            messages.extend(
                refused
                    .take(missing)
                    .map(|(_, body)| (body.clone(), i64::MAX)),
            );
            assert!(
                max <= messages.len(),
                "{topic} {queue_id}: {max} of {}",
                messages.len()
            );
            for (_, end) in &messages[max..] {
                assert!(
                    !must(*end),
                    "{topic} {queue_id}: a safe message ending at {end} is lost"
                );
            }
            messages.truncate(max);
            let read = read_all(store, topic, queue_id);
            assert_eq!(read.len(), max, "{topic} {queue_id}: a gap");
            for (offset, (message, (body, _))) in read.iter().zip(messages.iter()).enumerate() {
                assert_eq!(message.queue_offset, i64::try_from(offset).unwrap());
                assert_eq!(message.message.body, body);
                let number = u64::from_be_bytes(*body.first_chunk().unwrap());
                assert_eq!(
                    message.message.tag(),
                    Some(format!("tag{}", number % 7).as_str())
                );
                assert!(
                    message
                        .message
                        .properties
                        .get("k")
                        .unwrap()
                        .bytes()
                        .all(|byte| byte == b'v')
                );
            }
        }
    }
}

#[test]
fn power_failures_lose_nothing_that_was_flushed() {
    for seed in 0..150 {
        let flush = if seed % 2 == 0 {
            Flush::Async
        } else {
            Flush::Sync
        };
        let mut run = Run::new(seed, flush);
        run.options.transient_store_pool = seed % 4 == 0;
        run.options.transient_store_pool_size = 100;
        for round in 0..4 {
            println!("seed {seed} round {round}");
            let (store, report) = run.open();
            assert!(report.damaged.is_empty());
            let flushed = run.flushed;
            run.check(&store, |end| end <= flushed);
            for _ in 0..run.random.usize(1..60) {
                run.step(&store);
            }
            let mut random = run.random.fork();
            let left = run.disk.crash(|| random.u64(..));
            drop(store);
            run.disk = left;
        }
    }
}

#[test]
fn kills_lose_nothing() {
    for seed in 0..60 {
        let mut run = Run::new(seed, Flush::Async);
        run.options.transient_store_pool = seed % 2 == 1;
        run.options.transient_store_pool_size = 100;
        for round in 0..4 {
            println!("seed {seed} round {round}");
            let (store, report) = run.open();
            assert!(report.damaged.is_empty());
            run.check(&store, |_| true);
            for _ in 0..run.random.usize(1..60) {
                run.step(&store);
            }
            if run.random.bool() {
                store.shutdown().unwrap();
            }
            run.disk = run.disk.kill();
        }
    }
}

#[test]
fn crashes_at_every_step_of_appends_and_recovery_are_survived() {
    for seed in 0..6 {
        let mut after = 0;
        loop {
            let mut run = Run::new(seed, Flush::Sync);
            let (store, _) = run.open();
            let first = run.disk.steps();
            run.disk.inject(Fault {
                after,
                kind: FaultKind::Io,
                is_lasting: true,
            });
            for _ in 0..25 {
                run.step(&store);
            }
            let is_over = run.disk.steps() <= first + after;
            let mut random = run.random.fork();
            let left = run.disk.crash(|| random.u64(..));
            drop(store);
            run.disk = left;
            // And once more in the middle of the recovery.
            run.disk.inject(Fault {
                after: after % 7,
                kind: FaultKind::Io,
                is_lasting: true,
            });
            let disk: Arc<dyn Disk> = Arc::new(run.disk.clone());
            let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&run.time);
            drop(MessageStore::open(run.options.clone(), disk, clock));
            run.disk = run.disk.crash(|| random.u64(..));
            let (store, _) = run.open();
            let flushed = run.flushed;
            run.check(&store, |end| end <= flushed);
            if is_over {
                break;
            }
            after += 1 + after / 8;
        }
        assert!(after > 20);
    }
}

/// The reference, after a kill, counts what lies first in the newest file of a queue as a unit, zeros too.
/// Returns how many such files have no unit yet.
fn queues_without_units(disk: &SimDisk) -> usize {
    let mut newest = BTreeMap::new();
    for path in disk.files() {
        if path.starts_with("/store/consumequeue") {
            newest.insert(path.parent().unwrap().to_path_buf(), path);
        }
    }
    let mut without = 0;
    for path in newest.into_values() {
        let content = disk.read(&path).unwrap();
        assert_ne!(content[..20], [0; 20], "{}", path.display());
        without += usize::from(content[..8] == i64::MAX.to_be_bytes());
    }
    without
}

#[test]
fn after_a_kill_at_any_step_no_queue_file_begins_with_zeros() {
    let mut without = 0;
    for after in 0..200 {
        let mut run = Run::new(after, Flush::Async);
        let (store, _) = run.open();
        run.disk.inject(Fault {
            after,
            kind: FaultKind::Io,
            is_lasting: true,
        });
        while !run.disk.has_struck() {
            run.step(&store);
        }
        drop(store);
        run.disk = run.disk.kill();
        without += queues_without_units(&run.disk);
        if after % 2 == 0 {
            // Then the ends of all queues are made zero.
            run.disk = run.disk.crash(|| 0);
        }
        drop(run.open());
        run.disk = run.disk.kill();
        without += queues_without_units(&run.disk);
    }
    assert!(without > 0);
}

/// Pages whose sync failed count as written. A start and a stop later they are on the disk, and not only in memory.
#[test]
fn what_a_failed_sync_left_is_written_again() {
    const QUEUES: i32 = 4;
    for after in 0.. {
        let mut run = Run::new(after, Flush::Async);
        let (store, _) = run.open();
        for number in 0..10 * QUEUES {
            append_one(&store, "orders", number % QUEUES, &[7; 50]);
        }
        run.disk.inject(Fault {
            after,
            kind: FaultKind::Io,
            is_lasting: false,
        });
        if store.shutdown().is_ok() && !run.disk.has_struck() {
            assert!(after > 6);
            break;
        }
        drop(store);
        run.disk = run.disk.kill();
        let (store, _) = run.open();
        store.shutdown().unwrap();
        drop(store);
        run.disk = run.disk.crash(|| 0);
        let (store, report) = run.open();
        assert_eq!((report.records, report.rebuilt_queues.len()), (0, 0));
        for queue_id in 0..QUEUES {
            assert_eq!(read_all(&store, "orders", queue_id).len(), 10, "{after}");
        }
    }
}

#[test]
fn failed_write_or_sync_is_final() {
    for after in 0..40 {
        let mut run = Run::new(after, Flush::Sync);
        let (store, _) = run.open();
        append_one(&store, "orders", 0, b"before");
        run.model.insert(
            ("orders", 0),
            vec![(b"before".to_vec(), store.commit_log_max())],
        );
        run.disk.inject(Fault {
            after,
            kind: FaultKind::Io,
            is_lasting: false,
        });
        let mut is_failed = false;
        for _ in 0..40 {
            let flushed = store.flush_pass();
            let is_taken = run.append(&store);
            is_failed |= flushed.is_err();
            if is_failed {
                assert!(flushed.is_err() && !is_taken && !store.is_writable());
                assert_eq!(
                    store.max_offset("orders", 0).min(1),
                    i64::from(store.flushed_offset() > 0)
                );
            }
        }
        if is_failed {
            let queue = store.queue("orders", 0).unwrap();
            let mut batch = store.new_batch();
            batch
                .push(&queue, &fields("orders", 0, b"after", &[]), 0)
                .unwrap();
            store.append(&mut batch);
            assert_eq!(batch.results()[0], Err(AppendError::Poisoned));
            assert!(store.shutdown().is_err());
        }
    }
}

#[test]
fn full_disk_refuses_without_harm() {
    let mut run = Run::new(7, Flush::Async);
    let (store, _) = run.open();
    for _ in 0..10 {
        assert!(run.append(&store));
    }
    run.disk.inject(Fault {
        after: 0,
        kind: FaultKind::NoSpace,
        is_lasting: true,
    });
    // What fits into the space that was reserved is still taken.
    while run.append(&store) {}
    store.flush_pass().unwrap();
    assert!(!store.is_poisoned());
    assert_eq!(run.disk.bus_errors(), 0);
    run.disk.heal();
    assert!(run.append(&store));
    run.disk = run.disk.kill();
    drop(store);
    let (store, _) = run.open();
    run.check(&store, |_| true);
}

#[test]
fn rot_costs_the_record_it_hits_and_no_other() {
    for seed in 0..80 {
        let mut run = Run::new(seed, Flush::Async);
        let (store, _) = run.open();
        for _ in 0..30 {
            run.append(&store);
        }
        // Everything is on disk, and the checkpoint says so.
        store.flush_pass().unwrap();
        run.time.advance(20_000);
        store.tick(run.time.now_ms());
        let is_stopped = run.random.bool();
        if is_stopped {
            store.shutdown().unwrap();
        }
        let end = usize::try_from(store.commit_log_max()).unwrap();
        run.disk = run.disk.kill();
        drop(store);

        let hit = run.random.usize(..end);
        let base = hit as u64 / LOG * LOG;
        let path = format!("/store/commitlog/{base:020}");
        assert!(
            run.disk
                .flip_bit(Path::new(&path), hit % LOG as usize, run.random.u8(..8))
        );
        let (store, _) = run.open();
        println!("seed {seed} hit {hit} stopped {is_stopped}");
        let mut missing = 0;
        for (&(topic, queue_id), messages) in &run.model {
            let read = read_all(&store, topic, queue_id);
            for message in &read {
                let offset = usize::try_from(message.queue_offset).unwrap();
                // A hit in the head or the properties may show there, but never in the body or its place.
                assert_eq!(message.message.body, messages[offset].0);
            }
            missing += messages.len() - read.len();
        }
        assert!(missing <= 1, "{missing} records are missing");
        for (&(topic, queue_id), messages) in &run.model {
            let next = append_one(&store, topic, queue_id, b"next");
            assert_eq!(next, i64::try_from(messages.len()).unwrap());
        }
    }
}
