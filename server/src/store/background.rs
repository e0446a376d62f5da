// SPDX-License-Identifier: Apache-2.0
//! Work that is done beside the appends, and when each part of it is due.
//!
//! Each [`Job`] has a thread of its own ([`super::StoreThread`]), so that a slow disk holds up neither the preparation of
//! space nor a commit. A simulation does all of them in turn with [`MessageStore::tick`].

use std::time::Duration;

use parking_lot::Mutex;

use super::checkpoint::Checkpoint;
use super::queue_flush::QueueFlush;
use super::recovery::Recovered;
use super::sabotage::{self, Sabotage};
use super::signal::Signal;
use super::{Flush, FlushReport, MessageStore, StoreError};

/// Between checkpoints, milliseconds.
const CHECKPOINT_INTERVAL_MS: i64 = 1000;
/// Records that the index takes at a time.
const INDEX_STEP: usize = 4096;
/// Between two looks of the index at the log, milliseconds.
const INDEX_INTERVAL_MS: u64 = 200;

/// A part of the background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Flushes the commit log.
    Flush,
    /// Commits the transient store pool.
    Commit,
    /// Prepares space and segments ahead of the appends, and leads the index behind them.
    Ahead,
    /// Flushes consume queues, writes the checkpoint, removes old files.
    Maintain,
}

impl Job {
    pub(crate) const ALL: [Self; 4] = [Self::Commit, Self::Flush, Self::Ahead, Self::Maintain];

    /// Name of its thread.
    pub(crate) const fn thread_name(self) -> &'static str {
        match self {
            Self::Flush => "kerolox-flush",
            Self::Commit => "kerolox-commit",
            Self::Ahead => "kerolox-ahead",
            Self::Maintain => "kerolox-store",
        }
    }
}

/// Wakes the threads.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) flush: Signal,
    pub(crate) commit: Signal,
    pub(crate) ahead: Signal,
    pub(crate) maintain: Signal,
}

/// State of the background work; each lock is held by its job alone, for as long as the work takes.
pub(crate) struct Background {
    pub(crate) signals: Signals,
    pub(crate) flush: Mutex<()>,
    pub(crate) commit: Mutex<()>,
    pub(crate) queues: Mutex<QueueFlush>,
    due: Mutex<Due>,
}

/// When each part was done last, milliseconds.
struct Due {
    flush: i64,
    commit: i64,
    queues: i64,
    checkpoint: i64,
}

impl Background {
    pub(crate) fn new(checkpoint: Checkpoint, recovered: &Recovered, now_ms: i64) -> Self {
        Self {
            signals: Signals::default(),
            flush: Mutex::default(),
            commit: Mutex::default(),
            queues: Mutex::new(QueueFlush::new(checkpoint, recovered, now_ms)),
            due: Mutex::new(Due {
                flush: now_ms,
                commit: now_ms,
                queues: now_ms,
                checkpoint: now_ms,
            }),
        }
    }
}

/// Whether `interval_ms` have passed since `last`, which then becomes now.
fn is_due(last: &mut i64, now_ms: i64, interval_ms: i64) -> bool {
    let is_due = now_ms - *last >= interval_ms;
    if is_due {
        *last = now_ms;
    }
    is_due
}

impl MessageStore {
    /// Does everything that is due at `now_ms`; for simulations. Returns what became durable or visible.
    ///
    /// Errors poison the store where they must; others are logged and tried again.
    pub fn tick(&self, now_ms: i64) -> Option<FlushReport> {
        let mut all: Option<FlushReport> = None;
        for job in Job::ALL {
            if let Some(report) = self.run(job, now_ms) {
                let all = all.get_or_insert_default();
                all.flushed = report.flushed;
                all.visible.extend(report.visible);
            }
            while job == Job::Ahead && self.lead_index() {}
        }
        all
    }

    /// Does what of `job` is due at `now_ms`.
    pub(crate) fn run(&self, job: Job, now_ms: i64) -> Option<FlushReport> {
        match job {
            Job::Flush => self.flush_if_due(now_ms),
            Job::Commit => self.commit_if_due(now_ms),
            Job::Ahead => {
                self.log.prepare_ahead(now_ms);
                None
            }
            Job::Maintain => {
                self.maintain(now_ms);
                None
            }
        }
    }

    /// Reads a few further records into the index; returns whether there are more.
    pub(crate) fn lead_index(&self) -> bool {
        self.index.as_ref().is_some_and(|index| {
            index.catch_up_or_log(&self.log.files, self.visible_end(), INDEX_STEP)
        })
    }

    /// Waits until there may be work for `job`.
    pub(crate) fn wait_for_work(&self, job: Job) {
        let signals = &self.background.signals;
        let options = &self.options;
        let millis = |interval: i64| Duration::from_millis(interval.clamp(1, 500).cast_unsigned());
        match job {
            Job::Flush => signals
                .flush
                .wait(millis(options.flush_interval_commit_log_ms)),
            Job::Commit => signals.commit.wait(millis(options.commit_interval_ms)),
            Job::Ahead => signals.ahead.wait(Duration::from_millis(INDEX_INTERVAL_MS)),
            Job::Maintain => signals
                .maintain
                .wait(millis(options.flush_interval_consume_queue_ms)),
        }
    }

    /// Ends every [`MessageStore::wait_for_work`].
    pub(crate) fn wake_all(&self) {
        let signals = &self.background.signals;
        for signal in [
            &signals.flush,
            &signals.commit,
            &signals.ahead,
            &signals.maintain,
        ] {
            signal.set();
        }
    }

    fn flush_if_due(&self, now_ms: i64) -> Option<FlushReport> {
        let options = &self.options;
        let (flushed, end) = (self.log.flushed(), self.log.committed());
        if flushed >= end {
            return None;
        }
        let interval = options
            .flush_interval_commit_log_ms
            .min(options.flush_commit_log_thorough_interval_ms);
        let is_due = match options.flush {
            Flush::Sync => true,
            Flush::Async => {
                let is_woken = !options.flush_commit_log_timed
                    && Self::has_pages(flushed, end, options.flush_commit_log_least_pages);
                is_due(&mut self.background.due.lock().flush, now_ms, interval) || is_woken
            }
        };
        is_due.then(|| self.flush_log().ok())?
    }

    fn commit_if_due(&self, now_ms: i64) -> Option<FlushReport> {
        let options = &self.options;
        let (committed, end) = (self.log.committed(), self.log.written());
        if committed >= end {
            return None;
        }
        let interval = options
            .commit_interval_ms
            .min(options.commit_thorough_interval_ms);
        let is_due = is_due(&mut self.background.due.lock().commit, now_ms, interval)
            || Self::has_pages(committed, end, options.commit_commit_log_least_pages);
        if !is_due {
            return None;
        }
        match self.commit_pass() {
            Ok(report) => Some(report),
            Err(error) => {
                tracing::error!(%error, "can not commit the transient store pool");
                None
            }
        }
    }

    fn maintain(&self, now_ms: i64) {
        let interval = self.options.flush_interval_consume_queue_ms;
        let (queues, checkpoint) = {
            let mut due = self.background.due.lock();
            (
                is_due(&mut due.queues, now_ms, interval),
                is_due(&mut due.checkpoint, now_ms, CHECKPOINT_INTERVAL_MS),
            )
        };
        if queues
            && !self.log.is_poisoned()
            && let Err(error) = self.flush_queues_if_due(now_ms)
        {
            tracing::error!(%error, "can not flush consume queues");
        }
        if checkpoint && let Err(error) = self.write_checkpoint() {
            tracing::error!(%error, "can not write the checkpoint");
        }
        self.clean(now_ms);
    }

    /// Last work before the store is closed.
    pub(crate) fn finish_all(&self) -> Result<(), StoreError> {
        if !sabotage::is(Sabotage::StopWithoutFlush) {
            self.flush_pass()?;
        }
        self.flush_all_queues()?;
        if let Some(index) = &self.index {
            while index.catch_up(&self.log.files, self.log.committed(), INDEX_STEP)? {}
            index.flush()?;
        }
        self.write_checkpoint()?;
        let dir = self.log.files.dir();
        let removed = self
            .log
            .discard_next()
            .and_then(|()| self.log.remove_pool());
        removed.map_err(StoreError::io("remove a segment of", dir))
    }
}
