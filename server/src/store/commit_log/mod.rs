// SPDX-License-Identifier: Apache-2.0
//! The commit log: all records of all topics, one after the other (store.md 2).
//!
//! Segments of one length, named by their offset. A record never spans two: if it does not leave 8 bytes for the
//! *blank* record that closes a segment, the blank is written and the record begins the next segment.
//!
//! Before this step: [`batch`](AppendBatch) encodes outside the lock. After it: the consume queues show the messages.

mod append;
mod batch;
mod pool;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

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
pub(crate) use pool::{TransientPool, remove_buffers, restore};

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
    next: Mutex<Option<NewSegment>>,
    /// Takes the records first, if there is one.
    pool: Option<TransientPool>,
    /// Offset after the last record.
    written: AtomicU64,
    /// Everything before is on disk.
    flushed: AtomicU64,
    /// Store time of the last record that is on disk.
    flushed_timestamp: AtomicI64,
    is_poisoned: AtomicBool,
    is_closed: AtomicBool,
}

/// A segment that appends have not reached.
struct NewSegment {
    base: u64,
    log: Box<dyn SegmentWriter>,
    /// What is appended to, with a transient pool.
    buffer: Option<Box<dyn SegmentWriter>>,
}

/// The end of the log; whoever locks it may append.
pub(crate) struct Tail {
    /// The segment, or its buffer.
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
    /// Sum of the ends of all consume queues.
    pub(crate) units: i64,
    /// Bytes of a buffer before this offset were given back.
    released: u64,
    /// Queues with messages that wait for a commit or flush to become visible.
    pub(crate) touched: Vec<Arc<QueueHandle>>,
    /// Queues with units that are not on disk.
    pub(crate) dirty: Vec<Arc<QueueHandle>>,
}

impl CommitLog {
    /// Takes the recovered files; the next record goes to `end`, at whose place a segment is made if there is none.
    /// What lies below `flushed` is on disk.
    pub(crate) fn start(
        files: SegmentFiles,
        end: u64,
        flushed: u64,
        last_timestamp: i64,
        units: i64,
        pool: Option<TransientPool>,
    ) -> io::Result<Self> {
        files.set_end(end);
        files.unmap_all();
        let base = files.base_of(end);
        let mut writer = if files.bases().contains(&base) {
            files.open_tail(base)?
        } else {
            let writer = files.create(base)?;
            files.add(base, writer.segment());
            writer
        };
        if let Some(pool) = &pool {
            pool.set_committed(end);
            let buffer = pool.create(base, files.segment_len())?;
            pool.add(base, std::mem::replace(&mut writer, buffer))?;
        }
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
            units,
            released: end,
            touched: Vec::new(),
            dirty: Vec::new(),
        };
        Ok(Self {
            files,
            tail: Mutex::new(tail),
            next: Mutex::new(None),
            pool,
            written: AtomicU64::new(end),
            flushed: AtomicU64::new(flushed.min(end)),
            flushed_timestamp: AtomicI64::new(0),
            is_poisoned: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Offset after the last record.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Offset before which everything is in the log's files.
    pub(crate) fn committed(&self) -> u64 {
        self.pool
            .as_ref()
            .map_or_else(|| self.written(), TransientPool::committed)
    }

    /// Whether records lie in a buffer before they are committed.
    pub(crate) fn has_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// Store time of the last record that is on disk, Unix milliseconds; 0 if none was flushed yet.
    pub(crate) fn flushed_timestamp(&self) -> i64 {
        self.flushed_timestamp.load(Ordering::Acquire)
    }

    /// Notes that everything up to a record of this store time is on disk.
    pub(crate) fn note_flushed_timestamp(&self, timestamp: i64) {
        self.flushed_timestamp
            .fetch_max(timestamp, Ordering::AcqRel);
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

    /// Copies everything before `target` from the pool to the log's files. A full disk is no final error: what was
    /// acknowledged stays in the buffers.
    pub(crate) fn commit_to(&self, target: u64) -> Result<(), AppendError> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        if self.is_poisoned() {
            return Err(AppendError::Poisoned);
        }
        if let Err(error) = pool.commit(&self.files, target) {
            let refusal = refusal(&error);
            if refusal == AppendError::DiskFull {
                return Err(refusal);
            }
            self.poison(&error);
            return Err(AppendError::Poisoned);
        }
        let mut tail = self.tail.lock();
        let done = target.min(tail.position);
        if tail.base <= tail.released && done >= tail.released + pool::RELEASE_STEP {
            let (from, to) = (tail.released - tail.base, done - tail.base);
            tail.writer.release(from, to);
            tail.released = done;
        }
        Ok(())
    }

    fn create(&self, base: u64) -> Result<NewSegment, AppendError> {
        if let Some(refusal) = self.pool.as_ref().and_then(TransientPool::refusal) {
            return Err(refusal);
        }
        let log = self.files.create(base).map_err(|error| refusal(&error))?;
        let buffer = match &self.pool {
            Some(pool) => match pool.create(base, self.files.segment_len()) {
                Ok(buffer) => Some(buffer),
                Err(error) => {
                    self.files.discard(base).unwrap_or(());
                    return Err(refusal(&error));
                }
            },
            None => None,
        };
        Ok(NewSegment { base, log, buffer })
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
                *next = self.create(end).ok();
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
        if let Some(next) = self.next.lock().take() {
            self.files.discard(next.base)?;
            if let Some(pool) = &self.pool {
                pool.discard(next.base)?;
            }
        }
        Ok(())
    }

    /// Removes the pool's buffers; everything must be committed.
    pub(crate) fn remove_pool(&self) -> io::Result<()> {
        self.pool.as_ref().map_or(Ok(()), TransientPool::remove_all)
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
        let next = match created.take() {
            Some(next) if next.base == next_base => next,
            _ => log.create(next_base)?,
        };
        let at = self.position - self.base;
        // A segment is at most i32::MAX bytes long, and make_room leaves 8 bytes for this head.
        let rest = i32::try_from(segment_len - at).unwrap_or(i32::MAX);
        let written = self.writer.write(at, &record::blank(rest));
        if let Err(error) = written {
            log.poison(&error);
            return Err(AppendError::Poisoned);
        }
        let shown = Arc::clone(next.log.segment());
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
        self.reserved = next_base;
        self.faulted = next_base;
        self.low_water = next_base;
        self.released = next_base;
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
