// SPDX-License-Identifier: Apache-2.0
//! Writing the units of walked records, over whatever the queues held.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::sys_flag;

use super::WalkEnd;
use super::survey::Survey;
use crate::store::consume_queue::{
    MAX_QUEUE_OFFSET, QueueHandle, QueueTable, UNIT_BYTES, Unit, UnitScan, byte_of, first_since,
    offset_of,
};
use crate::store::disk::SegmentWriter;
use crate::store::sabotage::{self, Sabotage};
use crate::store::{StoreError, StoreOptions, light};

/// Space reserved at a time, bytes.
const RESERVE_STEP: u64 = 64 * 1024;

/// The queues that get units during a walk.
pub(super) struct Rebuild<'a> {
    options: &'a StoreOptions,
    queues: &'a QueueTable,
    /// Whether the walk begins where the first record ever was written, so that every queue without files begins at 0.
    is_from_origin: bool,
    /// By the address of the handle.
    open: HashMap<usize, OpenQueue>,
    /// About how many have an open segment.
    segments: usize,
    /// Whether a queue lacks units before the first one written: it was missing or cut.
    has_holes: bool,
}

struct OpenQueue {
    queue: Arc<QueueHandle>,
    has_files: bool,
    /// Whether the first record may have any queue offset: there are no files, and records before it may have expired.
    may_begin_anywhere: bool,
    /// Queue offset of the first unit written.
    first: i64,
    /// Queue offset that the next record should have.
    next: i64,
    /// Whether a unit was written.
    is_started: bool,
    /// Queue offset after the last unit that the files held before.
    end_before: i64,
    /// What the files held from the first record's place on.
    before: Vec<Unit>,
    /// Queue offset of the first of them.
    before_from: i64,
    /// How many of them were not written over; what is right need not be written.
    kept: usize,
    /// Whether a segment was written to.
    is_changed: bool,
    /// Queue offset after the highest unit written.
    high: i64,
    /// A record whose queue offset is not the expected one: the next record tells whether there is a gap, the queue was
    /// made anew, or the offset is damaged (docs/store.md, Starting).
    doubtful: Option<(i64, Unit)>,
    segment: Option<OpenSegment>,
    /// Whether there are good units before the walk; else what lies before the first unit written means nothing.
    has_before: bool,
    /// Places that were left empty.
    lost: u64,
}

/// Units of a queue that are looked at before its first one is written over.
const MOST_BEFORE: i64 = 64;
/// Segments that are open at a time; more are closed, to be opened again.
const MOST_OPEN: usize = 1000;
/// Lost records between two others; more than this is a damaged queue offset, unless the next record follows it.
const MAX_GAP: i64 = 1 << 20;
/// Instead of a queue offset that none can have.
const NOWHERE: i64 = i64::MAX;

struct OpenSegment {
    base: u64,
    writer: Box<dyn SegmentWriter>,
    reserved: u64,
}

impl<'a> Rebuild<'a> {
    /// For a walk from `start` on.
    pub(super) fn new(options: &'a StoreOptions, queues: &'a QueueTable, start: u64) -> Self {
        Self {
            options,
            queues,
            is_from_origin: start == 0,
            open: HashMap::new(),
            segments: 0,
            has_holes: false,
        }
    }

    /// Writes the unit of a record, if it has one.
    pub(super) fn add(&mut self, offset: u64, record: &RecordView<'_>) -> Result<(), StoreError> {
        if !sys_flag::is_queued(record.sys_flag) || record.queue_id < 0 {
            return Ok(());
        }
        // A name that is no plain directory name can only come from a damaged or foreign log.
        let Some(topic) = std::str::from_utf8(record.topic)
            .ok()
            .filter(|topic| crate::store::is_storable(topic))
        else {
            return Ok(());
        };
        let unit = Unit {
            physical_offset: offset.cast_signed(),
            size: i32::try_from(record.size).unwrap_or(i32::MAX - 1),
            tags_code: self.options.tags_code(record),
        };
        self.put(topic, record.queue_id, record.queue_offset, &unit)?;
        if self.options.light_queues {
            for (light, place) in light::units(record) {
                self.put(&light, 0, place, &unit)?;
            }
        }
        Ok(())
    }

    /// Writes a unit.
    fn put(
        &mut self,
        topic: &str,
        queue_id: i32,
        offset: i64,
        unit: &Unit,
    ) -> Result<(), StoreError> {
        let offset = if (0..=MAX_QUEUE_OFFSET).contains(&offset) {
            offset
        } else {
            NOWHERE
        };
        let queue = self.queues.find_or_add(topic, queue_id);
        let path = queue.files.dir().to_path_buf();
        let key = Arc::as_ptr(&queue) as usize;
        let open = match self.open.entry(key) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let open = OpenQueue::new(queue, offset, self.is_from_origin)
                    .map_err(StoreError::io("read", &path))?;
                self.has_holes |= open.next < offset || !open.has_files && open.next > 0;
                place.insert(open)
            }
        };
        let had_segment = open.segment.is_some();
        open.put(offset, unit)
            .map_err(StoreError::io("write", &path))?;
        if !had_segment && open.segment.is_some() {
            self.segments += 1;
            if self.segments >= MOST_OPEN {
                self.segments = 0;
                for open in self.open.values_mut() {
                    open.segment = None;
                    open.queue.files.unmap_all();
                }
            }
        }
        Ok(())
    }

    /// Whether the walk should be done again from the beginning of the log.
    pub(super) fn has_holes(&self) -> bool {
        self.has_holes
    }

    /// Makes what the queues hold readable again, for another walk.
    pub(super) fn abandon(self) {
        for open in self.open.into_values() {
            open.queue.files.set_end(u64::MAX);
            open.queue.files.unmap_all();
        }
    }

    /// Sets the end of every queue and returns the sum of the ends, and how many places were left empty. Units of records
    /// before the walk are kept as they are.
    pub(super) fn finish(
        mut self,
        surveys: Vec<Survey>,
        walked: &WalkEnd,
        zero_all: bool,
        log_min: i64,
    ) -> Result<(i64, u64), StoreError> {
        let (mut units, mut lost) = (0, 0);
        for survey in surveys {
            let key = Arc::as_ptr(&survey.queue) as usize;
            if let Some(open) = self.open.get_mut(&key) {
                open.has_before = survey.next > survey.queue.first_in_files();
            } else {
                units += finish_untouched(&survey, walked, zero_all)
                    .map_err(StoreError::io("cut", survey.queue.files.dir()))?;
            }
        }
        // In an order that a simulation can repeat.
        let mut opened: Vec<_> = std::mem::take(&mut self.open).into_values().collect();
        opened.sort_by(|a, b| {
            let name = |open: &OpenQueue| (open.queue.topic().to_owned(), open.queue.queue_id());
            name(a).cmp(&name(b))
        });
        for mut open in opened {
            let queue = Arc::clone(&open.queue);
            let finished = open.settle().and_then(|()| {
                lost += open.lost;
                finish_walked(&queue, open, walked, zero_all, log_min)
            });
            units += finished.map_err(StoreError::io("cut", queue.files.dir()))?;
        }
        Ok((units, lost))
    }
}

impl OpenQueue {
    /// Takes a queue for writing from queue offset `first` on.
    fn new(queue: Arc<QueueHandle>, first: i64, is_from_origin: bool) -> io::Result<Self> {
        let has_files = queue.files.first().is_some();
        let mut scan = UnitScan::new(&queue);
        let end = scan.end()?;
        let mut before = Vec::new();
        while has_files
            && i64::try_from(before.len()).is_ok_and(|len| len < MOST_BEFORE)
            && let Some(unit) = scan.unit(first.saturating_add_unsigned(before.len() as u64))?
        {
            before.push(unit);
        }
        drop(scan);
        // Nothing is read any more until the queue is reset; everything may be written.
        queue.files.set_end(0);
        queue.files.unmap_all();
        let may_begin_anywhere = !has_files && !is_from_origin;
        let next = if may_begin_anywhere && first != NOWHERE {
            first
        } else {
            end.min(first)
        };
        Ok(Self {
            queue,
            has_files,
            may_begin_anywhere,
            first: next,
            next,
            is_started: false,
            end_before: end,
            kept: before.len(),
            before,
            before_from: first,
            is_changed: false,
            high: 0,
            doubtful: None,
            segment: None,
            has_before: false,
            lost: 0,
        })
    }

    fn put(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
        if let Some((doubtful, doubtful_unit)) = self.doubtful.take() {
            if self.is_started && offset == self.next + 1 {
                // One record between: the doubtful one, with a damaged queue offset. Its place stays empty.
                self.lose(&doubtful_unit);
                self.fill(offset)?;
            } else if offset == doubtful.saturating_add(1) && offset != NOWHERE {
                // Two in a row are both right.
                if doubtful - self.next > MAX_GAP {
                    self.begin_anew()?;
                }
                self.accept(doubtful, &doubtful_unit)?;
            } else if (self.next..offset).contains(&doubtful) {
                self.accept(doubtful, &doubtful_unit)?;
            } else if offset != 0 {
                self.lose(&doubtful_unit);
                self.lost += 1;
            }
            // Else the queue is made anew here, and nobody can read what it held before.
        }
        let is_expected = if self.is_started {
            offset == self.next
        } else {
            self.may_begin_anywhere && offset != NOWHERE
                || offset == self.end_before
                || self.was_at(offset, unit)?
        };
        if is_expected {
            return self.accept(offset, unit);
        }
        self.doubtful = Some((offset, *unit));
        Ok(())
    }

    /// Whether the files held the unit of a record at a place.
    fn was_at(&self, offset: i64, unit: &Unit) -> io::Result<bool> {
        let at = usize::try_from(offset.saturating_sub(self.before_from)).ok();
        let before = match at.and_then(|at| self.before.get(at)) {
            Some(before) => Some(*before),
            // Not looked at then. The walk may have written over it, but only where the queue was longer once.
            None => UnitScan::new(&self.queue).unit(offset)?,
        };
        Ok(before.is_some_and(|before| self.is_same(&before, unit)))
    }

    /// Whether a unit of the files, which may point to an extension, is that of a record.
    fn is_same(&self, before: &Unit, unit: &Unit) -> bool {
        (before.physical_offset, before.size) == (unit.physical_offset, unit.size)
            && self.queue.tags_code(before) == Some(unit.tags_code)
    }

    /// Decides about a doubtful record that no other followed.
    fn settle(&mut self) -> io::Result<()> {
        let Some((offset, unit)) = self.doubtful.take() else {
            return Ok(());
        };
        // Most bits of a queue offset are 0, so of two records that contradict each other the higher one is wrong.
        let is_second = self.may_begin_anywhere && self.next == self.first + 1;
        let is_believed = !self.is_started
            || offset >= self.next
            || is_second
            || self.was_at(offset, &unit)?
            || offset == 0 && !self.was_at(self.next, &unit)?;
        if is_believed {
            return self.accept(offset, &unit);
        }
        self.lose(&unit);
        self.fill(self.next + 1)
    }

    /// Forgets what lies before a gap that is too wide to be kept.
    fn begin_anew(&mut self) -> io::Result<()> {
        if self.has_files || self.is_started {
            tracing::error!(
                queue = ?self.queue,
                before = self.next,
                "a part of the queue is missing; what lies before it is given up"
            );
            self.lost += self.next.abs_diff(self.first);
        }
        self.segment = None;
        self.queue.files.remove_all()?;
        self.before.clear();
        self.kept = 0;
        (self.end_before, self.high) = (0, 0);
        (self.has_files, self.is_started) = (false, false);
        (self.is_changed, self.may_begin_anywhere) = (true, true);
        Ok(())
    }

    fn accept(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
        if self.may_begin_anywhere && !self.is_started && offset != NOWHERE {
            (self.first, self.next) = (offset, offset);
        }
        if offset - self.next > MAX_GAP {
            self.lost += 1;
            self.lose(unit);
            return Ok(());
        }
        if self.is_started && (1..self.next).contains(&offset) {
            // A queue that is made anew begins at 0, so a record before this one had a damaged queue offset.
            tracing::error!(
                queue = ?self.queue,
                before = self.next - 1,
                now = offset,
                "the queue offsets of two records contradict each other; one is lost"
            );
            self.lost += 1;
        }
        self.fill(offset)?;
        let is_kept = |at: i64| usize::try_from(at).is_ok_and(|at| at < self.kept);
        if !is_kept(offset - self.before_from) || !self.was_at(offset, unit)? {
            self.write(offset, unit)?;
        }
        self.is_started = true;
        self.next = offset + 1;
        self.high = self.high.max(self.next);
        self.first = self.first.min(offset);
        Ok(())
    }

    /// Keeps the places of lost records before `offset`, so that all others keep theirs.
    fn fill(&mut self, offset: i64) -> io::Result<()> {
        while self.next < offset {
            // What is there from before, or from this walk, is no worse.
            if self.next >= self.end_before.max(self.high) {
                self.write(self.next, &Unit::FILLER)?;
                // What files lack before the first record that was found may have expired.
                self.lost += u64::from(self.is_started || !self.has_files);
            }
            self.next += 1;
        }
        Ok(())
    }

    fn lose(&self, unit: &Unit) {
        let physical_offset = unit.physical_offset;
        tracing::error!(queue = ?self.queue, physical_offset, "the queue offset of a record is damaged; it is lost");
    }

    fn write(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
        self.is_changed = true;
        // A queue that was made anew comes by the same places again.
        let kept = usize::try_from(offset - self.before_from).unwrap_or(0);
        self.kept = self.kept.min(kept);
        let files = &self.queue.files;
        let base = files.base_of(byte_of(offset));
        if self
            .segment
            .as_ref()
            .is_none_or(|segment| segment.base != base)
        {
            let (writer, is_new) = if files.bases().contains(&base) {
                (files.open_tail(base)?, false)
            } else {
                // Segments are listed in order; a queue that starts anew before its files loses them.
                if files.last().is_some_and(|last| last > base) {
                    files.remove_all()?;
                }
                let writer = files.create(base)?;
                files.add(base, writer.segment());
                (writer, true)
            };
            self.segment = Some(OpenSegment {
                base,
                writer,
                reserved: 0,
            });
            if is_new {
                for early in offset_of(base)..offset {
                    self.put_at(early, &Unit::FILLER)?;
                }
            }
        }
        self.put_at(offset, unit)
    }

    fn put_at(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
        let segment = self.segment.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let at = byte_of(offset) - segment.base;
        if at + UNIT_BYTES > segment.reserved {
            let to = (at + RESERVE_STEP).min(segment.writer.segment().len());
            let from = if segment.reserved == 0 {
                at
            } else {
                segment.reserved
            };
            segment.writer.segment().reserve(from, to)?;
            segment.reserved = to;
        }
        if sabotage::is(Sabotage::UnitsNotRebuilt) {
            return Ok(());
        }
        segment.writer.write(at, &unit.encode())
    }
}

/// Whether a unit's record lies in a damaged range. Its place stays, so that all others keep theirs.
fn is_damaged(unit: &Unit, walked: &WalkEnd) -> bool {
    let offset = unit.physical_offset.cast_unsigned();
    walked.damaged.iter().any(|range| range.contains(&offset))
}

/// Ends a queue that got no unit in the walk.
fn finish_untouched(survey: &Survey, walked: &WalkEnd, zero_all: bool) -> io::Result<i64> {
    let queue = &survey.queue;
    let mut next = survey.next;
    if next < survey.end {
        let mut scan = UnitScan::new(queue);
        while next < survey.end
            && scan
                .unit(next)?
                .is_some_and(|unit| is_damaged(&unit, walked))
        {
            next += 1;
        }
    }
    if zero_all || next < survey.end {
        cut(queue, next, next < survey.end)?;
    }
    queue.reset(next, next, survey.min);
    Ok(next)
}

/// Ends a queue that had records in the walk.
fn finish_walked(
    queue: &QueueHandle,
    open: OpenQueue,
    walked: &WalkEnd,
    zero_all: bool,
    log_min: i64,
) -> io::Result<i64> {
    let (first, mut next, has_before) = (open.first, open.next, open.has_before);
    let (end_before, is_changed) = (open.end_before, open.is_changed);
    drop(open);
    let mut scan = UnitScan::new(queue);
    let in_files = if is_changed { scan.end()? } else { end_before }.max(scan.low());
    while next < in_files
        && scan
            .unit(next)?
            .is_some_and(|unit| is_damaged(&unit, walked))
    {
        next += 1;
    }
    if zero_all || next < in_files {
        cut(queue, next, next < in_files)?;
    }
    let low = if has_before { scan.low() } else { first };
    let min = first_since(low, next, log_min, |offset| scan.unit(offset))?;
    queue.reset(next, first, min);
    Ok(next)
}

/// Removes units from `next` on.
fn cut(queue: &QueueHandle, next: i64, is_synced: bool) -> io::Result<()> {
    let files = &queue.files;
    let at = byte_of(next);
    let base = files.base_of(at);
    for later in files.bases().into_iter().filter(|later| *later > base) {
        files.remove(later)?;
    }
    if files.bases().contains(&base) {
        let writer = files.cut_tail(at)?;
        if is_synced {
            // Else a power failure could bring back what was cut.
            writer.segment().flush(at - base, files.segment_len())?;
        }
    }
    Ok(())
}
