// SPDX-License-Identifier: Apache-2.0
//! Questions about queues and the store: offsets by time, store times, figures (store.md 8.6, 8.7).

use std::sync::atomic::Ordering;

use kerolox_protocol::message::record::RecordView;

use super::consume_queue::QueueHandle;
use super::{MessageStore, consume_queue::Unit};

/// Which message a time means if none has exactly it, or several have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first one stored at that time or later.
    #[default]
    Lower,
    /// The last one stored at that time or earlier.
    Upper,
}

/// Figures for monitoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Lowest commit-log offset.
    pub commit_log_min: i64,
    /// Commit-log offset of the next record.
    pub commit_log_max: i64,
    /// Commit-log offset before which everything is on disk.
    pub flushed: i64,
    /// Number of consume queues.
    pub queues: usize,
    /// Reads that met a damaged or missing record.
    pub damaged_reads: u64,
    /// Messages that were removed although not every group had consumed them.
    pub unconsumed_removed: u64,
    /// Whether the disk is nearly full, so that messages are refused.
    pub is_disk_full: bool,
    /// Whether messages are taken.
    pub is_writable: bool,
}

impl MessageStore {
    /// Lowest offset of a queue; 0 if there is none.
    pub fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.find_queue(topic, queue_id)
            .map_or(0, |queue| queue.min_offset())
    }

    /// Offset after the last visible message of a queue; 0 if there is none.
    pub fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.find_queue(topic, queue_id)
            .map_or(0, |queue| queue.max_offset())
    }

    /// Offset of the message stored at `timestamp_ms`, between minimum and maximum; 0 if there is no such queue.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> i64 {
        let Some(queue) = self.find_queue(topic, queue_id) else {
            return 0;
        };
        let (min, max) = (queue.min_offset(), queue.max_offset());
        // A message that can not be read counts as too old.
        let is_later = |unit: Option<Unit>| {
            let time = unit.and_then(|unit| self.store_time(&unit));
            time.is_some_and(|time| match boundary {
                Boundary::Lower => time >= timestamp_ms,
                Boundary::Upper => time > timestamp_ms,
            })
        };
        let first = queue.first_where(min, max, is_later).unwrap_or(min);
        match boundary {
            Boundary::Lower => first,
            Boundary::Upper => (first - 1).max(min),
        }
    }

    /// When the message at a queue offset was stored, Unix milliseconds.
    pub fn store_time_at(&self, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        self.store_time_of(self.find_queue(topic, queue_id)?.as_ref(), offset)
    }

    /// When the oldest message of a queue was stored, Unix milliseconds.
    pub fn earliest_store_time(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let queue = self.find_queue(topic, queue_id)?;
        self.store_time_of(&queue, queue.min_offset())
    }

    fn store_time_of(&self, queue: &QueueHandle, offset: i64) -> Option<i64> {
        if offset < queue.min_offset() || offset >= queue.max_offset() {
            return None;
        }
        self.store_time(&queue.unit(offset).ok()??)
    }

    fn store_time(&self, unit: &Unit) -> Option<i64> {
        if unit.is_filler() {
            return None;
        }
        let bytes = self
            .log
            .record(u64::try_from(unit.physical_offset).ok()?)
            .ok()??;
        RecordView::parse(&bytes)
            .ok()
            .map(|record| record.store_timestamp)
    }

    /// Figures for monitoring.
    pub fn figures(&self) -> Figures {
        Figures {
            commit_log_min: self.commit_log_min(),
            commit_log_max: self.commit_log_max(),
            flushed: self.flushed_offset(),
            queues: self.queues.all().len(),
            damaged_reads: self.damaged_reads(),
            unconsumed_removed: self.unconsumed_removed.load(Ordering::Relaxed),
            is_disk_full: self.is_disk_full.load(Ordering::Relaxed),
            is_writable: self.is_writable(),
        }
    }
}
