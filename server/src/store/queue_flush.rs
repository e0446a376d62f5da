// SPDX-License-Identifier: Apache-2.0
//! Flushing consume queues, and the checkpoint that says how far everything is (store.md 3.1, 3.8).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checkpoint::{Checkpoint, Exact};
use super::consume_queue::QueueHandle;
use super::recovery::Recovered;
use super::sabotage::{self, Sabotage};
use super::{AppendError, MessageStore, StoreError};

/// All queues are flushed at the latest after this many bytes of commit log: they bound what recovery reads.
const THOROUGH_BYTES: u64 = 64 << 20;
const PAGE: u64 = 4096;
/// How far the checkpoint's index time runs ahead of the index while the store is open, milliseconds.
///
/// After a crash the reference deletes index files with younger entries. Ours survive a killed process, and are written
/// more often than the checkpoint.
pub(super) const INDEX_AHEAD_MS: i64 = 60_000;

/// How far the queues are.
pub(crate) struct QueueFlush {
    thorough_ms: i64,
    /// All queues hold everything before this commit-log offset, on disk.
    restart: u64,
    /// Sum of the queues' ends there.
    units: i64,
    /// Sum of the queues' first offsets that have files, and when it was so: beginning of the log, restart offset and units.
    lows: Option<((u64, u64, i64), i64)>,
    /// The last such pair whose log is on disk too.
    safe: (u64, i64),
    /// Store time of the last message whose unit is on disk.
    logics_timestamp: i64,
    checkpoint: Checkpoint,
    /// What the file says.
    written: Option<Checkpoint>,
}

impl QueueFlush {
    pub(crate) fn new(checkpoint: Checkpoint, recovered: &Recovered, now_ms: i64) -> Self {
        let mut checkpoint = checkpoint;
        if let Some(last) = recovered.walked.last_record {
            checkpoint.logics_offset = last.cast_signed();
        }
        Self {
            thorough_ms: now_ms,
            restart: recovered.restart,
            units: recovered.units_at_restart,
            lows: None,
            safe: (recovered.restart, recovered.units_at_restart),
            logics_timestamp: checkpoint.logics_timestamp,
            checkpoint,
            written: None,
        }
    }
}

impl MessageStore {
    /// Flushes consume queues: those with a few dirty pages, or all if it is time or much was appended.
    pub(super) fn flush_queues_if_due(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut state = self.background.queues.lock();
        let is_thorough = now_ms - state.thorough_ms
            >= self.options.flush_consume_queue_thorough_interval_ms
            || self.log.written() - state.restart >= THOROUGH_BYTES;
        if is_thorough {
            state.thorough_ms = now_ms;
        }
        self.flush_queues(&mut state, is_thorough)
    }

    /// Flushes all consume queues.
    pub(super) fn flush_all_queues(&self) -> Result<(), StoreError> {
        self.flush_queues(&mut self.background.queues.lock(), true)
    }

    fn flush_queues(&self, state: &mut QueueFlush, is_thorough: bool) -> Result<(), StoreError> {
        // A queue whose flush failed is in no list any more: nothing may be called done.
        if self.log.is_poisoned() {
            return Err(AppendError::Poisoned.into());
        }
        let (position, units, last_timestamp, dirty) = {
            let mut tail = self.log.tail.lock();
            let dirty = std::mem::take(&mut tail.dirty);
            (tail.position, tail.units, tail.last_timestamp, dirty)
        };
        if position <= state.restart && units == state.units {
            return Ok(());
        }
        let least_bytes = if is_thorough {
            1
        } else {
            self.options.flush_consume_queue_least_pages * PAGE
        };
        let mut is_clean = true;
        for queue in dirty {
            if sabotage::is(Sabotage::QueuesNotFlushed) {
                continue;
            }
            match queue.flush(least_bytes) {
                Ok(true) => {}
                Ok(false) => {
                    is_clean = false;
                    self.mark_dirty(&queue);
                }
                Err(_) if queue.is_deleted() => {}
                Err(error) => {
                    // What of the queue is on disk is not known any more, and it can not be tried again.
                    self.log.poison(&error);
                    return Err(StoreError::io("flush", queue.files.dir())(error));
                }
            }
        }
        if is_clean {
            state.restart = position;
            state.units = units;
            state.logics_timestamp = last_timestamp.max(state.logics_timestamp);
        }
        Ok(())
    }

    /// What recovery wrote into queues waits for a flush like what appends write.
    pub(super) fn mark_rebuilt_queues(&self) {
        for queue in self.queues.all() {
            if !queue.writer.lock().is_flushed() {
                self.mark_dirty(&queue);
            }
        }
    }

    fn mark_dirty(&self, queue: &Arc<QueueHandle>) {
        let mut tail = self.log.tail.lock();
        if !std::mem::replace(&mut queue.writer.lock().is_dirty, true) {
            tail.dirty.push(Arc::clone(queue));
        }
    }

    /// Commit-log offset before which all units are in queues on disk.
    pub(super) fn queues_flushed(&self) -> u64 {
        self.background.queues.lock().restart
    }

    /// Sum of the queues' first offsets that have files. It changes with the beginning of the log and with topics only.
    fn lows(&self, state: &mut QueueFlush) -> i64 {
        let now = (self.log.min(), state.restart, state.units);
        match state.lows {
            Some((then, lows)) if then == now => lows,
            _ => {
                let queues = self.queues.all();
                let lows = queues.iter().map(|queue| queue.first_in_files()).sum();
                state.lows = Some((now, lows));
                lows
            }
        }
    }

    /// Writes the checkpoint, unless the file says the same already.
    pub(super) fn write_checkpoint(&self) -> Result<(), StoreError> {
        let mut state = self.background.queues.lock();
        let flushed = self.log.flushed();
        let mut checkpoint = state.checkpoint;
        checkpoint.physic_timestamp = self
            .log
            .flushed_timestamp()
            .max(checkpoint.physic_timestamp);
        checkpoint.logics_timestamp = state.logics_timestamp;
        if let Some(index) = &self.index {
            let (time, _) = index.end();
            let is_closed = self.is_closed.load(Ordering::Acquire);
            checkpoint.index_timestamp = time + if is_closed { 0 } else { INDEX_AHEAD_MS };
            // The reference reads the keys again from the smallest of these times on.
            if index.indexed() < flushed {
                checkpoint.logics_timestamp =
                    checkpoint.logics_timestamp.min(index.last_timestamp());
            }
        }
        if state.restart <= flushed {
            state.safe = (state.restart, state.units);
        }
        if sabotage::is(Sabotage::RestartTooFar) {
            let tail = self.log.tail.lock();
            state.safe = (flushed, tail.units);
        }
        let flushed = if sabotage::is(Sabotage::CheckpointAhead) {
            self.log.written()
        } else {
            flushed
        };
        let (restart, units) = state.safe;
        checkpoint.exact = Some(Exact {
            flushed,
            restart,
            boot_id: self.boot_id,
            units,
            lows: self.lows(&mut state),
        });
        if state.written != Some(checkpoint) {
            self.checkpoint.write(&checkpoint)?;
            state.written = Some(checkpoint);
        }
        state.checkpoint = checkpoint;
        Ok(())
    }
}
