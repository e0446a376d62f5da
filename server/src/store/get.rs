// SPDX-License-Identifier: Apache-2.0
//! Reading messages of a queue (store.md 8.1, 8.2).
//!
//! Units are read in the mapping of the consume queue. Records that lie next to each other in the commit log become one
//! slice of its mapping; nothing is copied. Records that this process did not just write are checked before they are
//! handed out, so that a damaged body is never delivered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use kerolox_protocol::message::record::{MIN_BYTES, RecordCheck, RecordView, check, is_crc_intact};
use smallvec::SmallVec;

use super::consume_queue::{QueueHandle, UNIT_BYTES, UNIT_LEN, Unit, byte_of};
use super::disk::Segment;
use super::sabotage::{self, Sabotage};
use super::{MessageFilter, MessageStore, StoreOptions, light};

/// Units examined at one time.
const UNITS_A_VIEW: u64 = 64;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetStatus {
    /// There is at least one message.
    Found,
    /// All examined messages were filtered out.
    NoMatchedMessage,
    /// The examined messages are gone from the commit log.
    MessageWasRemoving,
    /// The unit at the offset can not be read.
    OffsetFoundNull,
    /// The offset lies beyond the end.
    OffsetOverflowBadly,
    /// The offset is the end: wait for the next message.
    OffsetOverflowOne,
    /// The offset lies before the beginning.
    OffsetTooSmall,
    /// The group's offset was reset: go on there. Not from the store.
    OffsetReset,
    /// There is no such queue.
    NoMatchedLogicQueue,
    /// The queue has never had a message.
    NoMessageInQueue,
}

impl GetStatus {
    /// The reference's spelling, used in remarks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetFoundNull => "OFFSET_FOUND_NULL",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::OffsetReset => "OFFSET_RESET",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct GetResult {
    /// How it ended.
    pub status: GetStatus,
    /// Where to go on.
    pub next_offset: i64,
    /// The queue's minimum offset.
    pub min_offset: i64,
    /// The queue's maximum offset.
    pub max_offset: i64,
    /// Whole records in order; each slice is one or more of them.
    pub slices: SmallVec<[Bytes; 4]>,
    /// Number of records.
    pub count: usize,
    /// Bytes of all slices.
    pub bytes: usize,
    /// So far behind the end of the log that the messages are likely not in memory.
    pub is_behind: bool,
}

impl GetResult {
    /// A result without messages.
    pub fn empty(status: GetStatus, next_offset: i64, min_offset: i64, max_offset: i64) -> Self {
        let slices = SmallVec::new();
        Self {
            status,
            next_offset,
            min_offset,
            max_offset,
            slices,
            count: 0,
            bytes: 0,
            is_behind: false,
        }
    }
}

/// Records next to each other in one segment that are not yet a slice.
struct Run {
    base: u64,
    segment: Arc<dyn Segment>,
    from: u64,
    to: u64,
}

impl Run {
    fn finish(self, slices: &mut SmallVec<[Bytes; 4]>) {
        if self.from < self.to
            && let Ok(len) = usize::try_from(self.to - self.from)
        {
            slices.extend(self.segment.bytes(self.from, len));
        }
    }
}

/// What became of a record that its unit promises.
enum Record {
    Added,
    Rejected,
    /// Missing or damaged.
    Unreadable,
}

/// What stops a read besides the end of the queue.
struct Limits {
    max_msgs: usize,
    max_bytes: usize,
    /// Records at or above this offset are likely in memory.
    in_memory_from: i64,
}

impl Limits {
    /// Whether a record of `size` bytes at `offset` may follow `count` records of `bytes` bytes; the first always may.
    fn admits(
        &self,
        options: &StoreOptions,
        offset: i64,
        size: usize,
        count: usize,
        bytes: usize,
    ) -> bool {
        if count == 0 {
            return true;
        }
        let (transfer_bytes, transfer_count) = if offset >= self.in_memory_from {
            (
                options.max_transfer_bytes_in_memory,
                options.max_transfer_count_in_memory,
            )
        } else {
            (
                options.max_transfer_bytes_in_disk,
                options.max_transfer_count_in_disk,
            )
        };
        let bytes = bytes.saturating_add(size);
        count < self.max_msgs.min(transfer_count) && bytes <= self.max_bytes.min(transfer_bytes)
    }
}

/// Whether a record says that it is at this place in one of its queues.
fn is_at(record: &RecordView<'_>, queue_offset: i64) -> bool {
    let is_light = || {
        let mut units = light::units(record).into_iter();
        units.any(|(_, place)| place == queue_offset)
    };
    record.queue_offset == queue_offset || is_light()
}

impl MessageStore {
    /// Reads messages of a queue from `offset` on, at most `max_msgs` and `max_bytes`, but at least one if there is a
    /// matching one. `matches` is asked with each unit's tags code.
    pub fn get(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        max_msgs: usize,
        max_bytes: usize,
        matches: &mut dyn FnMut(i64) -> bool,
    ) -> GetResult {
        match self.find_queue(topic, queue_id) {
            Some(queue) => self.get_from(&queue, offset, max_msgs, max_bytes, matches),
            None => GetResult::empty(GetStatus::NoMatchedLogicQueue, 0, 0, 0),
        }
    }

    /// As [`MessageStore::get`], of a queue that was resolved before.
    pub fn get_from(
        &self,
        queue: &QueueHandle,
        offset: i64,
        max_msgs: usize,
        max_bytes: usize,
        matches: &mut dyn FnMut(i64) -> bool,
    ) -> GetResult {
        let filter = &mut MessageFilter::TagsCode(matches);
        self.get_filtered(queue, offset, max_msgs, max_bytes, filter)
    }

    /// As [`MessageStore::get_from`], with a filter that may look at records. What it rejects is not copied anywhere.
    pub fn get_filtered(
        &self,
        queue: &QueueHandle,
        offset: i64,
        max_msgs: usize,
        max_bytes: usize,
        filter: &mut MessageFilter<'_>,
    ) -> GetResult {
        // The maximum first: a minimum read later can only be higher.
        let max = queue.max_offset();
        let min = queue.min_offset();
        let ended = |status, next| GetResult::empty(status, next, min, max);
        if max == 0 {
            return ended(GetStatus::NoMessageInQueue, 0);
        }
        if offset < min {
            return ended(GetStatus::OffsetTooSmall, min);
        }
        if offset == max {
            return ended(GetStatus::OffsetOverflowOne, offset);
        }
        if offset > max {
            return ended(GetStatus::OffsetOverflowBadly, max);
        }
        let limits = Limits {
            max_msgs: max_msgs.max(1),
            max_bytes,
            in_memory_from: self.commit_log_max().saturating_sub(self.resident_bytes),
        };
        self.read_units(
            queue,
            offset,
            ended(GetStatus::NoMatchedMessage, offset),
            &limits,
            filter,
        )
    }

    fn read_units(
        &self,
        queue: &QueueHandle,
        offset: i64,
        mut result: GetResult,
        limits: &Limits,
        filter: &mut MessageFilter<'_>,
    ) -> GetResult {
        let most_units = (self.options.max_filter_message_size / UNIT_LEN).max(limits.max_msgs);
        let stop = offset
            .saturating_add_unsigned(most_units as u64)
            .min(result.max_offset);
        let log_min = self.log.min().cast_signed();
        let mut run: Option<Run> = None;
        'queue: while result.next_offset < stop {
            let at = byte_of(result.next_offset);
            let segment = queue.segment(at).ok().flatten();
            let end = queue.files.base_of(at) + queue.files.segment_len();
            let len = (byte_of(stop).min(end) - at).min(UNITS_A_VIEW * UNIT_BYTES);
            let view = segment
                .as_ref()
                .and_then(|(base, segment)| segment.view(at - base, usize::try_from(len).ok()?));
            let Some(units) = view else {
                if result.next_offset == offset {
                    // Go on with the next segment: this one is unreadable.
                    result.status = GetStatus::OffsetFoundNull;
                    result.next_offset =
                        super::consume_queue::offset_of(end).min(result.max_offset);
                }
                break;
            };
            for bytes in units.chunks_exact(UNIT_LEN) {
                let unit = Unit::decode(bytes).unwrap_or(Unit::FILLER);
                let size = usize::try_from(unit.size).unwrap_or(0);
                if unit.is_filler() || unit.physical_offset < log_min {
                    if result.count == 0 {
                        result.status = GetStatus::MessageWasRemoving;
                    }
                } else if self.may_match(queue, &unit, filter) {
                    if !limits.admits(
                        &self.options,
                        unit.physical_offset,
                        size,
                        result.count,
                        result.bytes,
                    ) {
                        break 'queue;
                    }
                    match self.add_record(
                        &unit,
                        result.next_offset,
                        size,
                        filter,
                        &mut run,
                        &mut result.slices,
                    ) {
                        Record::Added => {
                            result.count += 1;
                            result.bytes += size;
                            result.status = GetStatus::Found;
                            result.is_behind = unit.physical_offset < limits.in_memory_from;
                        }
                        Record::Rejected => {}
                        Record::Unreadable if result.count == 0 => {
                            result.status = GetStatus::MessageWasRemoving;
                        }
                        Record::Unreadable => {}
                    }
                }
                result.next_offset += 1;
                if result.count >= limits.max_msgs {
                    break 'queue;
                }
            }
        }
        if let Some(run) = run {
            run.finish(&mut result.slices);
        }
        result
    }

    /// Whether the filter lets a message pass as far as its unit tells.
    fn may_match(&self, queue: &QueueHandle, unit: &Unit, filter: &mut MessageFilter<'_>) -> bool {
        match filter {
            MessageFilter::TagsCode(matches) => self.tags_code(queue, unit).is_none_or(matches),
            MessageFilter::Record { bits, .. } => {
                queue.stored_bits(unit).is_none_or(|stored| bits(&stored))
            }
        }
    }

    /// What consumers filter by: from the unit, its extension, or if that is missing the record.
    fn tags_code(&self, queue: &QueueHandle, unit: &Unit) -> Option<i64> {
        queue.tags_code(unit).or_else(|| {
            let bytes = self
                .log
                .record(unit.physical_offset.cast_unsigned())
                .ok()??;
            let record = RecordView::parse(&bytes).ok()?;
            Some(self.options.tags_code(&record))
        })
    }

    /// Adds the record of `unit` to the run, or begins a new run, unless the filter rejects it.
    fn add_record(
        &self,
        unit: &Unit,
        queue_offset: i64,
        size: usize,
        filter: &mut MessageFilter<'_>,
        run: &mut Option<Run>,
        slices: &mut SmallVec<[Bytes; 4]>,
    ) -> Record {
        let offset = unit.physical_offset.cast_unsigned();
        let base = self.log.files.base_of(offset);
        if run.as_ref().is_none_or(|run| run.base != base) {
            let Ok(Some((base, segment))) = self.log.files.segment(offset) else {
                return Record::Unreadable;
            };
            if let Some(run) = run.take() {
                run.finish(slices);
            }
            *run = Some(Run {
                base,
                segment,
                from: 0,
                to: 0,
            });
        }
        let Some(run) = run else {
            return Record::Unreadable;
        };
        let at = offset - base;
        if !self.is_good(run.segment.as_ref(), at, unit, queue_offset, size) {
            return Record::Unreadable;
        }
        if let MessageFilter::Record { record, .. } = filter
            && run
                .segment
                .view(at, size)
                .is_some_and(|bytes| !record(&bytes))
        {
            return Record::Rejected;
        }
        if at != run.to {
            let next = Run {
                segment: Arc::clone(&run.segment),
                from: at,
                ..*run
            };
            std::mem::replace(run, next).finish(slices);
        }
        run.to = at + size as u64;
        Record::Added
    }

    /// Whether the record that `unit` promises is there. What this process wrote lately is still in memory as it was
    /// written: a look at the head is enough. Older records come, or came, from the disk: the body's CRC is compared.
    fn is_good(
        &self,
        segment: &dyn Segment,
        at: u64,
        unit: &Unit,
        queue_offset: i64,
        size: usize,
    ) -> bool {
        if size < MIN_BYTES {
            return false;
        }
        if sabotage::is(Sabotage::DamageDelivered) {
            return segment.view(at, size).is_some();
        }
        let is_recent = unit.physical_offset >= self.recovered_end
            && unit.physical_offset >= self.commit_log_max().saturating_sub(self.resident_bytes);
        let is_good = if is_recent {
            segment.view(at, size).is_some_and(|bytes| {
                bytes.first_chunk().map(|size| i32::from_be_bytes(*size)) == Some(unit.size)
            })
        } else {
            segment
                .view(at, size)
                .is_some_and(|bytes| match check(&bytes) {
                    RecordCheck::Record(record) => {
                        let has_crc = !self.options.force_verify_prop_crc
                            || is_crc_intact(&bytes) == Some(true);
                        has_crc
                            && record.size == size
                            && record.physical_offset == unit.physical_offset
                            && is_at(&record, queue_offset)
                    }
                    _ => false,
                })
        };
        if !is_good {
            self.damaged_reads.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                physical_offset = unit.physical_offset,
                size,
                "record is damaged or missing; it is not delivered"
            );
        }
        is_good
    }
}
