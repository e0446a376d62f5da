// SPDX-License-Identifier: Apache-2.0
//! Looking at a queue's units without mapping its files: a store with many queues starts with one or two reads of each.

use std::io;

use super::{QueueHandle, UNIT_BYTES, UNIT_LEN, Unit, byte_of, offset_of};
use crate::store::disk::ReadAt;

/// Units read at a time: nearly a page.
const BLOCK_UNITS: usize = 204;

/// A reader of one queue.
pub(crate) struct UnitScan<'a> {
    queue: &'a QueueHandle,
    file: Option<(u64, Box<dyn ReadAt>)>,
    block: [u8; BLOCK_UNITS * UNIT_LEN],
    /// Bytes of the queue that `block` holds.
    held: std::ops::Range<u64>,
}

impl<'a> UnitScan<'a> {
    pub(crate) fn new(queue: &'a QueueHandle) -> Self {
        Self {
            queue,
            file: None,
            block: [0; BLOCK_UNITS * UNIT_LEN],
            held: 0..0,
        }
    }

    /// Queue offset of the first unit that exists as a file.
    pub(crate) fn low(&self) -> i64 {
        self.queue.first_in_files()
    }

    /// The unit at a queue offset, if it is written.
    pub(crate) fn unit(&mut self, offset: i64) -> io::Result<Option<Unit>> {
        let at = byte_of(offset);
        if !self.held.contains(&at) && !self.read(at)? {
            return Ok(None);
        }
        let from = usize::try_from(at - self.held.start).unwrap_or(usize::MAX);
        Ok(self.block.get(from..).and_then(Unit::decode))
    }

    /// Fills the block with the units around `at`; `false` if there are none.
    fn read(&mut self, at: u64) -> io::Result<bool> {
        let files = &self.queue.files;
        let base = files.base_of(at);
        if self.file.as_ref().is_none_or(|(open, _)| *open != base) {
            self.file = match files.open_read(base) {
                Ok(file) => Some((base, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
        }
        let Some((_, file)) = &self.file else {
            return Ok(false);
        };
        let len = self.block.len() as u64;
        let from = (at - base) / len * len;
        let read = file.read_at(from, &mut self.block)? as u64;
        // A file that was cut may end inside a unit.
        let whole = read / UNIT_BYTES * UNIT_BYTES;
        self.held = base + from..base + from + whole;
        Ok(self.held.contains(&at))
    }

    /// Queue offset after the last unit: the units of a segment are a prefix of it, the rest is zero.
    ///
    /// Searches from the beginning of the newest segment in growing steps: most queues are short.
    pub(crate) fn end(&mut self) -> io::Result<i64> {
        let Some(last) = self.queue.files.last() else {
            return Ok(0);
        };
        let first = offset_of(last);
        let limit = offset_of(last + self.queue.files.segment_len());
        let (mut low, mut step) = (first, BLOCK_UNITS as i64 - 1);
        loop {
            let probe = (low + step).min(limit);
            if probe >= limit || self.unit(probe)?.is_none() {
                return self.first_where(low, probe, |unit| unit.is_none());
            }
            low = probe + 1;
            step *= 4;
        }
    }

    /// First queue offset in `low .. high` whose unit `is` so, given that all later ones are so too; else `high`.
    pub(crate) fn first_where(
        &mut self,
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
}
