// SPDX-License-Identifier: Apache-2.0
//! Inspections of a store that is written meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kerolox_server::store::clock::Clock;
use kerolox_server::store::disk::{Disk, RealDisk};
use kerolox_server::store::inspect::Note;

use super::{Fixture, append_with, assert_clean, has_note};

/// Ends the writer, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn running_store_is_clean_and_keeps_its_lock() {
    examine(Fixture::new());
}

#[test]
fn running_store_with_buffers_is_clean() {
    let mut fixture = Fixture::new();
    fixture.options.transient_store_pool = true;
    examine(fixture);
}

/// Messages that may be appended while the store is verified once: an inspection lists a growing log anew a limited number
/// of times, and what is there at the end has to be read in each round.
const PER_ROUND: u64 = 1000;

/// Verifies again and again while messages are appended.
fn examine(mut fixture: Fixture) {
    fixture.options.commit_log_file_size = 64 * 1024;
    fixture.options.consume_queue_file_size = 4000;
    fixture.options.max_index_num = 300;
    let store = fixture.open();
    let is_done = AtomicBool::new(false);
    let allowed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !is_done.load(Ordering::Acquire) {
                if number >= allowed.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                let body = vec![1; usize::try_from(number % 600).unwrap()];
                let topic = if number.is_multiple_of(5) { "u" } else { "t" };
                let tag = format!("TAGS\u{1}{}\u{2}", number % 7);
                append_with(
                    &store,
                    topic,
                    i32::try_from(number % 4).unwrap(),
                    &body,
                    &tag,
                );
                if number.is_multiple_of(64) {
                    store.flush_pass().unwrap();
                    store.tick(fixture.time.now_ms());
                }
                number += 1;
                // So that some are appended at any time of the round.
                if number.is_multiple_of(8) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let _stop = Stop(&is_done);
        let pid = Some(std::process::id());
        let (mut rounds, mut last) = (0, 0);
        let deadline = Instant::now() + Duration::from_secs(120);
        while rounds < 25 || last < 1000 {
            assert!(Instant::now() < deadline, "{rounds} rounds, {last} records");
            rounds += 1;
            allowed.store(rounds * PER_ROUND, Ordering::Release);
            let report = fixture.verify();
            assert_clean(&report);
            assert!(report.summary.records >= last);
            last = report.summary.records;
            assert!(
                has_note(&report, |note| *note == Note::InUse { pid }),
                "{report:#?}"
            );
        }
    });
    // The lock is still held: whoever opens the lock file and closes it again would have dropped it.
    let lock = fixture.path("lock");
    let holder = RealDisk::new().lock_holder(&lock).unwrap();
    assert_eq!(
        holder.and_then(|holder| holder.pid),
        Some(std::process::id())
    );
    store.shutdown().unwrap();
    assert_eq!(RealDisk::new().lock_holder(&lock).unwrap(), None);
    let report = fixture.verify();
    assert_clean(&report);
    let summary = &report.summary;
    // One tag each, and several files of them.
    assert_eq!(
        (summary.keys, summary.index_entries),
        (summary.records, summary.records)
    );
    assert!(summary.index_files > 1);
}
