// SPDX-License-Identifier: Apache-2.0
//! Writing the units of walked records, over whatever the queues held.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{name, properties, property, sys_flag, tags};

use super::WalkEnd;
use crate::store::consume_queue::{QueueHandle, QueueTable, UNIT_BYTES, Unit, byte_of, offset_of};
use crate::store::disk::SegmentWriter;
use crate::store::{StoreError, StoreOptions};

/// Space reserved at a time, bytes.
const RESERVE_STEP: u64 = 64 * 1024;

/// The queues that get units during a walk.
pub(super) struct Rebuild<'a> {
    options: &'a StoreOptions,
    queues: &'a QueueTable,
    /// By the address of the handle.
    open: HashMap<usize, OpenQueue>,
}

struct OpenQueue {
    queue: Arc<QueueHandle>,
    /// Queue offset of the first unit written.
    first: i64,
    /// Queue offset after the last unit written.
    next: i64,
    segment: Option<OpenSegment>,
}

struct OpenSegment {
    base: u64,
    writer: Box<dyn SegmentWriter>,
    reserved: u64,
}

impl<'a> Rebuild<'a> {
    pub(super) fn new(options: &'a StoreOptions, queues: &'a QueueTable) -> Self {
        Self {
            options,
            queues,
            open: HashMap::new(),
        }
    }

    /// Writes the unit of a record, if it has one.
    pub(super) fn add(&mut self, offset: u64, record: &RecordView<'_>) -> Result<(), StoreError> {
        if !sys_flag::is_queued(record.sys_flag) || record.queue_id < 0 || record.queue_offset < 0 {
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
            tags_code: tags_code(self.options, topic, record),
        };
        let queue = self.queues.find_or_add(topic, record.queue_id);
        let path = queue.files.dir().to_path_buf();
        let key = Arc::as_ptr(&queue) as usize;
        let open = match self.open.entry(key) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let open = OpenQueue::new(queue, record.queue_offset)
                    .map_err(StoreError::io("read", &path))?;
                place.insert(open)
            }
        };
        open.put(record.queue_offset, &unit)
            .map_err(StoreError::io("write", &path))
    }

    /// Sets the end of every queue. `start` is where the walk began: units of earlier records are kept as they are.
    pub(super) fn finish(
        mut self,
        start: u64,
        walked: &WalkEnd,
        zero_all: bool,
    ) -> Result<(), StoreError> {
        for queue in self.queues.all() {
            let open = self.open.remove(&(Arc::as_ptr(&queue) as usize));
            let path = queue.files.dir().to_path_buf();
            finish_queue(&queue, open, start, walked, zero_all)
                .map_err(StoreError::io("cut", &path))?;
        }
        Ok(())
    }
}

impl OpenQueue {
    /// Takes a queue for writing from queue offset `first` on.
    fn new(queue: Arc<QueueHandle>, first: i64) -> io::Result<Self> {
        let has_files = queue.files.first().is_some();
        let end = queue.end_in_files()?;
        // Nothing is read any more until the queue is reset; everything may be written.
        queue.files.set_end(0);
        queue.files.unmap_all();
        let next = if has_files { end.min(first) } else { first };
        Ok(Self {
            queue,
            first: next,
            next,
            segment: None,
        })
    }

    fn put(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
        // Records between are lost; their places stay, so that all others keep theirs.
        while self.next < offset {
            self.write(self.next, &Unit::FILLER)?;
            self.next += 1;
        }
        self.write(offset, unit)?;
        // A topic that was deleted and made anew begins at 0 again: the last record decides.
        self.next = offset + 1;
        self.first = self.first.min(offset);
        Ok(())
    }

    fn write(&mut self, offset: i64, unit: &Unit) -> io::Result<()> {
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
        segment.writer.write(at, &unit.encode())
    }
}

fn finish_queue(
    queue: &QueueHandle,
    open: Option<OpenQueue>,
    start: u64,
    walked: &WalkEnd,
    zero_all: bool,
) -> io::Result<()> {
    let is_written = open.is_some();
    let written = open.map(|open| (open.first, open.next));
    queue.files.set_end(u64::MAX);
    queue.files.unmap_all();
    let low = queue.first_in_files();
    let in_files = queue.end_in_files()?.max(low);
    let start = start.cast_signed();
    let mut next = match written {
        Some((_, next)) => next,
        None => queue.first_where(low, in_files, |unit| {
            unit.is_none_or(|unit| !unit.is_filler() && unit.physical_offset >= start)
        })?,
    };
    // Places of damaged records stay too, if the queue still knows them.
    let is_damaged = |unit: Unit| {
        let offset = unit.physical_offset.cast_unsigned();
        walked.damaged.iter().any(|range| range.contains(&offset))
    };
    while next < in_files && queue.unit(next)?.is_some_and(is_damaged) {
        next += 1;
    }
    if zero_all || is_written || next < in_files {
        cut(queue, next)?;
    }
    queue.reset(next, written.map_or(next, |(first, _)| first));
    Ok(())
}

/// Removes units from `next` on.
fn cut(queue: &QueueHandle, next: i64) -> io::Result<()> {
    let files = &queue.files;
    let at = byte_of(next);
    let base = files.base_of(at);
    for later in files.bases().into_iter().filter(|later| *later > base) {
        files.remove(later)?;
    }
    if files.bases().contains(&base) {
        files.set_end(at);
        files.open_tail(base)?.zero_from(at - base)?;
    }
    Ok(())
}

/// What a record's unit holds besides its place (store.md 3.1).
fn tags_code(options: &StoreOptions, topic: &str, record: &RecordView<'_>) -> i64 {
    let text = record.properties();
    if topic == name::SCHEDULE_TOPIC
        && let Some(level) =
            properties::find(&text, property::DELAY).and_then(|level| level.parse().ok())
        && level > 0
    {
        return record
            .store_timestamp
            .saturating_add(options.delay_ms(level));
    }
    tags::tags_code(properties::find(&text, property::TAGS))
}
