// SPDX-License-Identifier: Apache-2.0
//! The store on the real file system.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kerolox_protocol::message::sys_flag;
use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::{
    Boundary, Flush, GetStatus, MessageStore, StoreError, StoreOptions, StoreThread,
};

use super::{append_one, fields, messages, open, read_all};

struct Fixture {
    _dir: tempfile::TempDir,
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    time: Arc<ManualClock>,
    clock: Arc<dyn Clock>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        commit_log_file_size: 8192,
        consume_queue_file_size: 200,
        ..StoreOptions::new(dir.path().join("store"))
    };
    let time = Arc::new(ManualClock::new(1_700_000_000_000));
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&time);
    Fixture {
        _dir: dir,
        options,
        disk: Arc::new(RealDisk::new()),
        time,
        clock,
    }
}

impl Fixture {
    fn open(&self) -> Arc<MessageStore> {
        open(&self.options, &self.disk, &self.clock).0
    }
}

fn body(number: usize) -> Vec<u8> {
    format!("message {number} {}", "x".repeat(number % 700)).into_bytes()
}

fn check(store: &MessageStore, count: usize) {
    for queue_id in 0..3 {
        let read = read_all(store, "t", queue_id);
        assert_eq!(read.len(), count / 3);
        for (offset, message) in read.iter().enumerate() {
            assert_eq!(message.queue_offset, i64::try_from(offset).unwrap());
            let number = offset * 3 + usize::try_from(queue_id).unwrap();
            assert_eq!(message.message.body, body(number));
        }
    }
}

fn fill(store: &MessageStore, from: usize, to: usize) {
    for number in from..to {
        append_one(
            store,
            "t",
            i32::try_from(number % 3).unwrap(),
            &body(number),
        );
    }
}

#[test]
fn messages_survive_rolls_stops_and_kills() {
    let fixture = fixture();
    let mut count = 0;
    for round in 0..6 {
        let store = fixture.open();
        check(&store, count);
        fill(&store, count, count + 60);
        count += 60;
        check(&store, count);
        if round % 2 == 0 {
            store.shutdown().unwrap();
            assert!(!fixture.options.root_dir.join("abort").exists());
        }
        // Without the shutdown this is what the death of the process leaves: mapped pages and the abort file.
    }
    let (store, report) = open(&fixture.options, &fixture.disk, &fixture.clock);
    assert!(report.is_after_crash);
    check(&store, count);
    // Every file is complete, as the reference demands.
    for entry in std::fs::read_dir(fixture.options.root_dir.join("commitlog")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().len(), 8192);
    }
}

#[test]
fn second_holder_is_refused_with_the_pid() {
    let fixture = fixture();
    let store = fixture.open();
    let refused = MessageStore::open(
        fixture.options.clone(),
        Arc::clone(&fixture.disk),
        Arc::clone(&fixture.clock),
    );
    match refused.err().unwrap() {
        StoreError::Locked { pid, .. } => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other}"),
    }
    store.shutdown().unwrap();
    drop(fixture.open());
}

#[test]
fn other_processes_see_a_record_lock() {
    let fixture = fixture();
    let _store = fixture.open();
    let path = fixture.options.root_dir.join("lock");
    // Reading the file here would drop the lock: closing any handle of a process drops its record locks.
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4);
    let script = "import fcntl,sys\nf=open(sys.argv[1],'r+b')\ntry:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,1,0)\n print('taken')\nexcept OSError:\n print('refused')";
    match std::process::Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(&path)
        .output()
    {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "refused"),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "python3 is missing: {error}"
            );
            println!("skipped: python3 is missing");
        }
    }
}

#[test]
fn foreign_files_in_the_log_are_refused() {
    let fixture = fixture();
    fixture.open().shutdown().unwrap();
    std::fs::write(fixture.options.root_dir.join("commitlog/notes.txt"), b"x").unwrap();
    let opened = MessageStore::open(
        fixture.options.clone(),
        Arc::clone(&fixture.disk),
        Arc::clone(&fixture.clock),
    );
    assert!(matches!(
        opened.err().unwrap(),
        StoreError::ForeignFile { .. }
    ));
}

#[test]
fn reads_have_the_statuses_of_the_reference() {
    let fixture = fixture();
    let store = fixture.open();
    let get = |queue_id, offset| store.get("t", queue_id, offset, 32, 1 << 20, &mut |_| true);
    assert_eq!(get(0, 0).status, GetStatus::NoMatchedLogicQueue);
    store.queue("t", 1).unwrap();
    assert_eq!(get(1, 0).status, GetStatus::NoMessageInQueue);
    for number in 0..40 {
        append_one(&store, "t", 0, &body(number));
    }
    assert_eq!(
        (get(0, 40).status, get(0, 40).next_offset),
        (GetStatus::OffsetOverflowOne, 40)
    );
    assert_eq!(
        (get(0, 41).status, get(0, 41).next_offset),
        (GetStatus::OffsetOverflowBadly, 40)
    );
    assert_eq!(
        (get(0, -1).status, get(0, -1).next_offset),
        (GetStatus::OffsetTooSmall, 0)
    );
    let found = get(0, 3);
    assert_eq!(
        (found.status, found.count, found.next_offset),
        (GetStatus::Found, 32, 35)
    );
    assert!(
        found.slices.len() <= 4,
        "adjacent records are joined: {}",
        found.slices.len()
    );
    let none = store.get("t", 0, 3, 32, 1 << 20, &mut |_| false);
    assert_eq!(
        (none.status, none.next_offset),
        (GetStatus::NoMatchedMessage, 40)
    );
    let one = store.get("t", 0, 39, 32, 1, &mut |_| true);
    assert_eq!(
        (one.count, messages(&one)[0].message.body.clone()),
        (1, body(39).into())
    );
    let mut asked = 0;
    let some = store.get("t", 0, 0, 5, 1 << 20, &mut |_| {
        asked += 1;
        asked % 2 == 0
    });
    assert_eq!((some.count, some.next_offset), (5, 10));
}

#[test]
fn groups_get_consecutive_offsets_and_transactions_get_none() {
    let fixture = fixture();
    let store = fixture.open();
    let queue = store.queue("t", 0).unwrap();
    let mut batch = store.new_batch();
    append_one(&store, "t", 0, b"first");
    batch.begin_group();
    for number in 0..25 {
        batch
            .push(&queue, &fields("t", 0, &body(number), &[]), 0)
            .unwrap();
    }
    batch.end_group();
    let half = kerolox_protocol::message::RecordFields {
        sys_flag: sys_flag::TRANSACTION_PREPARED,
        ..fields("t", 0, b"half", &[])
    };
    batch.push(&queue, &half, 0).unwrap();
    batch
        .push(&queue, &fields("t", 0, b"last", &[]), 0)
        .unwrap();
    assert_eq!(store.append(&mut batch).appended, 27);
    let offsets: Vec<_> = batch
        .results()
        .iter()
        .map(|result| result.unwrap().queue_offset)
        .collect();
    assert_eq!(offsets[..25], (1..26).collect::<Vec<_>>());
    assert_eq!(offsets[25..], [0, 26]);
    assert_eq!(store.max_offset("t", 0), 27);

    // A group that fits no segment is refused before anything is written.
    batch.clear();
    batch.begin_group();
    let big = vec![1; 4000];
    batch.push(&queue, &fields("t", 0, &big, &[]), 0).unwrap();
    assert!(matches!(
        batch.push(&queue, &fields("t", 0, &big, &[]), 0),
        Ok(_) | Err(StoreError::MessageIllegal(_))
    ));
    let refused = batch.push(&queue, &fields("t", 0, &big, &[]), 0);
    assert!(matches!(refused, Err(StoreError::MessageIllegal(_))));
    batch.abort_group();
    assert!(batch.is_empty());
}

#[test]
fn limits_are_checked_before_the_lock() {
    let fixture = fixture();
    let mut options = fixture.options.clone();
    options.max_message_size = 1000;
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    let queue = store.queue("t", 0).unwrap();
    let mut batch = store.new_batch();
    let long = "t".repeat(128);
    let properties = format!("k\u{1}{}\u{2}", "v".repeat(33_000));
    for bad in [
        fields("t", 0, &[0; 1001], &[]),
        fields(&long, 0, b"x", &[]),
        fields("", 0, b"x", &[]),
    ] {
        assert!(matches!(
            batch.push(&queue, &bad, 0),
            Err(StoreError::MessageIllegal(_))
        ));
    }
    let properties = [properties.as_bytes()];
    let bad = fields("t", 0, b"x", &properties);
    assert!(matches!(
        batch.push(&queue, &bad, 0),
        Err(StoreError::PropertiesTooLong { .. })
    ));
    assert!(batch.is_empty());
    for name in ["", "..", ".", "a/b", "/etc", "a\\b", "a\0"] {
        assert!(
            matches!(store.queue(name, 0), Err(StoreError::IllegalName { .. })),
            "{name:?}"
        );
    }
    assert!(store.queue("t", -1).is_err());
}

#[test]
fn synchronous_flush_shows_messages_only_when_they_are_safe() {
    let fixture = fixture();
    let mut options = fixture.options.clone();
    options.flush = Flush::Sync;
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    let queue = store.queue("t", 0).unwrap();
    assert_eq!(queue.watch(), 0);
    let mut batch = store.new_batch();
    batch.push(&queue, &fields("t", 0, b"one", &[]), 0).unwrap();
    let outcome = store.append(&mut batch);
    assert_eq!((outcome.appended, batch.arrivals().count()), (1, 0));
    assert_eq!(queue.max_offset(), 0);
    let physical_offset = batch.results()[0].unwrap().physical_offset;
    assert!(store.record_at(physical_offset).is_none());
    let report = store.flush_pass().unwrap();
    assert!(report.flushed >= outcome.end_offset);
    assert_eq!((report.visible.len(), queue.max_offset()), (1, 1));
    assert!(store.record_at(physical_offset).is_some());

    let (sender, reports) = std::sync::mpsc::channel();
    let thread = StoreThread::spawn(
        Arc::clone(&store),
        Box::new(move |report| sender.send(report.visible.len()).unwrap_or(())),
    )
    .unwrap();
    batch.clear();
    batch.push(&queue, &fields("t", 0, b"two", &[]), 0).unwrap();
    let outcome = store.append(&mut batch);
    assert!(
        store
            .wait_flushed(outcome.end_offset, Duration::from_secs(10))
            .unwrap()
    );
    assert_eq!(reports.recv_timeout(Duration::from_secs(10)), Ok(1));
    assert_eq!(queue.max_offset(), 2);
    thread.stop();
    store.shutdown().unwrap();
}

#[test]
fn arrivals_name_watched_queues() {
    let fixture = fixture();
    let store = fixture.open();
    let (watched, other) = (store.queue("t", 0).unwrap(), store.queue("t", 1).unwrap());
    watched.watch();
    let mut batch = store.new_batch();
    for queue in [&watched, &other, &watched] {
        batch
            .push(queue, &fields("t", queue.queue_id(), b"x", &[]), 0)
            .unwrap();
    }
    store.append(&mut batch);
    let arrivals: HashSet<_> = batch.arrivals().map(|queue| queue.queue_id()).collect();
    assert_eq!(arrivals, HashSet::from([0]));
    watched.unwatch();
    store.append(&mut batch);
    assert_eq!(batch.arrivals().count(), 0);
}

#[test]
fn times_find_offsets() {
    let fixture = fixture();
    let store = fixture.open();
    let start = fixture.clock.now_ms();
    for number in 0..30 {
        append_one(&store, "t", 0, &body(number));
        if number % 3 == 2 {
            fixture.time.advance(100);
        }
    }
    let at = |ms, boundary| store.offset_by_time("t", 0, start + ms, boundary);
    assert_eq!((at(-5, Boundary::Lower), at(-5, Boundary::Upper)), (0, 0));
    assert_eq!((at(100, Boundary::Lower), at(100, Boundary::Upper)), (3, 5));
    assert_eq!((at(150, Boundary::Lower), at(150, Boundary::Upper)), (6, 5));
    assert_eq!(
        (at(99_999, Boundary::Lower), at(99_999, Boundary::Upper)),
        (30, 29)
    );
    assert_eq!(store.earliest_store_time("t", 0), Some(start));
    assert_eq!(store.store_time_at("t", 0, 4), Some(start + 100));
    assert_eq!(store.store_time_at("t", 0, 30), None);
}

#[test]
fn deleted_topics_are_gone_and_can_come_back() {
    let fixture = fixture();
    let store = fixture.open();
    let queue = store.queue("gone", 0).unwrap();
    append_one(&store, "gone", 0, b"x");
    append_one(&store, "stays", 0, b"y");
    store.delete_topic("gone").unwrap();
    assert!(!fixture.options.root_dir.join("consumequeue/gone").exists());
    assert_eq!(store.max_offset("gone", 0), 0);
    let mut batch = store.new_batch();
    batch
        .push(&queue, &fields("gone", 0, b"z", &[]), 0)
        .unwrap();
    assert_eq!(store.append(&mut batch).appended, 0);
    assert_eq!(append_one(&store, "gone", 0, b"again"), 0);
    assert_eq!(store.topics().len(), 2);
    drop(store);
    let store = fixture.open();
    assert_eq!(read_all(&store, "gone", 0)[0].message.body, "again");
    assert_eq!(read_all(&store, "stays", 0).len(), 1);
}

#[test]
fn expired_segments_are_removed_and_queues_follow() {
    let fixture = fixture();
    let mut options = fixture.options.clone();
    options.file_reserved_time_h = 1;
    options.delete_when = (0..24).map(|hour| format!("{hour};")).collect();
    options.delete_file_batch_max = 2;
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    fill(&store, 0, 300);
    store.flush_pass().unwrap();
    let before = read_all(&store, "t", 0);
    let held = store.get("t", 0, 0, 1, 1 << 20, &mut |_| true);
    // Files were modified now, by the machine's clock; the store is told that it is two hours later.
    let later = kerolox_server::store::clock::SystemClock.now_ms() + 2 * 3_600_000;
    fixture.time.set(later);
    assert_eq!(store.commit_log_min(), 0);
    store.tick(later);
    assert_eq!(store.commit_log_min(), 2 * 8192);
    let min = store.min_offset("t", 0);
    assert!(min > 0);
    let after = read_all(&store, "t", 0);
    assert_eq!(after[..], before[usize::try_from(min).unwrap()..]);
    assert_eq!(
        store.get("t", 0, 0, 1, 99, &mut |_| true).status,
        GetStatus::OffsetTooSmall
    );
    // What is being sent stays readable.
    assert_eq!(messages(&held)[0].message.body, body(0));
    assert!(store.record_at(0).is_none());
    store.shutdown().unwrap();
    drop(store);
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    assert_eq!(store.min_offset("t", 0), min);
    assert_eq!(read_all(&store, "t", 0), after);
}

#[test]
fn nearly_full_disk_refuses_messages() {
    let fixture = fixture();
    let mut options = fixture.options.clone();
    options.disk_space_warning_level_ratio = 0;
    options.disk_space_clean_forcibly_ratio = 0;
    options.clean_file_forcibly = false;
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    append_one(&store, "t", 0, b"x");
    assert!(store.is_writable());
    fixture.time.advance(61_000);
    store.tick(fixture.clock.now_ms());
    assert!(!store.is_writable());
    let queue = store.queue("t", 0).unwrap();
    let mut batch = store.new_batch();
    batch.push(&queue, &fields("t", 0, b"y", &[]), 0).unwrap();
    store.append(&mut batch);
    assert_eq!(
        batch.results()[0],
        Err(kerolox_server::store::AppendError::DiskFull)
    );
    assert_eq!(read_all(&store, "t", 0).len(), 1);
}

#[test]
fn many_threads_append_and_read_at_once() {
    let fixture = fixture();
    let mut options = fixture.options.clone();
    options.commit_log_file_size = 256 * 1024;
    options.consume_queue_file_size = 20_000;
    let (store, _) = open(&options, &fixture.disk, &fixture.clock);
    let thread = StoreThread::spawn(Arc::clone(&store), Box::new(|_| {})).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let store = &store;
            scope.spawn(move || {
                let queue = store.queue("t", 0).unwrap();
                let mut batch = store.new_batch();
                for round in 0..500 {
                    batch.clear();
                    for number in 0..8 {
                        let body = format!("{writer} {}", round * 8 + number);
                        batch
                            .push(&queue, &fields("t", 0, body.as_bytes(), &[]), 0)
                            .unwrap();
                    }
                    assert_eq!(store.append(&mut batch).appended, 8);
                }
            });
        }
        scope.spawn(|| {
            let mut offset = 0;
            let mut last = [-1_i64; 3];
            while offset < 12_000 {
                let result = store.get("t", 0, offset, 32, 1 << 20, &mut |_| true);
                for (message, expected) in messages(&result).into_iter().zip(offset..) {
                    assert_eq!(message.queue_offset, expected);
                    let text = String::from_utf8(message.message.body.to_vec()).unwrap();
                    let (writer, number) = text.split_once(' ').unwrap();
                    let last = &mut last[writer.parse::<usize>().unwrap()];
                    assert_eq!(number.parse::<i64>().unwrap(), *last + 1);
                    *last += 1;
                }
                offset = result.next_offset;
            }
        });
    });
    thread.stop();
    store.shutdown().unwrap();
    drop(store);
    assert_eq!(
        read_all(&open(&options, &fixture.disk, &fixture.clock).0, "t", 0).len(),
        12_000
    );
}
