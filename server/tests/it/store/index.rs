// SPDX-License-Identifier: Apache-2.0
//! Queries by key, and index files that are missing, cut, garbage or of a lost moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kerolox_protocol::message::record;
use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, OpenSegment, SimDisk};
use kerolox_server::store::{MessageStore, RecoveryReport, StoreOptions};

use super::{fields, open};

const ROOT: &str = "/store";

struct World {
    options: StoreOptions,
    disk: SimDisk,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let options = StoreOptions {
            commit_log_file_size: 64 * 1024,
            consume_queue_file_size: 4000,
            max_hash_slot_num: 16,
            max_index_num: 200,
            ..StoreOptions::new(ROOT)
        };
        Self {
            options,
            disk: SimDisk::new(),
            clock: Arc::new(ManualClock::new(1_700_000_000_000)),
        }
    }

    fn open(&self) -> (Arc<MessageStore>, RecoveryReport) {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        open(&self.options, &disk, &clock)
    }

    /// Appends messages `from .. to`, each with a unique key, two keys of which one is shared by ten, and a tag.
    fn fill(&self, store: &MessageStore, from: usize, to: usize) {
        let queue = store.queue("orders", 0).unwrap();
        for number in from..to {
            self.clock.advance(7);
            let text = format!(
                "UNIQ_KEY\u{1}u{number}\u{2}KEYS\u{1}k{number} ten{}\u{2}TAGS\u{1}t{}\u{2}",
                number / 10,
                number % 100
            );
            let body = format!("body {number}");
            let mut batch = store.new_batch();
            batch
                .push(
                    &queue,
                    &fields("orders", 0, body.as_bytes(), &[text.as_bytes()]),
                    0,
                )
                .unwrap();
            assert_eq!(store.append(&mut batch).appended, 1);
        }
    }

    fn index_files(&self) -> Vec<PathBuf> {
        let files = self.disk.files();
        let dir = Path::new(ROOT).join("index");
        files
            .into_iter()
            .filter(|path| path.starts_with(&dir))
            .collect()
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        self.disk.remove_file(path).unwrap();
        let open = OpenSegment {
            len: bytes.len() as u64,
            create: true,
            readable: 0,
            head: &[],
        };
        self.disk
            .open_segment(path, open)
            .unwrap()
            .write(0, bytes)
            .unwrap();
    }
}

/// Bodies that a key finds.
fn find(store: &MessageStore, key: &str) -> Vec<String> {
    let found = store.query_by_key("orders", key, 64, 0, i64::MAX);
    let bodies = found.records.into_iter().map(|bytes| {
        let message = record::decode(&bytes).unwrap();
        String::from_utf8(message.message.body.to_vec()).unwrap()
    });
    bodies.collect()
}

/// Hash collisions are allowed, a missing message is not.
fn check(store: &MessageStore, count: usize) {
    for number in 0..count {
        let body = format!("body {number}");
        for key in [format!("u{number}"), format!("k{number}")] {
            assert!(find(store, &key).contains(&body), "{key}");
        }
        let ten = find(store, &format!("ten{}", number / 10));
        assert!(ten.contains(&body), "{ten:?}");
    }
}

#[test]
fn keys_are_found_across_files_kills_and_stops() {
    let mut world = World::new();
    let mut count = 0;
    for round in 0..6 {
        let (store, report) = world.open();
        assert_eq!(report.rebuilt_index, Vec::<PathBuf>::new());
        check(&store, count);
        world.fill(&store, count, count + 70);
        count += 70;
        if round % 2 == 0 {
            store.tick(world.clock.now_ms());
        }
        world.fill(&store, count, count + 5);
        count += 5;
        if round % 3 == 0 {
            store.shutdown().unwrap();
        }
        world.disk = world.disk.kill();
    }
    let (store, _) = world.open();
    check(&store, count);
    assert!(world.index_files().len() > 5);
    let tagged = find(&store, "T#t3");
    assert_eq!(tagged.len(), count.div_ceil(100), "{tagged:?}");
    assert!(find(&store, "nothing").is_empty());
}

#[test]
fn times_and_counts_limit_a_query() {
    let world = World::new();
    let (store, _) = world.open();
    world.fill(&store, 0, 100);
    let start = 1_700_000_000_000;
    // Message n was stored at start + 7 * (n + 1).
    let between = store.query_by_key("orders", "ten4", 64, start + 7 * 44, start + 7 * 46);
    assert_eq!(between.records.len(), 3);
    assert_eq!(between.index_timestamp, start + 700);
    let newest = store.query_by_key("orders", "ten4", 2, 0, i64::MAX);
    let last = record::decode(newest.records.last().unwrap()).unwrap();
    assert_eq!(
        (newest.records.len(), &last.message.body[..]),
        (2, &b"body 49"[..])
    );
    assert!(
        store
            .query_by_key("other", "ten4", 64, 0, i64::MAX)
            .records
            .is_empty()
    );
}

#[test]
fn missing_cut_and_garbage_files_are_made_again() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.fill(&store, 0, 300);
    store.shutdown().unwrap();
    drop(store);
    world.disk = world.disk.kill();
    let files = world.index_files();
    assert!(files.len() >= 6);
    let mut random = fastrand::Rng::with_seed(7);
    for (index, path) in files.iter().enumerate() {
        for damage in 0..4 {
            let mut damaged = World::new();
            damaged.disk = world.disk.kill();
            let content = damaged.disk.read(path).unwrap();
            match damage {
                0 => damaged.disk.remove_file(path).unwrap(),
                1 => damaged.write(path, &content[..random.usize(..content.len())]),
                2 => damaged.write(path, &vec![0xEE; content.len()]),
                _ => {
                    let mut longer = content.clone();
                    longer.push(0);
                    damaged.write(path, &longer);
                }
            }
            let (store, report) = damaged.open();
            println!("file {index} of {} damage {damage}", files.len());
            check(&store, 300);
            let is_newest_missing = damage == 0 && index + 1 == files.len();
            assert_eq!(report.rebuilt_index.is_empty(), is_newest_missing);
            damaged.fill(&store, 300, 310);
            check(&store, 310);
        }
    }
}

#[test]
fn foreign_files_in_the_index_are_left_alone() {
    let world = World::new();
    let (store, _) = world.open();
    world.fill(&store, 0, 20);
    store.shutdown().unwrap();
    drop(store);
    let note = Path::new(ROOT).join("index/README");
    world.write(&note, b"mine");
    let (store, _) = world.open();
    check(&store, 20);
    assert_eq!(world.disk.read(&note).unwrap(), b"mine");
}

#[test]
fn power_failures_cost_no_key_of_what_survives() {
    for seed in 0..60 {
        let mut world = World::new();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut count = 0;
        for _ in 0..3 {
            let (store, _) = world.open();
            println!("seed {seed} after {count}");
            let survived = usize::try_from(store.max_offset("orders", 0)).unwrap();
            check(&store, survived);
            count = survived;
            let more = random.usize(1..120);
            world.fill(&store, count, count + more);
            count += more;
            if random.bool() {
                world.clock.advance(2000);
                store.tick(world.clock.now_ms());
            }
            world.fill(&store, count, count + 5);
            store.query_by_key("orders", "x", 1, 0, 1);
            world.disk = world.disk.crash(|| random.u64(..));
        }
    }
}

#[test]
fn expired_files_go_with_the_log() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.fill(&store, 0, 2000);
    store.flush_pass().unwrap();
    world.clock.advance(100 * 3_600_000);
    // Every hour is one for deleting.
    drop(store);
    world.options.delete_when = (0..24).map(|hour| format!("{hour};")).collect();
    world.disk = world.disk.kill();
    let (store, _) = world.open();
    check(&store, 30);
    let before = world.index_files().len();
    world.clock.advance(61_000);
    store.tick(world.clock.now_ms());
    assert!(store.commit_log_min() > 0);
    let after = world.index_files().len();
    assert!(after < before, "{after} of {before}");
    assert!(find(&store, "u3").is_empty());
    assert_eq!(find(&store, "u1999"), ["body 1999"]);
    // And after a restart nothing of the removed is missed.
    store.shutdown().unwrap();
    drop(store);
    let (_, report) = world.open();
    assert_eq!(report.rebuilt_index, Vec::<PathBuf>::new());
}
