// SPDX-License-Identifier: Apache-2.0
//! The file `timerwheel`: for each slot of time the chain of units in the timer log (store.md 9.2).
//!
//! Two halves of a fixed number of slots, so that one half may lie behind the present. Each slot has 32 bytes:
//!
//! | offset | field |
//! |---|---|
//! | 0 | i64 time / precision |
//! | 8 | i64 position of the first unit in the timer log, -1 none |
//! | 16 | i64 position of the last unit |
//! | 24 | i32 number of units less delete markers |
//! | 28 | i32 unused |
//!
//! A slot belongs to a time only if its first field says so. It is written in place through the file's handle, so that a
//! full disk is an error and not the end of the process; a slot never crosses a sector.

use std::io;
use std::path::PathBuf;

use super::TimerLayout;
use crate::store::disk::{Disk, OpenSegment, SegmentWriter};

/// Slots of half a wheel in the reference, whatever the precision.
pub(crate) const SECONDS_A_WEEK: i64 = 7 * 24 * 3600;
const SLOT_LEN: u64 = 32;
const SLOT_BYTES: usize = 32;
/// Slots that are looked at together: a page.
const SLOTS_A_VIEW: u64 = 128;

/// A slot that has units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Where its time starts, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Position of its first unit in the timer log.
    pub(crate) first: i64,
    /// Position of its last.
    pub(crate) last: i64,
    /// Units less delete markers.
    pub(crate) count: i32,
}

/// The wheel.
pub(crate) struct Wheel {
    writer: Box<dyn SegmentWriter>,
    precision_ms: i64,
    /// Of both halves.
    slots: u64,
    /// Bytes written since the last flush.
    dirty: Option<(u64, u64)>,
}

impl Wheel {
    /// Opens the file; `None` if it is missing or has another length, and so can not be right.
    pub(super) fn open(disk: &dyn Disk, layout: &TimerLayout) -> io::Result<Option<Self>> {
        let path = layout.wheel_path();
        let entries = disk.list(&layout.root_dir)?;
        let entry = entries.iter().find(|entry| {
            path.file_name()
                .is_some_and(|name| name == entry.name.as_str())
        });
        match entry {
            Some(entry) if entry.len == len(layout) && !entry.is_dir => {
                Self::map(disk, path, layout, false).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// An empty wheel in the place of whatever is there.
    pub(super) fn create(disk: &dyn Disk, layout: &TimerLayout) -> io::Result<Self> {
        let path = layout.wheel_path();
        disk.remove_file(&path)?;
        Self::map(disk, path, layout, true)
    }

    fn map(disk: &dyn Disk, path: PathBuf, layout: &TimerLayout, create: bool) -> io::Result<Self> {
        let open = OpenSegment {
            len: len(layout),
            create,
            // Slots change in place: nothing is readable but through the writer.
            readable: 0,
            head: &[],
        };
        Ok(Self {
            writer: disk.open_segment(&path, open)?,
            precision_ms: layout.precision_ms,
            slots: len(layout) / SLOT_LEN,
            dirty: None,
        })
    }

    fn tick(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.precision_ms)
    }

    fn index(&self, tick: i64) -> u64 {
        tick.rem_euclid(self.slots.cast_signed()).cast_unsigned()
    }

    /// The slot of a time, if it has units.
    pub(crate) fn slot(&self, time_ms: i64) -> Option<Slot> {
        let tick = self.tick(time_ms);
        let bytes = self.writer.peek(self.index(tick) * SLOT_LEN, SLOT_BYTES)?;
        self.decode(&bytes, tick)
    }

    /// The slot at the start of `bytes`, if it is the one of `tick`.
    fn decode(&self, bytes: &[u8], tick: i64) -> Option<Slot> {
        let field = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(i64::from_be_bytes(*bytes))
        };
        if field(0)? != tick {
            return None;
        }
        let (first, last) = (field(8)?, field(16)?);
        let count = i32::from_be_bytes(*bytes.get(24..)?.first_chunk()?);
        (last >= 0).then_some(Slot {
            time_ms: tick * self.precision_ms,
            first,
            last,
            count,
        })
    }

    /// Writes a slot in the place of whatever had it.
    pub(crate) fn put(&mut self, slot: &Slot) -> io::Result<()> {
        let tick = self.tick(slot.time_ms);
        let mut bytes = [0; SLOT_BYTES];
        for (to, field) in bytes.chunks_exact_mut(8).zip([tick, slot.first, slot.last]) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        if let Some(to) = bytes.get_mut(24..28) {
            to.copy_from_slice(&slot.count.to_be_bytes());
        }
        let at = self.index(tick) * SLOT_LEN;
        self.writer.write_through(at, &bytes)?;
        let (from, to) = self.dirty.unwrap_or((at, at));
        self.dirty = Some((from.min(at), to.max(at + SLOT_LEN)));
        Ok(())
    }

    /// Makes the slot of a time empty.
    pub(crate) fn clear(&mut self, time_ms: i64) -> io::Result<()> {
        self.put(&Slot {
            time_ms,
            first: -1,
            last: -1,
            count: 0,
        })
    }

    /// The first slot with units from `from_ms` on, before `until_ms`; at most a turn of the wheel is looked at.
    pub(crate) fn next(&self, from_ms: i64, until_ms: i64) -> Option<Slot> {
        let mut tick = self.tick(from_ms);
        let end = self
            .tick(until_ms.saturating_add(self.precision_ms - 1))
            .min(tick.saturating_add(self.slots.cast_signed()));
        while tick < end {
            let index = self.index(tick);
            let count = (self.slots - index)
                .min(SLOTS_A_VIEW - index % SLOTS_A_VIEW)
                .min((end - tick).cast_unsigned());
            let len = usize::try_from(count).ok()? * SLOT_BYTES;
            let view = self.writer.peek(index * SLOT_LEN, len)?;
            for bytes in view.chunks_exact(SLOT_BYTES) {
                if let Some(slot) = self.decode(bytes, tick) {
                    return Some(slot);
                }
                tick += 1;
            }
        }
        None
    }

    /// Makes what was written durable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some((from, to)) = self.dirty {
            self.writer.segment().flush(from, to)?;
            self.dirty = None;
        }
        Ok(())
    }
}

fn len(layout: &TimerLayout) -> u64 {
    layout.slots.unsigned_abs() * 2 * SLOT_LEN
}
