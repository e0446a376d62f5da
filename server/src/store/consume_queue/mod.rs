// SPDX-License-Identifier: Apache-2.0
//! Consume queues: per topic and queue id, where the messages lie in the commit log (store.md 3.1).
//!
//! A queue is a directory of segments of 20-byte units; unit `k` is at byte `20 * k` and belongs to queue offset `k`.
//! Units are written under the append lock together with the record; a queue can be rebuilt from the log at any time.

mod ext;
mod open_queues;
mod scan;
mod table;
mod unit;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::disk::Segment;
use super::message_filter::StoredBits;
use super::puts::{PutCounters, Puts};
use super::sabotage::{self, Sabotage};
use super::segments::SegmentFiles;

pub(crate) use ext::{ExtUnit, QueueExt, is_address};
use open_queues::OpenQueues;
pub(crate) use scan::{UnitScan, first_since};
pub(crate) use table::{QueueLayout, QueueTable};
use unit::NONE_YET;
pub(crate) use unit::{UNIT_BYTES, UNIT_LEN, Unit};
pub(crate) use writer::QueueWriter;

/// Who waits for messages of a queue.
mod watcher {
    /// Somebody who waits for this queue alone.
    pub(super) const QUEUE: u8 = 1;
    /// Somebody who waits for any queue of the topic.
    pub(super) const TOPIC: u8 = 2;
}

/// A queue that was resolved once, so that appends and reads need no look-up.
pub struct QueueHandle {
    topic: Box<str>,
    queue_id: i32,
    pub(crate) files: SegmentFiles,
    /// Units of the extension, if there are or will be any.
    pub(crate) ext: Option<Box<QueueExt>>,
    /// Lowest queue offset whose record still exists.
    min: AtomicI64,
    /// Queue offset after the last visible message.
    visible: AtomicI64,
    /// What was appended since the start; written under the writer's lock.
    pub(crate) puts: PutCounters,
    /// Bits of [`watcher`].
    watchers: AtomicU8,
    is_deleted: AtomicBool,
    /// Itself, to be listed when it maps files.
    this: Weak<Self>,
    open: Arc<OpenQueues>,
    is_open: AtomicBool,
    /// Locked after the append lock where both are needed.
    pub(crate) writer: Mutex<QueueWriter>,
}

impl std::fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{} [{}, {})",
            self.topic,
            self.queue_id,
            self.min_offset(),
            self.max_offset()
        )
    }
}

impl QueueHandle {
    /// A queue with the segments that were found; [`QueueHandle::reset`] sets its end.
    fn new(
        topic: &str,
        queue_id: i32,
        files: SegmentFiles,
        ext: Option<Box<QueueExt>>,
        open: Arc<OpenQueues>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            topic: topic.into(),
            queue_id,
            files,
            ext,
            min: AtomicI64::new(0),
            visible: AtomicI64::new(0),
            puts: PutCounters::default(),
            watchers: AtomicU8::new(0),
            is_deleted: AtomicBool::new(false),
            this: Weak::clone(this),
            open,
            is_open: AtomicBool::new(false),
            writer: Mutex::default(),
        })
    }

    /// Directory of a queue's segments.
    pub(crate) fn dir(root: &std::path::Path, topic: &str, queue_id: i32) -> PathBuf {
        root.join(topic).join(queue_id.to_string())
    }

    /// Topic of the queue.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Number of the queue in its topic.
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// Lowest queue offset that can be read.
    pub fn min_offset(&self) -> i64 {
        self.min.load(Ordering::Acquire)
    }

    /// Queue offset after the last message that consumers may see.
    pub fn max_offset(&self) -> i64 {
        self.visible.load(Ordering::Acquire)
    }

    /// What was appended since the start.
    pub fn puts(&self) -> Puts {
        self.puts.read()
    }

    /// Notes that somebody waits for messages of this queue, and returns the maximum offset read after that.
    ///
    /// A message that becomes visible later is reported ([`super::AppendBatch::arrivals`], [`super::FlushReport`]); one that
    /// was visible before is in the returned offset. So whoever parks a pull and then compares misses nothing.
    pub fn watch(&self) -> i64 {
        self.watchers.fetch_or(watcher::QUEUE, Ordering::SeqCst);
        self.visible.load(Ordering::SeqCst)
    }

    /// Takes [`QueueHandle::watch`] back.
    pub fn unwatch(&self) {
        self.watchers.fetch_and(!watcher::QUEUE, Ordering::SeqCst);
    }

    /// As [`QueueHandle::watch`] for those who wait for several queues of the topic; neither takes the other back.
    pub fn watch_topic(&self) -> i64 {
        self.watchers.fetch_or(watcher::TOPIC, Ordering::SeqCst);
        self.visible.load(Ordering::SeqCst)
    }

    /// Takes [`QueueHandle::watch_topic`] back.
    pub fn unwatch_topic(&self) {
        self.watchers.fetch_and(!watcher::TOPIC, Ordering::SeqCst);
    }

    /// Whether somebody waits.
    pub fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) != 0
    }

    /// Whether the topic was deleted; appends are then refused.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Shows everything before `next` to consumers; returns whether somebody waits for it.
    pub(crate) fn show(&self, next: i64) -> bool {
        if next > self.visible.load(Ordering::Relaxed) {
            // Sequentially consistent with `watch`: one of the two sides sees the other.
            self.visible.store(next, Ordering::SeqCst);
        }
        self.is_watched()
    }

    pub(crate) fn set_min(&self, min: i64) {
        self.min.store(min, Ordering::Release);
    }

    /// Sets end and minimum after recovery; units from `flushed` on may not be on disk.
    pub(crate) fn reset(&self, next: i64, flushed: i64, min: i64) {
        self.files.set_end(byte_of(next));
        self.files.unmap_all();
        let next = next - i64::from(next > 0 && sabotage::is(Sabotage::OffsetGivenTwice));
        *self.writer.lock() = QueueWriter::at(next, flushed);
        self.min.store(min.min(next), Ordering::Release);
        self.visible.store(next, Ordering::Release);
    }

    /// First queue offset in `low .. high` whose unit `is` so, given that all later ones are so too; else `high`.
    pub(crate) fn first_where(
        &self,
        mut low: i64,
        mut high: i64,
        is: impl Fn(Option<Unit>) -> bool,
    ) -> io::Result<i64> {
        while low < high {
            let middle = low + (high - low) / 2;
            if is(self.unit(middle)?) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Refuses further appends and removes the files; returns the queue's end.
    pub(crate) fn delete(&self) -> io::Result<i64> {
        let mut writer = self.writer.lock();
        let next = writer.next();
        self.is_deleted.store(true, Ordering::Release);
        let before = std::mem::take(&mut *writer);
        before.spare().discard(&self.files)?;
        self.min.store(0, Ordering::Release);
        self.visible.store(0, Ordering::Release);
        if let Some(ext) = &self.ext {
            ext.delete()?;
        }
        self.files.remove_all()?;
        Ok(next)
    }

    /// Makes the next segment ahead of the appends; unless it is there, or the topic was deleted. Returns whether there is one.
    pub(crate) fn make_next_segment(&self) -> io::Result<bool> {
        let next = self.writer.lock().next_segment(&self.files);
        let Some((base, spare)) = next else {
            return Ok(false);
        };
        spare.make(&self.files, base, || !self.is_deleted())?;
        Ok(spare.is_some())
    }

    /// Whether a segment was made ahead that is not in use.
    pub(crate) fn has_next_segment(&self) -> bool {
        let spare = Arc::clone(self.writer.lock().spare());
        spare.is_some()
    }

    /// Removes a segment that was made ahead but not used.
    pub(crate) fn discard_next_segment(&self) -> io::Result<()> {
        let spare = Arc::clone(self.writer.lock().spare());
        spare.discard(&self.files)
    }

    /// Units that a segment holds.
    pub(crate) fn units_per_segment(&self) -> usize {
        usize::try_from(self.files.segment_len() / UNIT_BYTES).unwrap_or(usize::MAX)
    }

    /// The segment that holds a byte of the queue, mapped if need be.
    pub(crate) fn segment(&self, at: u64) -> io::Result<Option<(u64, Arc<dyn Segment>)>> {
        let segment = self.files.segment(at)?;
        self.note_open();
        Ok(segment)
    }

    /// Notes that files are mapped now; others may have to be closed for it.
    pub(crate) fn note_open(&self) {
        if !self.is_open.load(Ordering::Relaxed) && !self.is_open.swap(true, Ordering::AcqRel) {
            self.open.add(Weak::clone(&self.this));
        }
    }

    /// Unmaps the files; `false` if somebody is writing.
    fn close(&self) -> bool {
        let Some(mut writer) = self.writer.try_lock() else {
            return false;
        };
        if writer.has_placed() || !writer.close(&self.files) {
            return false;
        }
        // Whoever maps a file from now on lists the queue again.
        self.is_open.store(false, Ordering::Release);
        self.files.unmap_all();
        if let Some(ext) = &self.ext {
            ext.close();
        }
        true
    }

    /// The unit at queue offset `offset`, if its segment exists and it is written.
    pub(crate) fn unit(&self, offset: i64) -> io::Result<Option<Unit>> {
        let at = byte_of(offset);
        let Some((base, segment)) = self.segment(at)? else {
            return Ok(None);
        };
        Ok(segment
            .view(at - base, UNIT_LEN)
            .and_then(|bytes| Unit::decode(&bytes)))
    }

    /// Queue offset of the first unit that exists as a file.
    pub(crate) fn first_in_files(&self) -> i64 {
        self.files.first().map_or(0, offset_of)
    }

    /// Commit-log offset of the first message at `offset` or later whose place is not empty.
    pub(crate) fn physical_offset(&self, offset: i64) -> io::Result<Option<i64>> {
        let mut scan = UnitScan::new(self);
        for offset in offset..self.max_offset() {
            match scan.unit(offset)? {
                Some(unit) if unit.is_filler() => {}
                unit => return Ok(unit.map(|unit| unit.physical_offset)),
            }
        }
        Ok(None)
    }

    /// Removes segments, oldest first and never the newest, all of whose records lie below `log_min`, and sets the minimum
    /// to the first unit whose record does not.
    pub(crate) fn remove_expired(&self, log_min: i64) -> io::Result<()> {
        let mut scan = UnitScan::new(self);
        for pair in self.files.bases().windows(2) {
            let &[base, next] = pair else { break };
            let (first, end) = (offset_of(base), offset_of(next));
            if first_since(first, end, log_min, |offset| scan.unit(offset))? < end {
                break;
            }
            self.files.remove(base)?;
        }
        let low = self.min_offset().max(scan.low());
        let min = first_since(low, self.max_offset(), log_min, |offset| scan.unit(offset))?;
        self.set_min(min);
        if let Some(ext) = &self.ext
            && let Some(unit) = scan.unit(min)?
            && is_address(unit.tags_code)
        {
            ext.remove_expired(unit.tags_code)?;
        }
        Ok(())
    }

    /// What consumers filter by; `None` if the unit's extension can not be read, and so nothing is known.
    pub(crate) fn tags_code(&self, unit: &Unit) -> Option<i64> {
        if !is_address(unit.tags_code) {
            return Some(unit.tags_code);
        }
        let ext = self.ext.as_ref()?.resolve(unit.tags_code)?;
        Some(ext.tags_code)
    }

    /// What the extension holds for filters; `None` if there is none or it can not be read.
    pub(crate) fn stored_bits(&self, unit: &Unit) -> Option<StoredBits> {
        if !is_address(unit.tags_code) {
            return None;
        }
        self.ext.as_ref()?.stored_bits(unit.tags_code)
    }

    /// Syncs units if at least `least_bytes` are not yet on disk; returns whether everything is on disk now.
    pub(crate) fn flush(&self, least_bytes: u64) -> io::Result<bool> {
        let (from, to, recovered) = {
            let mut writer = self.writer.lock();
            writer.is_dirty = false;
            (writer.flushed, byte_of(writer.next()), writer.recovered)
        };
        if to.saturating_sub(from) < least_bytes.max(1) {
            return Ok(from >= to);
        }
        // First: a unit on disk must not point to nothing.
        if let Some(ext) = &self.ext {
            ext.flush()?;
        }
        // Whoever wrote these may have ended because a sync failed.
        self.files.write_again(from, recovered)?;
        let mut at = from;
        while at < to {
            let base = self.files.base_of(at);
            let end = (base + self.files.segment_len()).min(to);
            if let Some((_, segment)) = self.segment(at)? {
                segment.flush(at - base, end - base)?;
            }
            at = end;
        }
        let mut writer = self.writer.lock();
        writer.flushed = writer.flushed.max(to);
        Ok(true)
    }
}

/// Highest queue offset: files are named by a signed number, and the last one ends before 2^63 (store.md 3.1).
pub(crate) const MAX_QUEUE_OFFSET: i64 = (i64::MAX - i32::MAX as i64) / UNIT_BYTES as i64;

/// Byte of a queue offset; negative offsets count as 0.
pub(crate) fn byte_of(offset: i64) -> u64 {
    u64::try_from(offset)
        .unwrap_or(0)
        .saturating_mul(UNIT_BYTES)
}

/// Queue offset of a byte.
pub(crate) fn offset_of(byte: u64) -> i64 {
    (byte / UNIT_BYTES).cast_signed()
}
