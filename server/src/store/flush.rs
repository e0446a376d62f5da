// SPDX-License-Identifier: Apache-2.0
//! Committing and flushing the commit log, and showing what waited for it (store.md 5.3).
//!
//! Group commit: whatever was appended when a flush begins goes to the disk with it, what comes meanwhile with the next.
//!
//! One rule is stricter than the reference's: a pass flushes everything that is as old as `flushIntervalCommitLog`, however
//! few pages it fills. `flushCommitLogLeastPages` decides about younger records only, when a send wakes the flush.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::consume_queue::QueueHandle;
use super::{AppendError, Flush, MessageStore, StoreError};

/// Bytes that `…LeastPages` counts.
const PAGE: u64 = 4096;

/// What a flush, or a commit, brought.
#[derive(Clone, Debug, Default)]
pub struct FlushReport {
    /// Commit-log offset before which everything is on disk.
    pub flushed: i64,
    /// Queues whose messages became visible.
    pub visible: Vec<Arc<QueueHandle>>,
}

impl MessageStore {
    /// Flushes the commit log now, and shows what waited for it.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`]: nothing that was not flushed before will be acknowledged.
    pub fn flush_pass(&self) -> Result<FlushReport, StoreError> {
        let mut report = FlushReport::default();
        if self.log.has_pool() {
            report = self.commit_pass()?;
        }
        let flushed = self.flush_log()?;
        report.flushed = flushed.flushed;
        report.visible.extend(flushed.visible);
        Ok(report)
    }

    /// Commits the transient store pool's records to the log's files now, and shows them.
    ///
    /// # Errors
    /// [`AppendError::DiskFull`], to be tried again, or [`AppendError::Poisoned`].
    pub fn commit_pass(&self) -> Result<FlushReport, StoreError> {
        // One at a time, so that what is shown was committed by this one or before.
        let _turn = self.background.commit.lock();
        let (target, touched, timestamp) = self.take_touched();
        if let Err(error) = self.log.commit_to(target) {
            self.put_back(touched);
            return Err(error.into());
        }
        self.log.note_committed_timestamp(timestamp);
        Ok(FlushReport {
            flushed: self.flushed_offset(),
            visible: show(touched),
        })
    }

    pub(super) fn flush_log(&self) -> Result<FlushReport, AppendError> {
        let _turn = self.background.flush.lock();
        let (target, touched, timestamp) = if self.log.has_pool() {
            // The time first, so that it is not later than what is flushed.
            let timestamp = self.log.committed_timestamp();
            (self.log.committed(), Vec::new(), timestamp)
        } else {
            self.take_touched()
        };
        let flushed = self.log.flush_to(target);
        if flushed.is_ok() {
            self.log.note_flushed_timestamp(timestamp);
        }
        drop(self.flushed.0.lock());
        self.flushed.1.notify_all();
        flushed?;
        Ok(FlushReport {
            flushed: self.flushed_offset(),
            visible: show(touched),
        })
    }

    /// The end of the log, the queues with messages up to there that are not visible yet, with the end of each, and the
    /// last store timestamp.
    fn take_touched(&self) -> (u64, Vec<(Arc<QueueHandle>, i64)>, i64) {
        let mut tail = self.log.tail.lock();
        let touched = std::mem::take(&mut tail.touched);
        let touched = touched.into_iter().map(|queue| {
            let mut writer = queue.writer.lock();
            writer.is_touched = false;
            let next = writer.next();
            drop(writer);
            (queue, next)
        });
        let touched = touched.collect();
        (tail.position, touched, tail.last_timestamp)
    }

    fn put_back(&self, touched: Vec<(Arc<QueueHandle>, i64)>) {
        let mut tail = self.log.tail.lock();
        for (queue, _) in touched {
            if !std::mem::replace(&mut queue.writer.lock().is_touched, true) {
                tail.touched.push(Arc::clone(&queue));
            }
        }
    }

    /// Whether at least `least_pages` pages lie between two offsets.
    pub(super) fn has_pages(from: u64, to: u64, least_pages: u64) -> bool {
        to / PAGE >= from / PAGE + least_pages.max(1)
    }

    /// Wakes whom an append concerns.
    pub(super) fn wake_after_append(&self, is_low: bool) {
        let signals = &self.background.signals;
        if is_low {
            signals.ahead.set();
        }
        let options = &self.options;
        if options.flush == Flush::Sync {
            signals.flush.set();
        } else if self.log.has_pool() {
            let (from, to) = (self.log.committed(), self.log.written());
            if options.wake_commit_when_put_message
                && Self::has_pages(from, to, options.commit_commit_log_least_pages)
            {
                signals.commit.set();
            }
        } else if !options.flush_commit_log_timed || options.wake_flush_when_put_message {
            let (from, to) = (self.log.flushed(), self.log.written());
            if Self::has_pages(from, to, options.flush_commit_log_least_pages) {
                signals.flush.set();
            }
        }
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
}

fn show(touched: Vec<(Arc<QueueHandle>, i64)>) -> Vec<Arc<QueueHandle>> {
    let shown = touched.into_iter().map(|(queue, next)| {
        if !queue.is_deleted() {
            queue.show(next);
        }
        queue
    });
    shown.collect()
}
