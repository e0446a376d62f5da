// SPDX-License-Identifier: Apache-2.0
//! The proof of the checker: broken in each of these ways, the store fails one of a few seeds that it otherwise passes.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::message::record;
use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, Fault, FaultKind, SimDisk};
use kerolox_server::store::sabotage::{self, Sabotage};
use kerolox_server::store::{AppendError, StoreOptions};

use super::{seeds, whole};
use crate::store::{append_one, fields, open, read_all};

/// Seeds that are tried for each way.
const SEEDS: u64 = 1000;

/// Fails unless a seed finds the sabotage, and passes without it.
fn is_caught(sabotage: Sabotage) {
    let found = seeds::first_failure(0..SEEDS, |seed| {
        sabotage::with(sabotage, || whole::run(seed));
    });
    let (seed, reason) = found.unwrap_or_else(|| panic!("{sabotage:?} goes unnoticed"));
    println!("{sabotage:?}: seed {seed}: {reason}");
    whole::run(seed);
}

macro_rules! caught {
    ($($test:ident $way:ident)*) => {
        $(
            #[test]
            fn $test() {
                is_caught(Sabotage::$way);
            }
        )*
    };
}

caught! {
    flush_without_sync_is_caught FlushWithoutSync
    early_flushed_offset_is_caught FlushedTooEarly
    forgotten_flush_failure_is_caught FailedFlushForgotten
    forgotten_write_failure_is_caught FailedWriteForgotten
    early_show_is_caught ShownTooEarly
    unflushed_queues_are_caught QueuesNotFlushed
    late_restart_is_caught RestartTooFar
    early_checkpoint_is_caught CheckpointAhead
    unchecked_bodies_are_caught BodyUnchecked
    torn_records_are_caught TornAccepted
    kept_tail_is_caught TailKept
    unreported_damage_is_caught DamageUnreported
    delivered_damage_is_caught DamageDelivered
    unnoticed_missing_queues_are_caught MissingQueuesUnnoticed
    units_not_rebuilt_are_caught UnitsNotRebuilt
    offset_given_twice_is_caught OffsetGivenTwice
    lost_deliver_time_is_caught DeliverTimeLost
    torn_group_is_caught GroupTornApart
    skipped_index_is_caught IndexSkips
    lost_pool_is_caught PoolNotRestored
    early_commit_is_caught CommittedTooEarly
    early_removal_is_caught RemovedTooEarly
    removed_newest_is_caught NewestRemoved
    stop_without_flush_is_caught StopWithoutFlush
    final_full_disk_is_caught FullDiskIsFinal
    slow_start_is_caught StartFromBeginning
}

/// A message that holds a record, as that of another broker whose clock is ahead, loses its own head: what it holds is no
/// message of this log. Seeds meet that too rarely.
fn record_in_a_body() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    let options = StoreOptions::new("/store");
    let mut inner = Vec::new();
    record::encode_into(&fields("orders", 1, b"inner", &[]), &mut inner).unwrap();
    assert!(record::patch(&mut inner, 0, 1, 1_800_000_000_000));
    let (store, _) = open(&options, &shared, &clock);
    append_one(&store, "orders", 0, b"first");
    let outer = store.commit_log_max();
    append_one(&store, "orders", 0, &inner);
    append_one(&store, "orders", 0, b"last");
    store.shutdown().unwrap();
    drop(store);

    let log = Path::new("/store/commitlog/00000000000000000000");
    assert!(disk.flip_bit(log, usize::try_from(outer).unwrap(), 6));
    // Without queues the whole log is read again.
    shared
        .remove_dir_all(Path::new("/store/consumequeue"))
        .unwrap();
    let (store, report) = open(&options, &shared, &clock);
    let read = read_all(&store, "orders", 0);
    let bodies: Vec<&[u8]> = read.iter().map(|read| &read.message.body[..]).collect();
    assert_eq!(bodies, [&b"first"[..], b"last"]);
    assert_eq!(store.max_offset("orders", 1), 0);
    assert_eq!(report.damaged.len(), 1);
}

/// The disk becomes full where a queue begins a new page, while the log has space: the message is refused, and that is all.
/// The queue files of the seeds are shorter than a page.
fn full_disk_amid_a_queue() {
    const UNITS_OF_A_PAGE: i64 = 4096 / 20;
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_700_000_000_000));
    let (store, _) = open(&StoreOptions::new("/store"), &shared, &clock);
    for _ in 0..UNITS_OF_A_PAGE {
        append_one(&store, "orders", 0, b"x");
    }
    disk.inject(Fault {
        after: 0,
        kind: FaultKind::NoSpace,
        is_lasting: true,
    });
    let queue = store.queue("orders", 0).unwrap();
    let mut batch = store.new_batch();
    let message = fields("orders", 0, b"one too many", &[]);
    batch.push(&queue, &message, 0).unwrap();
    store.append(&mut batch);
    assert_eq!(batch.results(), [Err(AppendError::DiskFull)]);
    disk.heal();
    append_one(&store, "orders", 0, b"y");
    assert_eq!(store.max_offset("orders", 0), UNITS_OF_A_PAGE + 1);
}

/// Fails unless the run fails with the sabotage, and only then.
fn is_caught_by(sabotage: Sabotage, run: fn()) {
    run();
    let broken = || sabotage::with(sabotage, run);
    assert!(catch_unwind(broken).is_err(), "{sabotage:?} goes unnoticed");
}

#[test]
fn unchecked_places_are_caught() {
    is_caught_by(Sabotage::PlaceUnchecked, record_in_a_body);
}

#[test]
fn unreserved_space_is_caught() {
    is_caught_by(Sabotage::SpaceNotReserved, full_disk_amid_a_queue);
}
