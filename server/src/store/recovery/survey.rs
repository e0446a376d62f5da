// SPDX-License-Identifier: Apache-2.0
//! A look at every consume queue before the log is walked: where it ends, and whether it can be right.

use std::io;
use std::sync::Arc;

use super::Recovery;
use crate::store::StoreError;
use crate::store::consume_queue::{QueueHandle, Unit, UnitScan, is_address};

/// What a queue holds.
pub(super) struct Survey {
    pub(super) queue: Arc<QueueHandle>,
    /// Queue offset after the last unit.
    pub(super) end: i64,
    /// Queue offset of the first unit whose record lies at the start of the walk or later.
    pub(super) next: i64,
    /// Queue offset of the first unit whose record still exists.
    pub(super) min: i64,
    /// Whether the last unit before the walk is that of its record.
    pub(super) is_sound: bool,
}

impl Recovery<'_> {
    /// Looks at all queues; the walk will begin at `start`.
    pub(super) fn survey(&self, start: u64) -> Result<Vec<Survey>, StoreError> {
        let queues = self.queues.all();
        let mut surveys = Vec::with_capacity(queues.len());
        for queue in queues {
            let surveyed = self.survey_queue(&queue, start.cast_signed());
            let (end, next, min, last) =
                surveyed.map_err(StoreError::io("read", queue.files.dir()))?;
            let is_sound = match last {
                Some((offset, unit)) => self.is_sound(&queue, offset, &unit, start)?,
                None => true,
            };
            surveys.push(Survey {
                queue,
                end,
                next,
                min,
                is_sound,
            });
        }
        Ok(surveys)
    }

    /// End, first offset of the walk, minimum, and the last unit before the walk.
    #[expect(
        clippy::type_complexity,
        reason = "four offsets of one queue, taken apart at once"
    )]
    fn survey_queue(
        &self,
        queue: &QueueHandle,
        start: i64,
    ) -> io::Result<(i64, i64, i64, Option<(i64, Unit)>)> {
        let mut scan = UnitScan::new(queue);
        let low = scan.low();
        let end = scan.end()?.max(low);
        if end <= low {
            return Ok((low, low, low, None));
        }
        let log_min = self.log.first().unwrap_or(0).cast_signed();
        let log_end = self.log.last().unwrap_or(0) + self.log.segment_len();
        let newest = scan.unit(end - 1)?;
        let is_before = |unit: &Unit| unit.is_filler() || unit.physical_offset < start;
        let next = if newest.as_ref().is_some_and(is_before) {
            end
        } else {
            scan.first_where(low, end, |unit| unit.is_none_or(|unit| !is_before(&unit)))?
        };
        let min = if scan
            .unit(low)?
            .is_some_and(|unit| !unit.is_filler() && unit.physical_offset >= log_min)
        {
            low
        } else {
            scan.first_where(low, end, |unit| {
                unit.is_some_and(|unit| !unit.is_filler() && unit.physical_offset >= log_min)
            })?
        };
        // Pointing behind everything is wrong whatever lies before.
        if newest.is_some_and(|unit| !unit.is_filler() && unit.end() > log_end.cast_signed()) {
            return Ok((end, next, min, newest.map(|unit| (end - 1, unit))));
        }
        let last = if next > low {
            scan.unit(next - 1)?.map(|unit| (next - 1, unit))
        } else {
            None
        };
        Ok((end, next, min, last))
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
            record.queue_offset == offset
                && record.queue_id == queue.queue_id()
                && record.topic == queue.topic().as_bytes()
                && has_tags_code
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
