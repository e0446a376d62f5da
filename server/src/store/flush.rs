// SPDX-License-Identifier: Apache-2.0
//! Background work: flushing, the checkpoint, preparing space, and when each is due.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, Exact};
use super::consume_queue::QueueHandle;
use super::recovery::Recovered;
use super::{AppendError, Flush, MessageStore, StoreError};

/// Dirty bytes of a queue below which a flush is put off: two pages.
const LEAST_QUEUE_BYTES: u64 = 2 * 4096;
/// All queues are flushed at the latest after this time, milliseconds, or
const THOROUGH_INTERVAL_MS: i64 = 10_000;
/// after this many bytes of commit log: they bound what recovery reads.
const THOROUGH_BYTES: u64 = 64 << 20;
/// Records that are read into the index at a time.
const INDEX_STEP: u64 = 4096;
/// How far the checkpoint's index time runs ahead of the index while the store is open, milliseconds.
///
/// After a crash the reference deletes index files with younger entries. Ours survive a killed process, and are written
/// more often than the checkpoint.
const INDEX_AHEAD_MS: i64 = 60_000;
/// Between checkpoints, milliseconds.
const CHECKPOINT_INTERVAL_MS: i64 = 1000;

/// What a flush brought.
#[derive(Clone, Debug, Default)]
pub struct FlushReport {
    /// Commit-log offset before which everything is on disk.
    pub flushed: i64,
    /// Queues whose messages became visible; only under [`Flush::Sync`].
    pub visible: Vec<Arc<QueueHandle>>,
}

/// State of the background work.
pub(crate) struct Background {
    checkpoint: Checkpoint,
    /// What the file says.
    written: Option<Checkpoint>,
    log_flush_ms: i64,
    queue_flush_ms: i64,
    thorough_ms: i64,
    checkpoint_ms: i64,
    /// All queues hold everything before this commit-log offset, on disk.
    restart: u64,
}

impl Background {
    pub(crate) fn new(checkpoint: Checkpoint, recovered: &Recovered, now_ms: i64) -> Self {
        let mut checkpoint = checkpoint;
        if let Some(last) = recovered.walked.last_record {
            checkpoint.logics_offset = last.cast_signed();
        }
        Self {
            checkpoint,
            written: None,
            log_flush_ms: now_ms,
            queue_flush_ms: now_ms,
            thorough_ms: now_ms,
            checkpoint_ms: now_ms,
            restart: recovered.restart,
        }
    }
}

impl MessageStore {
    /// Does what is due at `now_ms`. Returns what became durable, if anything was flushed.
    ///
    /// Called by the [`super::StoreThread`], or by a simulation instead of it. Errors poison the store where they must;
    /// others are logged and tried again.
    pub fn tick(&self, now_ms: i64) -> Option<FlushReport> {
        let mut background = self.background.lock();
        let is_flush_due = match self.options.flush {
            Flush::Sync => self.log.flushed() < self.log.written(),
            Flush::Async => {
                now_ms - background.log_flush_ms >= self.options.flush_interval_commit_log_ms
                    && self.log.flushed() < self.log.written()
            }
        };
        let mut report = None;
        if is_flush_due {
            background.log_flush_ms = now_ms;
            report = self.flush_log(&mut background).ok();
        }
        self.log.prepare_ahead();
        if let Some(index) = &self.index {
            while index.catch_up_or_log(&self.log.files, self.visible_end(), INDEX_STEP) {}
        }
        if now_ms - background.queue_flush_ms >= self.options.flush_interval_consume_queue_ms {
            background.queue_flush_ms = now_ms;
            let is_thorough = now_ms - background.thorough_ms >= THOROUGH_INTERVAL_MS
                || self.log.written() - background.restart >= THOROUGH_BYTES;
            if is_thorough {
                background.thorough_ms = now_ms;
            }
            if let Err(error) = self.flush_queues(&mut background, is_thorough) {
                tracing::error!(%error, "can not flush consume queues");
            }
        }
        if now_ms - background.checkpoint_ms >= CHECKPOINT_INTERVAL_MS {
            background.checkpoint_ms = now_ms;
            if let Err(error) = self.write_checkpoint(&mut background) {
                tracing::error!(%error, "can not write the checkpoint");
            }
        }
        drop(background);
        self.clean(now_ms);
        report
    }

    /// Flushes the commit log now, and shows what waited for it.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`]: nothing that was not flushed before will be acknowledged.
    pub fn flush_pass(&self) -> Result<FlushReport, StoreError> {
        let mut background = self.background.lock();
        Ok(self.flush_log(&mut background)?)
    }

    fn flush_log(&self, background: &mut Background) -> Result<FlushReport, AppendError> {
        let (target, last_timestamp, touched) = {
            let mut tail = self.log.tail.lock();
            let touched = std::mem::take(&mut tail.touched);
            let touched: Vec<_> = touched
                .into_iter()
                .map(|queue| {
                    let mut writer = queue.writer.lock();
                    writer.is_touched = false;
                    let next = writer.next();
                    drop(writer);
                    (queue, next)
                })
                .collect();
            (tail.position, tail.last_timestamp, touched)
        };
        let flushed = self.log.flush_to(target);
        if flushed.is_ok() {
            background.checkpoint.physic_timestamp =
                last_timestamp.max(background.checkpoint.physic_timestamp);
        }
        drop(self.flushed.0.lock());
        self.flushed.1.notify_all();
        flushed?;
        let visible = touched.into_iter().map(|(queue, next)| {
            if !queue.is_deleted() {
                queue.show(next);
            }
            queue
        });
        Ok(FlushReport {
            flushed: self.flushed_offset(),
            visible: visible.collect(),
        })
    }

    /// Flushes consume queues: all, or those with a few dirty pages.
    fn flush_queues(
        &self,
        background: &mut Background,
        is_thorough: bool,
    ) -> Result<(), StoreError> {
        let (position, last_timestamp) = {
            let tail = self.log.tail.lock();
            (tail.position, tail.last_timestamp)
        };
        if position <= background.restart {
            return Ok(());
        }
        let least = if is_thorough { 1 } else { LEAST_QUEUE_BYTES };
        let mut is_clean = true;
        for queue in self.queues.all() {
            if queue.is_deleted() {
                continue;
            }
            match queue.flush(least) {
                Ok(is_flushed) => is_clean &= is_flushed,
                Err(_) if queue.is_deleted() => {}
                Err(error) => {
                    // What of the queue is on disk is not known any more, and it can not be tried again.
                    self.log.poison(&error);
                    return Err(StoreError::io("flush", queue.files.dir())(error));
                }
            }
        }
        if is_clean {
            background.restart = position;
            let checkpoint = &mut background.checkpoint;
            checkpoint.logics_timestamp = last_timestamp.max(checkpoint.logics_timestamp);
        }
        Ok(())
    }

    /// Writes the checkpoint now.
    pub(crate) fn save_checkpoint(&self) -> Result<(), StoreError> {
        self.write_checkpoint(&mut self.background.lock())
    }

    fn write_checkpoint(&self, background: &mut Background) -> Result<(), StoreError> {
        let flushed = self.log.flushed();
        let restart = background.restart.min(flushed);
        if let Some(index) = &self.index {
            let checkpoint = &mut background.checkpoint;
            let (time, _) = index.end();
            checkpoint.index_timestamp = time
                + if self.is_closed.load(Ordering::Acquire) {
                    0
                } else {
                    INDEX_AHEAD_MS
                };
            // The reference reads the keys again from the smallest of these times on.
            if index.indexed() < flushed {
                checkpoint.logics_timestamp =
                    checkpoint.logics_timestamp.min(index.last_timestamp());
            }
        }
        background.checkpoint.exact = Some(Exact {
            flushed,
            restart,
            boot_id: self.boot_id,
        });
        if background.written != Some(background.checkpoint) {
            self.checkpoint.write(&background.checkpoint)?;
            background.written = Some(background.checkpoint);
        }
        Ok(())
    }

    /// Last flush before the store is closed.
    pub(crate) fn flush_everything(&self) -> Result<(), StoreError> {
        let mut background = self.background.lock();
        self.flush_log(&mut background)?;
        self.flush_queues(&mut background, true)?;
        if let Some(index) = &self.index {
            while index.catch_up(&self.log.files, self.log.written(), INDEX_STEP)? {}
            index.flush()?;
        }
        self.write_checkpoint(&mut background)?;
        let discarded = self.log.discard_next();
        discarded.map_err(StoreError::io("remove a segment of", self.log.files.dir()))
    }

    /// Waits until everything before `physical_offset` is on disk; `false` if the time is over. For tests and tools: a
    /// broker completes its replies from the [`FlushReport`].
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] if it will never be.
    pub fn wait_flushed(
        &self,
        physical_offset: i64,
        timeout: Duration,
    ) -> Result<bool, StoreError> {
        let deadline = Instant::now() + timeout;
        let mut guard = self.flushed.0.lock();
        while self.flushed_offset() < physical_offset {
            if self.log.is_poisoned() {
                return Err(AppendError::Poisoned.into());
            }
            if self.flushed.1.wait_until(&mut guard, deadline).timed_out() {
                return Ok(self.flushed_offset() >= physical_offset);
            }
        }
        Ok(true)
    }

    /// Waits until there may be work; at most as long as the flush interval.
    pub(crate) fn wait_for_work(&self) {
        let idle = self.options.flush_interval_commit_log_ms.clamp(10, 500);
        self.signal
            .wait(Duration::from_millis(idle.cast_unsigned()));
    }

    /// Ends [`MessageStore::wait_for_work`].
    pub(crate) fn wake(&self) {
        self.signal.set();
    }

    /// Damaged records that reads met so far.
    pub(crate) fn damaged_reads(&self) -> u64 {
        self.damaged_reads.load(Ordering::Relaxed)
    }
}
