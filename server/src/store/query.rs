// SPDX-License-Identifier: Apache-2.0
//! Questions about queues and the store: offsets by time, store times, figures (store.md 8.6, 8.7).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kerolox_protocol::message::record::RecordView;

use super::consume_queue::{QueueHandle, Unit, is_address};
use super::disk::Space;
use super::{MessageStore, PutDurations, Puts};

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

/// Where one message of a queue lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueUnit {
    /// Commit-log offset of its record.
    pub physical_offset: i64,
    /// Size of its record, bytes.
    pub size: i32,
    /// What consumers filter by, or the address of the extension that has it.
    pub tags_code: i64,
    /// What the extension says, if the unit has one: tags code and store time.
    pub ext: Option<(i64, i64)>,
    /// Whether `tags_code` is an address.
    pub is_extended: bool,
}

/// Use of the partitions; `None` if the system does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskUse {
    /// Of the commit log.
    pub log: Option<Space>,
    /// Of the consume queues.
    pub queues: Option<Space>,
}

impl MessageStore {
    /// What was appended to all topics since the start.
    pub fn puts(&self) -> Puts {
        self.log.puts.read()
    }

    /// Messages that could not be appended since the start.
    pub fn failed_puts(&self) -> u64 {
        self.failed_puts.load(Ordering::Relaxed)
    }

    /// How long the appends of the last whole minute took.
    pub fn put_durations(&self) -> PutDurations {
        self.put_times.last()
    }

    /// Ends a minute of [`MessageStore::put_durations`].
    pub(crate) fn end_put_minute(&self) {
        self.put_times.turn(self.puts().calls);
    }

    /// Shows every topic with its queues; no queue is made or deleted meanwhile.
    pub(crate) fn each_topic(&self, look: &mut dyn FnMut(&str, &[Arc<QueueHandle>])) {
        self.queues.each_topic(look);
    }

    /// The queues of a topic.
    pub(crate) fn queues_of(&self, topic: &str) -> Vec<Arc<QueueHandle>> {
        self.queues.of_topic(topic)
    }

    /// Up to `count` units of a queue from offset `from` on; fewer at the end.
    pub fn units(&self, queue: &QueueHandle, from: i64, count: usize) -> Vec<QueueUnit> {
        let mut units = Vec::new();
        for offset in (from..queue.max_offset()).take(count) {
            let Ok(Some(unit)) = queue.unit(offset) else {
                break;
            };
            let is_extended = is_address(unit.tags_code);
            let ext = queue.ext.as_ref().filter(|_| is_extended);
            let ext = ext.and_then(|ext| ext.resolve(unit.tags_code));
            units.push(QueueUnit {
                physical_offset: unit.physical_offset,
                size: unit.size,
                tags_code: unit.tags_code,
                ext: ext.map(|ext| (ext.tags_code, ext.store_timestamp)),
                is_extended,
            });
        }
        units
    }

    /// How full the partitions are.
    pub fn disk_use(&self) -> DiskUse {
        DiskUse {
            log: self.disk.space(self.log.files.dir()).ok(),
            queues: self.disk.space(&self.options.consume_queue_dir()).ok(),
        }
    }

    /// Says whether the commit log is read in no order: the system then reads nothing ahead.
    pub fn expect_random_reads(&self, is_random: bool) {
        self.log.files.expect_random(is_random);
    }

    /// Buffers of the transient store pool that are free; `None` without a pool.
    pub fn free_buffers(&self) -> Option<usize> {
        self.log.free_buffers()
    }

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
