// SPDX-License-Identifier: Apache-2.0
//! Opening the files after whatever happened to them (store.md 9.2).
//!
//! The checkpoint is the truth, for it was written after what it speaks of was on disk:
//!
//! - The log ends where the checkpoint says. Units behind it stay only if the checkpoint's queue offset covers their
//!   messages (the reference's checkpoint is older than its log in this); all others are written again from the queue.
//! - The wheel may be newer than the log, or older. Slots that point behind the log's end, and those of the units in the
//!   newest two files, are linked again; if a slot does not know a unit that the checkpoint covers, the wheel is
//!   damaged and all slots are.
//! - Without a usable log, both are made again from the whole queue. What was due before the checkpoint's time was
//!   delivered and is left out. Without a checkpoint nothing is known, and everything in the queue counts as new.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::checkpoint::CheckpointFile;
use super::{Slot, TimerCheckpoint, TimerFiles, TimerLayout, TimerLog, Unit, Wheel};
use crate::store::disk::Disk;

/// Clocks are set back by some seconds now and then.
const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// The files and how far the broker came.
pub(crate) struct Recovered {
    pub(crate) files: TimerFiles,
    /// The last checkpoint; what it says of this moment is in its fields.
    pub(crate) checkpoint: TimerCheckpoint,
    /// Messages of the queue before this that were due up to `checkpoint.read_ms` were delivered.
    pub(crate) known_until: i64,
    /// Wheel and log are empty and have to be made again from the queue.
    pub(crate) is_rebuilt: bool,
}

/// What recovery has to know of the rest of the store.
pub(crate) struct Surroundings<'a> {
    /// First and next offset of the timer topic's queue.
    pub(crate) queue: (i64, i64),
    /// Now.
    pub(crate) now_ms: i64,
    /// The queue offset of the timer topic's message in a record, by offset in the commit log and size.
    pub(crate) message_at: &'a dyn Fn(i64, i32) -> Option<i64>,
}

/// Opens the files, or makes them again.
///
/// # Errors
/// A file can not be read, made or written.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    layout: &TimerLayout,
    around: &Surroundings<'_>,
) -> io::Result<Recovered> {
    let file = CheckpointFile::new(disk.as_ref(), layout.checkpoint_path());
    let latest = around.now_ms.saturating_add(CLOCK_TOLERANCE_MS);
    let checkpoint = file.read(disk.as_ref());
    let checkpoint = checkpoint.filter(|checkpoint| checkpoint.read_ms <= latest);
    let log = TimerLog::open(disk, layout)?;
    let (Some(mut checkpoint), Some(mut log)) = (checkpoint.clone(), log) else {
        return start_over(disk, layout, around, checkpoint);
    };
    let read_ms = checkpoint.read_ms.max(layout.earliest_ms(around.now_ms));

    let covered = checkpoint.log_flushed;
    let from = log.file_start(covered.saturating_sub(log.file_len()));
    let mut last_message = None;
    let end = log.walk(from, |position, unit| {
        if position.cast_unsigned() < covered {
            return true;
        }
        let message = (around.message_at)(unit.offset, unit.size);
        let message = message.filter(|offset| *offset < checkpoint.queue_offset);
        last_message = message.or(last_message);
        message.is_some()
    })?;
    if end < covered {
        tracing::warn!(end, covered, "the timer log is damaged, it is made again");
        return start_over(disk, layout, around, Some(checkpoint));
    }
    log.truncate(end)?;
    let resume = match last_message {
        Some(offset) => checkpoint.queue_offset.min(offset + 1),
        None => checkpoint.queue_offset,
    };
    let Some(wheel) = linked_wheel(disk.as_ref(), layout, &log, from, covered, read_ms)? else {
        tracing::warn!("a slot's chain in the timer log is damaged, wheel and log are made again");
        return start_over(disk, layout, around, Some(checkpoint));
    };
    let (min, max) = around.queue;
    checkpoint.read_ms = read_ms;
    checkpoint.queue_offset = resume.clamp(min, max.max(min));
    Ok(Recovered {
        files: TimerFiles {
            wheel,
            log,
            checkpoint: file,
            is_poisoned: false,
        },
        checkpoint,
        known_until: 0,
        is_rebuilt: false,
    })
}

/// Empty files, to be filled from the beginning of the queue.
fn start_over(
    disk: &Arc<dyn Disk>,
    layout: &TimerLayout,
    around: &Surroundings<'_>,
    last: Option<TimerCheckpoint>,
) -> io::Result<Recovered> {
    let known_until = last.as_ref().map_or(0, |last| last.queue_offset);
    let mut checkpoint = last.unwrap_or_default();
    checkpoint.read_ms = checkpoint.read_ms.max(layout.earliest_ms(around.now_ms));
    checkpoint.queue_offset = around.queue.0;
    checkpoint.master_queue_offset = around.queue.0;
    let mut files = TimerFiles::create(disk, layout)?;
    // Says that nothing is in the files before anything is: a rebuild that is cut short begins again.
    files.checkpoint(disk.as_ref(), checkpoint.clone())?;
    tracing::info!(
        from = checkpoint.queue_offset,
        read_ms = checkpoint.read_ms,
        "wheel and timer log are made again from the timer topic"
    );
    Ok(Recovered {
        files,
        checkpoint,
        known_until,
        is_rebuilt: true,
    })
}

/// The wheel with the slots that the log says it must have; `None` if the log is damaged.
fn linked_wheel(
    disk: &dyn Disk,
    layout: &TimerLayout,
    log: &TimerLog,
    from: u64,
    covered: u64,
    read_ms: i64,
) -> io::Result<Option<Wheel>> {
    let Some(mut wheel) = Wheel::open(disk, layout)? else {
        tracing::warn!(
            "the timer wheel is missing or damaged, it is made again from the timer log"
        );
        let mut wheel = Wheel::create(disk, layout)?;
        let linked = link(layout, log, &mut wheel, log.start(), read_ms)?;
        return Ok(linked.map(|_| wheel));
    };
    // Slots that know units which are not in the log any more.
    let end = log.end().cast_signed();
    let mut beyond = BTreeSet::new();
    let mut first = from;
    let mut at = read_ms;
    let stop = layout.floor(read_ms) + layout.slots * 2 * layout.precision_ms;
    while let Some(slot) = wheel.next(at, stop) {
        if slot.last >= end {
            beyond.insert(slot.time_ms);
            first = first.min(u64::try_from(slot.first).unwrap_or(0));
        }
        at = slot.time_ms + layout.precision_ms;
    }
    let mut is_whole = true;
    log.walk(from, |position, unit| {
        let slot_ms = layout.floor(unit.slot_ms());
        let must_be_known = position.cast_unsigned() < covered && slot_ms >= layout.floor(read_ms);
        is_whole &= !must_be_known
            || wheel
                .slot(slot_ms)
                .is_some_and(|slot| slot.last >= position);
        is_whole
    })?;
    if !is_whole {
        tracing::warn!("the timer wheel misses messages of the timer log, it is linked again");
        first = log.start();
    }
    let Some(linked) = link(layout, log, &mut wheel, log.file_start(first), read_ms)? else {
        return Ok(None);
    };
    for time_ms in beyond.difference(&linked) {
        wheel.clear(*time_ms)?;
    }
    Ok(Some(wheel))
}

/// Makes the slots of all units from `from` on end with the newest of them; returns these slots, `None` if a chain is
/// damaged.
fn link(
    layout: &TimerLayout,
    log: &TimerLog,
    wheel: &mut Wheel,
    from: u64,
    read_ms: i64,
) -> io::Result<Option<BTreeSet<i64>>> {
    let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
    log.walk(from, |position, unit| {
        let slot_ms = layout.floor(unit.slot_ms());
        if slot_ms >= layout.floor(read_ms) {
            newest.insert(slot_ms, position);
        }
        true
    })?;
    for (time_ms, last) in &newest {
        let mut slot = Slot {
            time_ms: *time_ms,
            first: *last,
            last: *last,
            count: 0,
        };
        let Some(units) = chain(layout, log, &slot) else {
            return Ok(None);
        };
        for (position, unit) in units {
            slot.first = slot.first.min(position);
            slot.count += if unit.magic & super::magic::DELETE != 0 {
                -1
            } else {
                1
            };
        }
        if wheel.slot(*time_ms) != Some(slot) {
            wheel.put(&slot)?;
        }
    }
    Ok(Some(newest.into_keys().collect()))
}

/// The units of a slot, newest first; `None` if one of them is damaged.
pub(crate) fn chain(layout: &TimerLayout, log: &TimerLog, slot: &Slot) -> Option<Vec<(i64, Unit)>> {
    let mut units: Vec<(i64, Unit)> = Vec::new();
    let mut position = slot.last;
    // Files at the front are removed with their messages.
    let start = log.start().cast_signed();
    while position >= start {
        let unit = log.unit(position)?;
        if layout.floor(unit.slot_ms()) != slot.time_ms || unit.previous >= position {
            return None;
        }
        units.push((position, unit));
        position = unit.previous;
    }
    Some(units)
}
