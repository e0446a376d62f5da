// SPDX-License-Identifier: Apache-2.0
//! A look at every consume queue before the log is walked: where it ends, and whether it can be right.

use std::io;
use std::sync::Arc;

use super::Recovery;
use crate::store::consume_queue::{
    QueueHandle, Unit, UnitScan, byte_of, first_since, is_address, offset_of,
};
use crate::store::{StoreError, light};

/// What a queue holds.
pub(super) struct Survey {
    pub(super) queue: Arc<QueueHandle>,
    /// Queue offset after the last unit.
    pub(super) end: i64,
    /// Queue offset of the first unit whose record lies at the start of the walk or later.
    pub(super) next: i64,
    /// Queue offset of the first unit whose record still exists.
    pub(super) min: i64,
    /// Whether no file is missing, and the units at the ends of each, before the walk, are those of their records.
    pub(super) is_sound: bool,
}

/// What is seen of a queue without looking at the log.
struct Look {
    end: i64,
    next: i64,
    min: i64,
    /// The units at the ends of its files before the walk, with their queue offsets.
    probes: Vec<(i64, Unit)>,
    /// Whether none of them, and no file between others, is missing.
    is_whole: bool,
}

impl Recovery<'_> {
    /// Looks at all queues; the walk will begin at `start`.
    pub(super) fn survey(&self, start: u64) -> Result<Vec<Survey>, StoreError> {
        let queues = self.queues.all();
        let mut surveys = Vec::with_capacity(queues.len());
        for queue in queues {
            let look = self.look(&queue, start.cast_signed());
            let look = look.map_err(StoreError::io("read", queue.files.dir()))?;
            let mut is_sound = look.is_whole;
            for (offset, unit) in &look.probes {
                is_sound = is_sound && self.is_sound(&queue, *offset, unit, start)?;
            }
            surveys.push(Survey {
                queue,
                end: look.end,
                next: look.next,
                min: look.min,
                is_sound,
            });
        }
        Ok(surveys)
    }

    fn look(&self, queue: &QueueHandle, start: i64) -> io::Result<Look> {
        let mut scan = UnitScan::new(queue);
        let low = scan.low();
        let end = scan.end()?.max(low);
        let mut look = Look {
            end,
            next: low,
            min: low,
            probes: Vec::new(),
            is_whole: true,
        };
        if end <= low {
            return Ok(look);
        }
        let log_min = self.log.first().unwrap_or(0).cast_signed();
        let log_end = self.log.last().unwrap_or(0) + self.log.segment_len();
        let newest = scan.unit(end - 1)?;
        let is_before = |unit: &Unit| unit.is_filler() || unit.physical_offset < start;
        look.next = if newest.as_ref().is_some_and(is_before) {
            end
        } else {
            scan.first_where(low, end, |unit| unit.is_none_or(|unit| !is_before(&unit)))?
        };
        look.min = first_since(low, end, log_min, |offset| scan.unit(offset))?;
        // Pointing behind everything is wrong whatever lies before.
        if newest.is_some_and(|unit| !unit.is_filler() && unit.end() > log_end.cast_signed()) {
            look.probes.extend(newest.map(|unit| (end - 1, unit)));
            return Ok(look);
        }
        let len = queue.files.segment_len();
        let mut expected = byte_of(low);
        for base in queue.files.bases() {
            look.is_whole &= base == expected;
            expected = base + len;
            let (first, last) = (offset_of(base), offset_of(base + len).min(look.next) - 1);
            for offset in [first, last] {
                if offset < look.next && last >= first {
                    let unit = scan.unit(offset)?;
                    look.is_whole &= unit.is_some();
                    look.probes.extend(unit.map(|unit| (offset, unit)));
                }
            }
        }
        Ok(look)
    }

    /// Whether `unit`, at `offset` of the queue, is that of its record.
    fn is_sound(
        &self,
        queue: &QueueHandle,
        offset: i64,
        unit: &Unit,
        start: u64,
    ) -> Result<bool, StoreError> {
        let log_min = self.log.first().unwrap_or(0).cast_signed();
        if unit.is_filler() || unit.physical_offset < log_min {
            return Ok(true);
        }
        let matches = self.with_record(unit.physical_offset, |record| {
            let has_tags_code = !is_address(unit.tags_code) || {
                let ext = queue.ext.as_ref();
                let unit = ext.and_then(|ext| ext.resolve(unit.tags_code));
                unit.is_some_and(|unit| unit.store_timestamp == record.store_timestamp)
            };
            let is_own = record.queue_offset == offset
                && record.queue_id == queue.queue_id()
                && record.topic == queue.topic().as_bytes();
            let is_light = || {
                let mut units = light::units(record).into_iter();
                queue.queue_id() == 0
                    && units.any(|(name, place)| name == queue.topic() && place == offset)
            };
            let has_size = i64::try_from(record.size) == Ok(unit.size.into());
            (is_own || is_light()) && has_size && has_tags_code
        })?;
        // A record that can not be read may be rotten; that is the log's trouble and not the queue's.
        Ok(matches.unwrap_or(unit.end() <= start.cast_signed()))
    }

    /// Where the queues end: the record there was the last one dispatched.
    pub(super) fn start_after_stop(&self, first: u64) -> Result<u64, StoreError> {
        let mut last: Option<Unit> = None;
        for queue in self.queues.all() {
            let read = || -> io::Result<Option<Unit>> {
                let mut scan = UnitScan::new(&queue);
                let end = scan.end()?;
                if end > scan.low() {
                    scan.unit(end - 1)
                } else {
                    Ok(None)
                }
            };
            let unit = read().map_err(StoreError::io("read", queue.files.dir()))?;
            if let Some(unit) = unit.filter(|unit| !unit.is_filler())
                && last.is_none_or(|last| unit.end() > last.end())
            {
                last = Some(unit);
            }
        }
        let Some(unit) = last else {
            return Ok(first);
        };
        // A unit that points nowhere gives no place to start; its queue is found out later.
        let is_there = self.with_record(unit.physical_offset, |record| {
            i64::try_from(record.size) == Ok(unit.size.into())
        })?;
        Ok(if is_there == Some(true) {
            unit.end().cast_unsigned()
        } else {
            first
        })
    }
}
