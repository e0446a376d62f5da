// SPDX-License-Identifier: Apache-2.0
//! The commit log: all records of all topics, one after the other (store.md 2).
//!
//! Segments of one length, named by their offset. A record never spans two: if it does not leave 8 bytes for the
//! *blank* record that closes a segment, the blank is written and the record begins the next segment.
//!
//! Before this step: [`batch`](AppendBatch) encodes outside the lock. After it: the consume queues show the messages.

mod append;
mod batch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use kerolox_protocol::message::record::{self, BLANK_BYTES};
use parking_lot::Mutex;

use super::AppendError;
use super::consume_queue::QueueHandle;
use super::disk::{Segment, SegmentWriter};
use super::segments::SegmentFiles;

pub use append::AppendOutcome;
pub use batch::{AppendBatch, Appended};
pub(crate) use batch::{Limits, TagsCode};

/// Space and pages are prepared at least this far ahead of the end, bytes.
const MIN_AHEAD: u64 = 4 << 20;
/// And at most this far, however fast the log grows.
const MAX_AHEAD: u64 = 64 << 20;
/// Space reserved at a time when an append finds none prepared.
const INLINE_RESERVE: u64 = 1 << 20;

/// The log's files and positions.
pub(crate) struct CommitLog {
    pub(crate) files: SegmentFiles,
    /// The append lock.
    pub(crate) tail: Mutex<Tail>,
    /// The segment created ahead; locked after the append lock, and held while one is created and shown to readers.
    next: Mutex<Option<(u64, Box<dyn SegmentWriter>)>>,
    /// Offset after the last record.
    written: AtomicU64,
    /// Everything before is on disk.
    flushed: AtomicU64,
    is_poisoned: AtomicBool,
    is_closed: AtomicBool,
}

/// The end of the log; whoever locks it may append.
pub(crate) struct Tail {
    writer: Box<dyn SegmentWriter>,
    base: u64,
    /// Offset of the next record.
    pub(crate) position: u64,
    /// Space on disk is reserved up to here.
    reserved: u64,
    /// Pages are in memory up to here.
    faulted: u64,
    /// When the end passes this, the background thread is woken to prepare more.
    low_water: u64,
    /// How far ahead to prepare.
    ahead: u64,
    /// End at the last preparation: tells how fast the log grows.
    position_at_prepare: u64,
    /// Store timestamps never go back within a run.
    pub(crate) last_timestamp: i64,
    /// Queues with messages that wait for a flush to become visible.
    pub(crate) touched: Vec<Arc<QueueHandle>>,
}

impl CommitLog {
    /// Takes the recovered files; the next record goes to `end`, at whose place a segment is made if there is none.
    /// What lies below `flushed` is on disk.
    pub(crate) fn start(
        files: SegmentFiles,
        end: u64,
        flushed: u64,
        last_timestamp: i64,
    ) -> io::Result<Self> {
        files.set_end(end);
        files.unmap_all();
        let base = files.base_of(end);
        let writer = if files.bases().contains(&base) {
            files.open_tail(base)?
        } else {
            let writer = files.create(base)?;
            files.add(base, writer.segment());
            writer
        };
        let tail = Tail {
            writer,
            base,
            position: end,
            reserved: end,
            faulted: end,
            low_water: 0,
            ahead: MIN_AHEAD,
            position_at_prepare: end,
            last_timestamp,
            touched: Vec::new(),
        };
        Ok(Self {
            files,
            tail: Mutex::new(tail),
            next: Mutex::new(None),
            written: AtomicU64::new(end),
            flushed: AtomicU64::new(flushed.min(end)),
            is_poisoned: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Offset after the last record.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Offset before which everything is on disk.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Offset of the first record that still exists.
    pub(crate) fn min(&self) -> u64 {
        self.files.first().unwrap_or(0)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    /// Refuses everything from now on: what the disk holds is not known any more.
    pub(crate) fn poison(&self, cause: &io::Error) {
        if !self.is_poisoned.swap(true, Ordering::AcqRel) {
            tracing::error!(%cause, "the store failed to write; it takes no more messages");
        }
    }

    /// Refuses appends from now on; on return none is under way.
    pub(crate) fn close(&self) {
        let _tail = self.tail.lock();
        self.is_closed.store(true, Ordering::Release);
    }

    /// Why nothing can be appended, if so.
    pub(crate) fn refusal(&self) -> Option<AppendError> {
        if self.is_closed.load(Ordering::Acquire) {
            Some(AppendError::Closed)
        } else if self.is_poisoned() {
            Some(AppendError::Poisoned)
        } else {
            None
        }
    }

    /// The whole record at `offset`, if there is one.
    pub(crate) fn record(&self, offset: u64) -> io::Result<Option<Bytes>> {
        let Some((base, segment)) = self.files.segment(offset)? else {
            return Ok(None);
        };
        let at = offset - base;
        let Some(head) = segment.view(at, record::MIN_BYTES) else {
            return Ok(None);
        };
        let size = head
            .first_chunk()
            .map_or(0, |size| i32::from_be_bytes(*size));
        drop(head);
        let Ok(size) = usize::try_from(size) else {
            return Ok(None);
        };
        let bytes = if size < record::MIN_BYTES {
            None
        } else {
            segment.bytes(at, size)
        };
        Ok(bytes.filter(|bytes| is_at(bytes, offset)))
    }

    /// Syncs everything up to `target`. An error poisons the log.
    pub(crate) fn flush_to(&self, target: u64) -> Result<(), AppendError> {
        let mut at = self.flushed();
        while at < target {
            if self.is_poisoned() {
                return Err(AppendError::Poisoned);
            }
            let base = self.files.base_of(at);
            let end = (base + self.files.segment_len()).min(target);
            let synced = self.files.segment(at).and_then(|segment| match segment {
                Some((_, segment)) => segment.flush(at - base, end - base),
                None => Ok(()),
            });
            if let Err(error) = synced {
                self.poison(&error);
                return Err(AppendError::Poisoned);
            }
            at = end;
            self.flushed.fetch_max(at, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Reserves space, brings pages in and creates the next segment ahead of the appends; the slow parts run unlocked.
    pub(crate) fn prepare_ahead(&self) {
        let segment_len = self.files.segment_len();
        let (segment, base, position, reserved, faulted, ahead, wants_next) = {
            let mut tail = self.tail.lock();
            let grown = tail.position - tail.position_at_prepare;
            tail.position_at_prepare = tail.position;
            // Follow bursts at once, forget them slowly.
            tail.ahead = grown
                .saturating_mul(4)
                .max(tail.ahead / 8 * 7)
                .clamp(MIN_AHEAD, MAX_AHEAD);
            let rest = tail.base + segment_len - tail.position;
            let wants_next = rest < tail.ahead.saturating_mul(4);
            let segment: Arc<dyn Segment> = Arc::clone(tail.writer.segment());
            (
                segment,
                tail.base,
                tail.position,
                tail.reserved,
                tail.faulted,
                tail.ahead,
                wants_next,
            )
        };
        let end = base + segment_len;
        let target = (position + ahead).min(end);
        // A failure to reserve shows when an append needs the space.
        let is_reserved = target > reserved
            && segment
                .reserve(reserved.max(position) - base, target - base)
                .is_ok();
        if target > faulted.max(position) && (is_reserved || reserved >= target) {
            segment.prefault(faulted.max(position) - base, target - base);
        }
        if wants_next {
            let mut next = self.next.lock();
            // Unless an append was faster and has created that segment itself.
            if next.is_none() && self.files.last() == Some(base) {
                *next = self.files.create(end).ok().map(|writer| (end, writer));
            }
        }

        let mut tail = self.tail.lock();
        if tail.base == base {
            if is_reserved {
                tail.reserved = tail.reserved.max(target);
            }
            tail.faulted = tail.faulted.max(target);
            // At the end of a segment there is nothing more to prepare until the next begins.
            tail.low_water = if target == end {
                end
            } else {
                target - (target - position) / 2
            };
        }
    }

    /// Removes a segment that was created ahead but not used.
    pub(crate) fn discard_next(&self) -> io::Result<()> {
        match self.next.lock().take() {
            Some((base, _)) => self.files.discard(base),
            None => Ok(()),
        }
    }
}

impl Tail {
    /// Whether the background thread should prepare more.
    pub(crate) fn is_low(&self) -> bool {
        self.position > self.low_water
    }

    /// Makes sure that `size` bytes fit at the end, closing the segment and opening the next if need be.
    fn make_room(&mut self, log: &CommitLog, size: u64) -> Result<(), AppendError> {
        let segment_len = log.files.segment_len();
        let needed = size + BLANK_BYTES as u64;
        if self.position + needed > self.base + segment_len {
            self.roll(log)?;
        }
        let end = self.base + segment_len;
        let needed = (self.position + needed).min(end);
        if needed > self.reserved {
            let segment = self.writer.segment();
            let generous = needed.max(self.reserved + INLINE_RESERVE).min(end);
            let from = self.reserved - self.base;
            self.reserved = match segment.reserve(from, generous - self.base) {
                Ok(()) => generous,
                // The last bytes of a disk are still good for this record.
                Err(_) => match segment.reserve(from, needed - self.base) {
                    Ok(()) => needed,
                    Err(error) => return Err(refusal(&error)),
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
        let mut next = match created.take() {
            Some((base, writer)) if base == next_base => writer,
            _ => log
                .files
                .create(next_base)
                .map_err(|error| refusal(&error))?,
        };
        let at = self.position - self.base;
        // A segment is at most i32::MAX bytes long, and make_room leaves 8 bytes for this head.
        let rest = i32::try_from(segment_len - at).unwrap_or(i32::MAX);
        let written = self.writer.write(at, &record::blank(rest));
        if let Err(error) = written {
            log.poison(&error);
            return Err(AppendError::Poisoned);
        }
        self.writer.publish(segment_len);
        std::mem::swap(&mut self.writer, &mut next);
        log.files.set_end(next_base);
        log.files.add(next_base, self.writer.segment());
        self.base = next_base;
        self.position = next_base;
        self.reserved = next_base;
        self.faulted = next_base;
        self.low_water = next_base;
        Ok(())
    }
}

/// Whether `bytes` is a record whose physical offset is `offset`.
pub(crate) fn is_at(bytes: &[u8], offset: u64) -> bool {
    record::RecordView::parse(bytes).is_ok_and(|view| view.physical_offset == offset.cast_signed())
}

fn refusal(error: &io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull,
        _ => AppendError::CreateSegment,
    }
}
