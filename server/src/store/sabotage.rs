// SPDX-License-Identifier: Apache-2.0
//! Ways to break the store on purpose, so that a test can show that the simulation would notice.
//!
//! The switch belongs to a thread and exists in builds with debug assertions only; elsewhere [`is`] is a constant.

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A flush of the log claims success without syncing.
    FlushWithoutSync,
    /// Everything counts as flushed before the sync has ended.
    FlushedTooEarly,
    /// A failed flush is forgotten, and the next one believed.
    FailedFlushForgotten,
    /// A failed write is forgotten.
    FailedWriteForgotten,
    /// Under `SYNC_FLUSH` messages are shown before they are on disk.
    ShownTooEarly,
    /// Consume queues are not synced, yet the checkpoint says so.
    QueuesNotFlushed,
    /// The checkpoint's restart offset lies behind what the queues hold on disk.
    RestartTooFar,
    /// The checkpoint calls everything flushed that was written.
    CheckpointAhead,
    /// Recovery does not compare the CRC of bodies.
    BodyUnchecked,
    /// Recovery takes records at places where they do not belong.
    PlaceUnchecked,
    /// Recovery takes records of which a sector never reached the disk.
    TornAccepted,
    /// What lies behind the end of the log is left there by recovery.
    TailKept,
    /// Damage is skipped without a word.
    DamageUnreported,
    /// Reads hand out what they find.
    DamageDelivered,
    /// Missing consume queues are not noticed.
    MissingQueuesUnnoticed,
    /// Units of records behind the checkpoint are not written again.
    UnitsNotRebuilt,
    /// A queue gives its last offset away again after a restart.
    OffsetGivenTwice,
    /// The unit of a delayed message loses its deliver time in recovery.
    DeliverTimeLost,
    /// The messages of a batch are appended one by one.
    GroupTornApart,
    /// The index goes on behind the end of the log after a start.
    IndexSkips,
    /// What the buffers of a dead process hold is thrown away.
    PoolNotRestored,
    /// A commit counts before its bytes are in the log's file.
    CommittedTooEarly,
    /// Segments are removed before they expire.
    RemovedTooEarly,
    /// Segments are removed that are not flushed, even the newest.
    NewestRemoved,
    /// A clean stop leaves the last messages unflushed.
    StopWithoutFlush,
    /// A full disk is taken for a failure.
    FullDiskIsFinal,
    /// Units are written without space reserved for them.
    SpaceNotReserved,
    /// Every start reads the log from its beginning.
    StartFromBeginning,
}

#[cfg(debug_assertions)]
mod switch {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static CHOSEN: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Takes the choice back, also when a check fails in between.
    struct Restore(Option<Sabotage>);

    impl Drop for Restore {
        fn drop(&mut self) {
            CHOSEN.set(self.0);
        }
    }

    /// Runs `work` with the store broken in one way, on this thread.
    pub fn with<T>(sabotage: Sabotage, work: impl FnOnce() -> T) -> T {
        let _restore = Restore(CHOSEN.replace(Some(sabotage)));
        work()
    }

    /// Whether the store is to be broken in this way.
    pub fn is(sabotage: Sabotage) -> bool {
        CHOSEN.get() == Some(sabotage)
    }
}

#[cfg(debug_assertions)]
pub use switch::{is, with};

/// Whether the store is to be broken in this way: never.
#[cfg(not(debug_assertions))]
pub const fn is(_: Sabotage) -> bool {
    false
}
