// SPDX-License-Identifier: Apache-2.0
//! The proof of the checker: broken in each of these ways, the store fails one of a few seeds that it otherwise passes.

use kerolox_server::store::sabotage::{self, Sabotage};

use super::{seeds, whole};

/// Seeds that are tried for each way.
const SEEDS: u64 = 400;

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
    unchecked_places_are_caught PlaceUnchecked
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
    unreserved_space_is_caught SpaceNotReserved
    slow_start_is_caught StartFromBeginning
}
