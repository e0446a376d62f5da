// SPDX-License-Identifier: Apache-2.0
//! The end of the log: room for the next record, and the roll into the next segment.

use std::sync::Arc;

use kerolox_protocol::message::record::{self, BLANK_BYTES};

use super::ahead::MIN_AHEAD;
use super::{CommitLog, refusal};
use crate::store::AppendError;
use crate::store::consume_queue::QueueHandle;
use crate::store::disk::SegmentWriter;
use crate::store::sabotage::{self, Sabotage};

/// Space reserved at a time when an append finds none prepared.
const INLINE_RESERVE: u64 = 1 << 20;

/// The end of the log; whoever locks it may append.
pub(crate) struct Tail {
    /// The segment, or its buffer.
    pub(super) writer: Box<dyn SegmentWriter>,
    pub(super) base: u64,
    /// Offset of the next record.
    pub(crate) position: u64,
    /// Space on disk is reserved up to here.
    pub(super) reserved: u64,
    /// Pages that have to be in memory before they are written are there up to here.
    pub(super) brought_in: u64,
    /// When the end passes this, the background thread is woken to prepare more.
    pub(super) low_water: u64,
    /// How far ahead to prepare.
    pub(super) ahead: u64,
    /// End at the last preparation: tells how fast the log grows.
    pub(super) position_at_prepare: u64,
    /// When that was, milliseconds.
    pub(super) prepared_ms: i64,
    /// Store timestamps never go back within a run.
    pub(crate) last_timestamp: i64,
    /// Sum of the ends of all consume queues.
    pub(crate) units: i64,
    /// Bytes of a buffer before this offset were given back.
    pub(super) released: u64,
    /// Queues with messages that wait for a commit or flush to become visible.
    pub(crate) touched: Vec<Arc<QueueHandle>>,
    /// Queues with units that are not on disk.
    pub(crate) dirty: Vec<Arc<QueueHandle>>,
    /// Queues that ask for their next segment.
    pub(super) half_full: Vec<Arc<QueueHandle>>,
}

impl Tail {
    /// Whether the background thread should prepare more.
    pub(crate) fn is_low(&self) -> bool {
        self.position > self.low_water || !self.half_full.is_empty()
    }

    /// Whether `size` bytes fit the segment.
    pub(super) fn has_room(&self, log: &CommitLog, size: u64) -> bool {
        self.position + size + BLANK_BYTES as u64 <= self.base + log.files.segment_len()
    }

    /// Makes sure that `size` bytes fit at the end, closing the segment and opening the next if need be.
    pub(super) fn make_room(&mut self, log: &CommitLog, size: u64) -> Result<(), AppendError> {
        let segment_len = log.files.segment_len();
        if !self.has_room(log, size) {
            self.roll(log)?;
        }
        let end = self.base + segment_len;
        let needed = (self.position + size + BLANK_BYTES as u64).min(end);
        if needed > self.reserved {
            let segment = self.writer.segment();
            let generous = needed.max(self.reserved + INLINE_RESERVE).min(end);
            let from = self.reserved - self.base;
            self.reserved = match segment.reserve(from, generous - self.base) {
                Ok(()) => generous,
                // The last bytes of a disk are still good for this record.
                Err(_) => match segment.reserve(from, needed - self.base) {
                    Ok(()) => needed,
                    Err(error) => {
                        if sabotage::is(Sabotage::FullDiskIsFinal) {
                            log.poison(&error);
                        }
                        return Err(refusal(&error));
                    }
                },
            };
        }
        Ok(())
    }

    /// Closes the segment with a blank record and goes on in the next. Nothing has happened if there is no next one.
    fn roll(&mut self, log: &CommitLog) -> Result<(), AppendError> {
        let segment_len = log.files.segment_len();
        let next_base = self.base + segment_len;
        let mut created = log.next.lock();
        let next = match created.take() {
            Some(next) if next.base == next_base => next,
            _ => log.create_waiting(next_base, self.position)?,
        };
        let at = self.position - self.base;
        // A segment is at most i32::MAX bytes long, and make_room leaves 8 bytes for this head.
        let rest = i32::try_from(segment_len - at).unwrap_or(i32::MAX);
        let written = self.writer.write_through(at, &record::blank(rest));
        if let Err(error) = written {
            *created = Some(next);
            let refused = refusal(&error);
            if refused == AppendError::DiskFull {
                return Err(refused);
            }
            log.poison(&error);
            return Err(AppendError::Poisoned);
        }
        let shown = Arc::clone(next.log.segment());
        let prepared = next_base + next.prepared;
        match (&log.pool, next.buffer) {
            (Some(pool), Some(buffer)) => {
                if let Err(error) = pool.add(next_base, next.log) {
                    log.poison(&error);
                    return Err(AppendError::Poisoned);
                }
                self.writer = buffer;
            }
            _ => {
                self.writer.publish(segment_len);
                log.files.set_end(next_base);
                self.writer = next.log;
            }
        }
        log.files.add(next_base, &shown);
        self.base = next_base;
        self.position = next_base;
        self.reserved = prepared;
        self.brought_in = prepared.min(next_base + MIN_AHEAD);
        self.low_water = next_base;
        self.released = next_base;
        Ok(())
    }
}
