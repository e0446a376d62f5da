// SPDX-License-Identifier: Apache-2.0
//! Files that can be made again (consume queues, index, checkpoint, abort file, tables) removed, cut, longer or garbage:
//! the broker starts, every message is there at its queue offset, and every key is found.
//!
//! `KEROLOX_CUTS=100000 cargo test -p kerolox-server --test it cuts` tries more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kerolox_server::broker::Broker;
use kerolox_server::config::BrokerConfig;
use kerolox_server::store::clock::ManualClock;
use kerolox_server::store::disk::{Disk, SimDisk};
use kerolox_server::store::{MessageStore, StoreError};

use crate::store::{fields, read_all};

const MESSAGES: i64 = 240;
const QUEUES: i32 = 3;
const LOG: u64 = 16 * 1024;
const TABLES: [&str; 4] = [
    "topics.json",
    "subscriptionGroup.json",
    "consumerOffset.json",
    "delayOffset.json",
];

fn config() -> BrokerConfig {
    BrokerConfig {
        store_path_root_dir: "/store".into(),
        mapped_file_size_commit_log: LOG,
        mapped_file_size_consume_queue: 400,
        max_hash_slot_num: 32,
        max_index_num: 200,
        ..BrokerConfig::default()
    }
}

fn start(disk: &SimDisk) -> Arc<Broker> {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let host = "127.0.0.1:10911".parse().unwrap();
    let (broker, _) = Broker::open(config(), host, Arc::new(disk.clone()), clock).unwrap();
    broker
}

/// A disk with a store that was stopped, or killed with a tail that no checkpoint knows.
fn disk(is_stopped: bool) -> SimDisk {
    let disk = SimDisk::new();
    let broker = start(&disk);
    let store = broker.store();
    for number in 0..MESSAGES {
        let queue_id = i32::try_from(number).unwrap() % QUEUES;
        let queue = store.queue("orders", queue_id).unwrap();
        let text = format!("TAGS\u{1}t\u{2}UNIQ_KEY\u{1}u{number}\u{2}KEYS\u{1}k{number}\u{2}");
        let body = number.to_string().repeat(40);
        let mut batch = store.new_batch();
        let properties = [text.as_bytes()];
        let fields = fields("orders", queue_id, body.as_bytes(), &properties);
        batch.push(&queue, &fields, 0).unwrap();
        assert_eq!(store.append(&mut batch).appended, 1);
        if number == MESSAGES * 3 / 4 {
            store.tick(1_700_000_100_000);
        }
    }
    store.query_by_key("orders", "x", 1, 0, i64::MAX);
    for table in TABLES {
        disk.put(&Path::new("/store/config").join(table), b"{}");
        disk.put(
            &Path::new("/store/config").join(format!("{table}.bak")),
            b"{}",
        );
    }
    if is_stopped {
        store.shutdown().unwrap();
    }
    disk.kill()
}

fn check(store: &MessageStore) {
    for queue_id in 0..QUEUES {
        let read = read_all(store, "orders", queue_id);
        assert_eq!(
            read.len(),
            usize::try_from(MESSAGES).unwrap() / 3,
            "queue {queue_id}"
        );
        assert_eq!(store.max_offset("orders", queue_id), MESSAGES / 3);
        for (message, offset) in read.iter().zip(0..) {
            let number = offset * i64::from(QUEUES) + i64::from(queue_id);
            assert_eq!(message.queue_offset, offset);
            assert_eq!(message.message.body, number.to_string().repeat(40));
            for key in [format!("u{number}"), format!("k{number}")] {
                let found = store.query_by_key("orders", &key, 64, 0, i64::MAX);
                assert_eq!(found.records.len(), 1, "{key}");
            }
        }
    }
}

/// Files that can be made again.
fn derived(disk: &SimDisk) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| path.starts_with("/store/commitlog");
    disk.files()
        .into_iter()
        .filter(|path| !is_log(path))
        .collect()
}

fn damage(disk: &SimDisk, path: &Path, random: &mut fastrand::Rng) -> &'static str {
    let mut content = disk.read(path).unwrap();
    let len = content.len();
    let at = random.usize(..len.max(1));
    let what = match random.u8(..7) {
        0 => {
            disk.remove_file(path).unwrap();
            return "removed";
        }
        1 => {
            content.truncate(at);
            "cut"
        }
        2 => {
            content.clear();
            "empty"
        }
        3 => {
            content.extend((0..random.usize(1..5000)).map(|_| random.u8(..)));
            "longer"
        }
        4 => {
            content.fill_with(|| random.u8(..));
            "garbage"
        }
        5 => {
            content.fill(0);
            "zeros"
        }
        // The entries of an index file have nothing that tells them from others.
        _ if path.starts_with("/store/index") => return "spared",
        _ => {
            content[at.min(len.saturating_sub(1))..].fill_with(|| random.u8(..));
            "garbage at its end"
        }
    };
    disk.put(path, &content);
    what
}

#[test]
fn cuts_of_derived_files_cost_nothing() {
    let count = std::env::var("KEROLOX_CUTS").map_or(1000, |text| text.parse().unwrap());
    let disks = [disk(true), disk(false)];
    for seed in 0..count {
        let mut random = fastrand::Rng::with_seed(seed);
        let disk = disks[random.usize(..2)].kill();
        for _ in 0..random.usize(1..4) {
            let files = derived(&disk);
            let path = &files[random.usize(..files.len())];
            if !path.ends_with("lock") {
                let what = damage(&disk, path, &mut random);
                println!("seed {seed}: {} {what}", path.display());
            }
        }
        let broker = start(&disk);
        check(broker.store());
        // And the next start has nothing to do with it any more.
        broker.store().shutdown().unwrap();
        drop(broker);
        let broker = start(&disk.kill());
        check(broker.store());
    }
}

/// Opens a store in a disk that was changed.
fn open(
    disk: &SimDisk,
) -> Result<(Arc<MessageStore>, kerolox_server::store::RecoveryReport), StoreError> {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    MessageStore::open(config().store_options(), Arc::new(disk.clone()), clock)
}

#[test]
fn foreign_files_are_left_alone() {
    for is_stopped in [true, false] {
        let disk = disk(is_stopped);
        let foreign = [
            "/store/README",
            "/store/consumequeue/README",
            "/store/consumequeue/orders/README",
            "/store/consumequeue/orders/0/README",
            "/store/consumequeue/orders/x/00000000000000000000",
            "/store/index/README",
            "/store/config/README.json",
            "/store/transientpool/README",
            "/store/lost+found/x",
        ];
        for path in foreign {
            disk.put(Path::new(path), b"mine");
        }
        let broker = start(&disk);
        check(broker.store());
        broker.store().shutdown().unwrap();
        for path in foreign {
            let content = disk.read(Path::new(path));
            assert!(content.is_ok_and(|content| content == b"mine"), "{path}");
        }
    }
}

#[test]
fn foreign_file_in_the_log_is_named_and_nothing_is_changed() {
    for (name, content) in [
        ("README", 5),
        ("00000000000000000017", 5),
        ("00000000000000016384", 5),
    ] {
        let disk = disk(true);
        let path = Path::new("/store/commitlog").join(name);
        disk.put(&path, &vec![7; content]);
        let before: Vec<_> = disk
            .files()
            .iter()
            .map(|path| disk.read(path).unwrap())
            .collect();
        let Err(error) = open(&disk) else {
            panic!("{name} is taken for a segment");
        };
        assert!(matches!(error, StoreError::ForeignFile { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("move it away"));
        let files = disk
            .files()
            .into_iter()
            .filter(|path| !path.ends_with("abort"));
        let after: Vec<_> = files.map(|path| disk.read(&path).unwrap()).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn checkpoint_from_the_future_is_not_believed() {
    // Of a store that has gone on: its offsets and times lie behind the end of this log.
    let later = disk(false);
    let broker = start(&later);
    let store = broker.store();
    let queue = store.queue("orders", 0).unwrap();
    for _ in 0..2000 {
        let mut batch = store.new_batch();
        batch
            .push(&queue, &fields("orders", 0, &[1; 300], &[]), 0)
            .unwrap();
        store.append(&mut batch);
    }
    store.tick(1_800_000_000_000);
    store.shutdown().unwrap();
    let checkpoint = later.read(Path::new("/store/checkpoint")).unwrap();
    let mut times = checkpoint.clone();
    times[..8].copy_from_slice(&i64::MAX.to_be_bytes());
    times[8..16].copy_from_slice(&i64::MAX.to_be_bytes());
    for is_stopped in [true, false] {
        for content in [&checkpoint, &times] {
            let disk = disk(is_stopped);
            disk.put(Path::new("/store/checkpoint"), content);
            let broker = start(&disk);
            check(broker.store());
        }
    }
}

#[test]
fn hole_in_the_log_is_reported_and_costs_what_it_held() {
    for is_stopped in [true, false] {
        for missing in [0, LOG, 2 * LOG] {
            let disk = disk(is_stopped);
            let path = format!("/store/commitlog/{missing:020}");
            disk.remove_file(Path::new(&path)).unwrap();
            let (store, report) = open(&disk).unwrap();
            let range = missing.cast_signed()..(missing + LOG).cast_signed();
            if missing == 0 {
                // As if it had expired.
                assert_eq!(store.commit_log_min(), LOG.cast_signed());
            } else {
                let is_reported = report
                    .damaged
                    .iter()
                    .any(|damaged| damaged.start <= range.start && range.end <= damaged.end);
                assert!(is_reported || report.start > range.start, "{report:?}");
            }
            let mut damaged = 0;
            for queue_id in 0..QUEUES {
                for message in read_all(&store, "orders", queue_id) {
                    let number = message.queue_offset * i64::from(QUEUES) + i64::from(queue_id);
                    assert_eq!(message.message.body, number.to_string().repeat(40));
                    assert!(!range.contains(&message.physical_offset));
                    damaged += 1;
                }
            }
            assert!(damaged > MESSAGES / 2 && damaged < MESSAGES, "{damaged}");
        }
    }
}
