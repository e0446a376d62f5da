// SPDX-License-Identifier: Apache-2.0
//! Preparing what appends will need: space, the next segment. The slow parts run without the append lock.

use std::io;
use std::sync::Arc;

use super::pool::TransientPool;
use super::{CommitLog, refusal};
use crate::store::AppendError;
use crate::store::consume_queue::QueueHandle;
use crate::store::disk::{Segment, SegmentWriter};

/// Space is prepared at least this far ahead of the end, bytes.
pub(super) const MIN_AHEAD: u64 = 4 << 20;
/// And at most this far, however fast the log grows. A log as fast as that gets the whole segment at once: a reservation
/// may wait for the disk, and holds up all writes to the file meanwhile.
const MAX_AHEAD: u64 = 64 << 20;
/// Space is prepared for the records of this time, milliseconds,
const AHEAD_MS: u64 = 800;
/// at the speed of the log since the last preparation, which was at least about this long ago, unless space gets low,
const RATE_INTERVAL_MS: i64 = 100;
/// and counts as this long ago at least, so that a few large messages make no burst.
const SHORTEST_MS: i64 = 50;

/// A segment that appends have not reached.
pub(super) struct NewSegment {
    pub(super) base: u64,
    pub(super) log: Box<dyn SegmentWriter>,
    /// What is appended to, with a transient pool.
    pub(super) buffer: Option<Box<dyn SegmentWriter>>,
    /// Bytes at its beginning whose space is reserved.
    pub(super) prepared: u64,
}

impl NewSegment {
    /// Reserves the beginning, or all of it.
    fn prepare(&mut self, log: &CommitLog, takes_all: bool) {
        let segment = self.buffer.as_ref().unwrap_or(&self.log).segment();
        let end = MIN_AHEAD.min(segment.len());
        // A failure shows when an append needs the space.
        if takes_all && segment.reserve(0, segment.len()).is_ok() {
            self.prepared = segment.len();
        } else if segment.reserve(0, end).is_ok() {
            log.bring_in(segment.as_ref(), 0, end, true);
            self.prepared = end;
        }
    }
}

impl CommitLog {
    /// As [`CommitLog::create`], but if all buffers are full, what they hold is committed first: a short wait is better than
    /// a refusal. The append lock is held, and the log ends at `position`.
    pub(super) fn create_waiting(
        &self,
        base: u64,
        position: u64,
    ) -> Result<NewSegment, AppendError> {
        if let Some(pool) = &self.pool
            && pool.refusal().is_some()
        {
            pool.commit(&self.files, position)
                .map_err(|error| refusal(&error))?;
        }
        self.create(base)
    }

    /// Makes the segment at `base`, with its buffer if there is a pool.
    pub(super) fn create(&self, base: u64) -> Result<NewSegment, AppendError> {
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
        Ok(NewSegment {
            base,
            log,
            buffer,
            prepared: 0,
        })
    }

    /// Reserves space and creates the next segment ahead of the appends; the slow parts run unlocked.
    pub(crate) fn prepare_ahead(&self, now_ms: i64) {
        let segment_len = self.files.segment_len();
        let (segment, base, position, reserved, brought_in, ahead, wants_next) = {
            let mut tail = self.tail.lock();
            let elapsed_ms = now_ms.saturating_sub(tail.prepared_ms);
            if !tail.is_low() && elapsed_ms < RATE_INTERVAL_MS {
                return;
            }
            let grown = tail.position - tail.position_at_prepare;
            tail.position_at_prepare = tail.position;
            tail.prepared_ms = now_ms;
            // Follow bursts at once, forget them slowly.
            let elapsed_ms = elapsed_ms.max(SHORTEST_MS).cast_unsigned();
            tail.ahead = (grown.saturating_mul(AHEAD_MS) / elapsed_ms)
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
                tail.brought_in,
                tail.ahead,
                wants_next,
            )
        };
        let end = base + segment_len;
        let target = (position + ahead).min(end);
        let is_fast = ahead >= MAX_AHEAD;
        let takes_all = is_fast && !self.has_pool();
        let reserve = |to: u64| segment.reserve(reserved.max(position) - base, to - base);
        // A failure to reserve shows when an append needs the space.
        let reserved_to = if target <= reserved {
            None
        } else if takes_all && reserve(end).is_ok() {
            Some(end)
        } else {
            reserve(target).ok().map(|()| target)
        };
        let is_reserved = reserved_to.is_some() || reserved >= target;
        if target > brought_in.max(position) && is_reserved {
            self.bring_in(
                segment.as_ref(),
                brought_in.max(position) - base,
                target - base,
                !is_fast,
            );
        }
        if wants_next {
            let mut next = self.next.lock();
            // Unless an append was faster and has created that segment itself.
            if next.is_none() && self.files.last() == Some(base) {
                let mut created = self.create(end).ok();
                if let Some(next) = &mut created {
                    next.prepare(self, takes_all);
                }
                *next = created;
            }
        }

        let mut tail = self.tail.lock();
        if tail.base == base {
            if let Some(to) = reserved_to {
                tail.reserved = tail.reserved.max(to);
            }
            tail.brought_in = tail.brought_in.max(target);
            // At the end of a segment there is nothing more to prepare until the next begins.
            tail.low_water = if target == end {
                end
            } else {
                target - (target - position) / 2
            };
        }
        let half_full = std::mem::take(&mut tail.half_full);
        drop(tail);
        if !half_full.is_empty() {
            self.make_queue_segments(half_full);
        }
    }

    /// Makes the next segments of queues, each of which is a sync of its directory.
    fn make_queue_segments(&self, queues: Vec<Arc<QueueHandle>>) {
        let mut ahead = self.queues_ahead.lock();
        ahead.retain(|queue| queue.has_next_segment());
        // A failure shows when an append needs the segment.
        let made = queues
            .into_iter()
            .filter(|queue| queue.make_next_segment().unwrap_or(false));
        ahead.extend(made);
    }

    /// Brings reserved pages into memory, where that is needed before they are written.
    ///
    /// A buffer of the pool is locked in memory, which takes hold of the pages of its mapping.
    ///
    /// Of a log that grows slowly each flush has little to write. Under SYNC_FLUSH the pages are written once as they
    /// are: the first write to reserved space costs a commit of the file system's journal, which takes as long as the flush
    /// itself. A log that grows fast shares flushes among many records, and would only write twice as much.
    fn bring_in(&self, segment: &dyn Segment, from: u64, to: u64, is_slow: bool) {
        if self.has_pool() {
            segment.prefault(from, to, false);
        } else if is_slow && self.is_synchronous {
            segment.prefault(from, to, true);
            segment.begin_writing(from, to);
        }
    }

    /// Removes segments that were created ahead but not used.
    pub(crate) fn discard_next(&self) -> io::Result<()> {
        for queue in self.queues_ahead.lock().drain(..) {
            queue.discard_next_segment()?;
        }
        if let Some(next) = self.next.lock().take() {
            self.files.discard(next.base)?;
            if let Some(pool) = &self.pool {
                pool.discard(next.base)?;
            }
        }
        Ok(())
    }
}
