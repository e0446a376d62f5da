// SPDX-License-Identifier: Apache-2.0
//! Consume queues after the walk of the log: does each unit have its record?

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use kerolox_protocol::message::{properties, property};

use super::finding::Finding;
use super::log::{LogFiles, Records};
use super::note::Note;
use super::queues::{Queue, QueueSegment, Queues, is_same, queued_topic};
use super::report::Sink;
use super::text;
use crate::store::consume_queue::{UNIT_BYTES, UNIT_LEN, Unit};
use crate::store::{StoreError, StoreOptions};

/// Units read at a time.
const CHUNK: u64 = 3276 * UNIT_BYTES;

/// A running broker's append takes far less.
const APPEND_TIME: Duration = Duration::from_millis(100);

/// What the walk found, which units are compared with.
pub(super) struct Log<'a, 'd> {
    /// Commit-log offset of the first record that can exist.
    pub(super) begin: u64,
    /// Commit-log offset after the last record.
    pub(super) end: u64,
    /// Ranges without records, in order.
    pub(super) damaged: &'a [Range<u64>],
    pub(super) records: &'a mut Records<'d>,
    pub(super) options: &'a StoreOptions,
    pub(super) is_in_use: bool,
    /// How often a running broker's log may be listed anew.
    pub(super) looks_left: u32,
    pub(super) list_again: &'a mut dyn FnMut() -> Result<LogFiles, StoreError>,
    /// Topics that `topics.json` has, if it could be read.
    pub(super) topics: Option<&'a HashSet<String>>,
}

/// Where a unit points.
enum Target {
    Expired,
    Damaged,
    Behind,
    Within,
}

impl Log<'_, '_> {
    fn target(&self, unit: &Unit) -> Target {
        let Ok(offset) = u64::try_from(unit.physical_offset) else {
            return Target::Behind;
        };
        if offset < self.begin {
            Target::Expired
        } else if offset >= self.end {
            Target::Behind
        } else if is_damaged(self.damaged, offset) {
            Target::Damaged
        } else {
            Target::Within
        }
    }

    /// Why the unit is not that of the record it points to; `None` if it is. A running broker's record may have been
    /// written since that part of the log was read.
    fn mismatch(
        &mut self,
        queue: &Queue,
        queue_offset: i64,
        unit: &Unit,
    ) -> Result<Option<String>, StoreError> {
        let reason = self.mismatch_once(queue, queue_offset, unit)?;
        if reason.is_none() || !self.is_in_use || self.looks_left == 0 {
            return Ok(reason);
        }
        self.looks_left -= 1;
        self.records.refresh((self.list_again)()?);
        self.mismatch_once(queue, queue_offset, unit)
    }

    fn mismatch_once(
        &mut self,
        queue: &Queue,
        queue_offset: i64,
        unit: &Unit,
    ) -> Result<Option<String>, StoreError> {
        let Some(record) = self.records.at(unit.physical_offset)? else {
            return Ok(Some(if self.end.cast_signed() <= unit.physical_offset {
                "behind the end of the log".to_owned()
            } else {
                "no record starts there".to_owned()
            }));
        };
        let is_own = queued_topic(&record) == Some(queue.topic.as_str())
            && (record.queue_id, record.queue_offset) == (queue.queue_id, queue_offset);
        // Records can name further queues in their properties (store.md 2.8).
        let is_other = || {
            record.topic != queue.topic.as_bytes()
                && properties::find(&record.properties(), property::INNER_MULTI_DISPATCH)
                    .is_some_and(|names| names.split(',').any(|name| name == queue.topic))
        };
        if !is_own && !is_other() {
            return Ok(Some(format!(
                "the record there is of {} queue {} offset {}",
                record.topic(),
                record.queue_id,
                record.queue_offset
            )));
        }
        let expected = Unit {
            physical_offset: unit.physical_offset,
            size: i32::try_from(record.size).unwrap_or(i32::MAX - 1),
            tags_code: self.options.tags_code(&record),
        };
        Ok((!is_same(unit, &expected))
            .then(|| "the record there has another size or tag".to_owned()))
    }
}

/// Whether a place lies in one of the ranges, which are in order.
pub(super) fn is_damaged(ranges: &[Range<u64>], offset: u64) -> bool {
    let after = ranges.partition_point(|range| range.start <= offset);
    let range = after.checked_sub(1).and_then(|index| ranges.get(index));
    range.is_some_and(|range| range.contains(&offset))
}

impl Queues<'_> {
    /// Scans all queues and reports what does not fit the log.
    pub(super) fn finish(
        &mut self,
        log: &mut Log<'_, '_>,
        sink: &mut Sink,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), StoreError> {
        if log.is_in_use && self.doubts > 0 {
            // An append writes its records first and their units next.
            std::thread::sleep(APPEND_TIME);
        }
        self.blocks.forget();
        let total = self.list.len() as u64;
        for index in 0..self.list.len() {
            progress(index as u64, total);
            if log.is_in_use {
                self.reload(index)?;
            }
            let Some(queue) = self.list.get_mut(index) else {
                break;
            };
            if !queue.is_there {
                let queue = std::mem::take(queue);
                self.report_absent(&queue, log, sink);
                continue;
            }
            // Taken out so that units can be read meanwhile.
            let mut queue = std::mem::take(queue);
            let scanned = self.scan(&mut queue, log, sink);
            if let Some(place) = self.list.get_mut(index) {
                *place = queue;
            }
            scanned?;
        }
        progress(total, total);
        Ok(())
    }

    fn report_absent(&self, queue: &Queue, log: &Log<'_, '_>, sink: &mut Sink) {
        let (topic, queue_id, records) = (queue.topic.clone(), queue.queue_id, queue.records);
        if log.topics.is_some_and(|topics| !topics.contains(&topic)) {
            sink.note(Note::DeletedTopic {
                topic,
                queue_id,
                records,
            });
        } else {
            sink.find(Finding::MissingQueue {
                dir: text(&self.queue_dir(&topic, queue_id)),
                topic,
                queue_id,
                records,
            });
        }
    }

    fn scan(
        &mut self,
        queue: &mut Queue,
        log: &mut Log<'_, '_>,
        sink: &mut Sink,
    ) -> Result<(), StoreError> {
        let first = queue.segments.first().map_or(0, |segment| segment.base);
        let mut end = (first / UNIT_BYTES).cast_signed();
        let (mut min, mut within) = (None, 0);
        let mut behind = Dangling::default();
        sink.summary.queues += 1;
        self.each_unit(queue, &mut |queue, at, unit| {
            end = at + 1;
            sink.summary.units += 1;
            if unit.is_filler() {
                sink.summary.filler_units += 1;
                return Ok(());
            }
            let target = log.target(&unit);
            if !matches!(target, Target::Expired) {
                min.get_or_insert(at);
            }
            match target {
                Target::Expired => sink.summary.expired_units += 1,
                Target::Damaged => sink.summary.damaged_units += 1,
                Target::Within => within += 1,
                Target::Behind if queue.is_doubtful(at) => {}
                // None if a running broker appended the record meanwhile.
                Target::Behind => {
                    if let Some(reason) = log.mismatch(queue, at, &unit)? {
                        behind.add(queue, at, &unit, reason, sink);
                    }
                }
            }
            Ok(())
        })?;
        behind.flush(queue, sink);
        queue.max = end;
        queue.min = min.unwrap_or(end);
        if within != queue.matched || !queue.doubts.is_empty() {
            self.compare(queue, log, sink)?;
        }
        if queue.superseded > 0 {
            sink.note(Note::Superseded {
                topic: queue.topic.clone(),
                queue_id: queue.queue_id,
                records: queue.superseded,
            });
        }
        for (at, doubt) in std::mem::take(&mut queue.doubts) {
            sink.find(queue.finding(at, &doubt));
        }
        Ok(())
    }

    /// Compares each unit with its record: some are without, or some records were met before their units were there.
    fn compare(
        &mut self,
        queue: &mut Queue,
        log: &mut Log<'_, '_>,
        sink: &mut Sink,
    ) -> Result<(), StoreError> {
        let mut dangling = Dangling::default();
        self.each_unit(queue, &mut |queue, at, unit| {
            if unit.is_filler() || !matches!(log.target(&unit), Target::Within) {
                return Ok(());
            }
            match log.mismatch(queue, at, &unit)? {
                None => queue.resolve(at, &unit),
                Some(_) if queue.is_doubtful(at) => {}
                Some(reason) => dangling.add(queue, at, &unit, reason, sink),
            }
            Ok(())
        })?;
        dangling.flush(queue, sink);
        Ok(())
    }

    /// Shows the units of a queue, in order. A segment ends for good with a chunk without units behind the last record.
    fn each_unit(&mut self, queue: &mut Queue, see: &mut SeeUnit<'_>) -> Result<(), StoreError> {
        for segment in queue.segments.clone() {
            let mut at = 0;
            while at < segment.len {
                let units = self.chunk(&segment, at)?;
                let first = ((segment.base + at) / UNIT_BYTES).cast_signed();
                let is_empty = units.iter().all(Option::is_none);
                if is_empty && first > queue.high {
                    break;
                }
                for (unit, queue_offset) in units.into_iter().zip(first..) {
                    if let Some(unit) = unit {
                        see(queue, queue_offset, unit)?;
                    }
                }
                at += CHUNK;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, segment: &QueueSegment, at: u64) -> Result<Vec<Option<Unit>>, StoreError> {
        let len = usize::try_from((segment.len - at).min(CHUNK)).unwrap_or(0);
        self.blocks.read(segment.file, at, len, &mut self.bytes)?;
        Ok(self
            .bytes
            .chunks_exact(UNIT_LEN)
            .map(Unit::decode)
            .collect())
    }
}

type SeeUnit<'s> = dyn FnMut(&mut Queue, i64, Unit) -> Result<(), StoreError> + 's;

/// Neighbouring units without records, for the same reason.
#[derive(Default)]
struct Dangling(Option<(i64, i64, i64, String)>);

impl Dangling {
    fn add(&mut self, queue: &Queue, at: i64, unit: &Unit, reason: String, sink: &mut Sink) {
        if let Some((_, to, _, same)) = &mut self.0
            && *to + 1 == at
            && *same == reason
        {
            *to = at;
            return;
        }
        self.flush(queue, sink);
        self.0 = Some((at, at, unit.physical_offset, reason));
    }

    fn flush(&mut self, queue: &Queue, sink: &mut Sink) {
        if let Some((from, to, physical_offset, reason)) = self.0.take() {
            sink.find(Finding::DanglingUnits {
                topic: queue.topic.clone(),
                queue_id: queue.queue_id,
                from,
                to,
                physical_offset,
                reason,
            });
        }
    }
}
