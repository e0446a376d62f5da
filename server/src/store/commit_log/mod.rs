// SPDX-License-Identifier: Apache-2.0
//! The commit log: all records of all topics, one after the other (store.md 2).
//!
//! Segments of one length, named by their offset. A record never spans two: if it does not leave 8 bytes for the
//! *blank* record that closes a segment, the blank is written and the record begins the next segment.
//!
//! Before this step: [`batch`](AppendBatch) encodes outside the lock. After it: the consume queues show the messages.

mod ahead;
mod append;
mod batch;
mod light;
mod pool;
mod tail;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use kerolox_protocol::message::record;
use parking_lot::Mutex;

use super::AppendError;
use super::consume_queue::QueueHandle;
use super::index::Feed;
use super::puts::PutCounters;
use super::sabotage::{self, Sabotage};
use super::segments::SegmentFiles;

use ahead::{MIN_AHEAD, NewSegment};
pub use append::AppendOutcome;
pub use batch::{AppendBatch, Appended};
pub(crate) use batch::{Limits, TagsCode};
pub(crate) use pool::{TransientPool, remove_buffers, restore};
use tail::Tail;

/// The log's files and positions.
pub(crate) struct CommitLog {
    pub(crate) files: SegmentFiles,
    /// The append lock.
    pub(crate) tail: Mutex<Tail>,
    /// The segment created ahead; locked after the append lock, and held while one is created and shown to readers.
    next: Mutex<Option<NewSegment>>,
    /// Queues whose next segment was made ahead.
    queues_ahead: Mutex<Vec<Arc<QueueHandle>>>,
    /// Takes the records first, if there is one.
    pool: Option<TransientPool>,
    /// Takes the keys of what is appended, if there is an index.
    pub(crate) feed: Option<Arc<Feed>>,
    /// Whether each record ends with its CRC.
    pub(crate) appends_crc: bool,
    /// Whether messages are acknowledged once they are on disk.
    pub(crate) is_synchronous: bool,
    /// What was appended since the start; written under the append lock.
    pub(crate) puts: PutCounters,
    /// Offset after the last record.
    written: AtomicU64,
    /// Everything before is on disk.
    flushed: AtomicU64,
    /// Store time of the last record that was committed from the pool.
    committed_timestamp: AtomicI64,
    /// Store time of the last record that is on disk.
    flushed_timestamp: AtomicI64,
    is_poisoned: AtomicBool,
    is_closed: AtomicBool,
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
            brought_in: end,
            low_water: 0,
            ahead: MIN_AHEAD,
            position_at_prepare: end,
            prepared_ms: 0,
            last_timestamp,
            units,
            released: end,
            touched: Vec::new(),
            dirty: Vec::new(),
            half_full: Vec::new(),
        };
        Ok(Self {
            files,
            tail: Mutex::new(tail),
            next: Mutex::new(None),
            queues_ahead: Mutex::default(),
            pool,
            feed: None,
            appends_crc: false,
            is_synchronous: false,
            puts: PutCounters::default(),
            written: AtomicU64::new(end),
            flushed: AtomicU64::new(flushed.min(end)),
            committed_timestamp: AtomicI64::new(0),
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

    /// Store time of the last record that was committed from the pool, Unix milliseconds; 0 if none was yet.
    pub(crate) fn committed_timestamp(&self) -> i64 {
        self.committed_timestamp.load(Ordering::Acquire)
    }

    /// Notes that everything up to a record of this store time is committed.
    pub(crate) fn note_committed_timestamp(&self, timestamp: i64) {
        self.committed_timestamp
            .fetch_max(timestamp, Ordering::AcqRel);
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

    /// Buffers of the pool that are free; `None` without one.
    pub(crate) fn free_buffers(&self) -> Option<usize> {
        self.pool.as_ref().map(TransientPool::free)
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
            if sabotage::is(Sabotage::FlushedTooEarly) {
                self.flushed.fetch_max(target, Ordering::AcqRel);
            }
            let synced = self.files.segment(at).and_then(|segment| match segment {
                _ if sabotage::is(Sabotage::FlushWithoutSync) => Ok(()),
                Some((_, segment)) => segment.flush(at - base, end - base),
                None => Ok(()),
            });
            if let Err(error) = synced {
                if sabotage::is(Sabotage::FailedFlushForgotten) {
                    return Err(AppendError::DiskFull);
                }
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

    /// Removes the pool's buffers; everything must be committed.
    pub(crate) fn remove_pool(&self) -> io::Result<()> {
        self.pool.as_ref().map_or(Ok(()), TransientPool::remove_all)
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
