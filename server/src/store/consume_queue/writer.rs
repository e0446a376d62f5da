// SPDX-License-Identifier: Apache-2.0
//! Writing units at the end of a queue.
//!
//! Units go through the file's handle and not through the mapping that readers use, as records do (ADR 4).

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{UNIT_BYTES, UNIT_LEN, Unit, byte_of};
use crate::store::disk::SegmentWriter;
use crate::store::sabotage::{self, Sabotage};
use crate::store::segments::SegmentFiles;

/// Space that is reserved on disk at a time, bytes: little at first, as most queues are short,
const FIRST_RESERVE: u64 = 4096;
/// and at most this, 26214 units.
const MOST_RESERVE: u64 = 512 * 1024;

/// The end of a queue. Its segment is opened by the first append, so a queue that is only read or idle maps nothing.
#[derive(Default)]
pub(crate) struct QueueWriter {
    next: i64,
    /// Units whose records have their places but are not in the log yet.
    placed: usize,
    tail: Option<Tail>,
    spare: Arc<Spare>,
    /// Byte up to which units are on disk.
    pub(crate) flushed: u64,
    /// Byte up to which units were there when the store was opened.
    pub(super) recovered: u64,
    /// Whether the queue is in the log's list of queues with messages that are not visible yet.
    pub(crate) is_touched: bool,
    /// Whether the queue is in the log's list of queues with units that are not on disk.
    pub(crate) is_dirty: bool,
}

/// The next segment, if it was made ahead; readers do not know it yet. Locked after the writer, and for as long as making it
/// takes.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Option<Tail>>);

impl Spare {
    /// Makes the segment at `base`, unless it is there or `is_wanted` says no.
    pub(super) fn make(
        &self,
        files: &SegmentFiles,
        base: u64,
        is_wanted: impl FnOnce() -> bool,
    ) -> io::Result<()> {
        let mut spare = self.0.lock();
        if spare.is_none() && files.last().is_some_and(|last| last < base) && is_wanted() {
            *spare = Some(Tail::create(files, base)?);
        }
        Ok(())
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Removes the segment.
    pub(super) fn discard(&self, files: &SegmentFiles) -> io::Result<()> {
        match self.0.lock().take() {
            Some(spare) => files.discard(spare.base),
            None => Ok(()),
        }
    }
}

struct Tail {
    base: u64,
    writer: Box<dyn SegmentWriter>,
    /// Byte of the segment up to which space is reserved.
    reserved: u64,
    /// How much to reserve next.
    step: u64,
    /// Whether the next segment was asked for.
    has_asked: bool,
}

impl Tail {
    /// A segment that follows a full one.
    fn create(files: &SegmentFiles, base: u64) -> io::Result<Self> {
        Ok(Self {
            base,
            writer: files.create(base)?,
            reserved: 0,
            step: MOST_RESERVE,
            has_asked: false,
        })
    }

    fn reserve(&mut self, to: u64) -> io::Result<()> {
        if to > self.reserved {
            let segment = self.writer.segment();
            let end = to.max(self.reserved + self.step).min(segment.len());
            if !sabotage::is(Sabotage::SpaceNotReserved) {
                segment.reserve(self.reserved, end)?;
            }
            self.reserved = end;
            self.step = (self.step * 2).min(MOST_RESERVE);
        }
        Ok(())
    }
}

impl QueueWriter {
    /// The end of a queue that was recovered; units before `flushed` are on disk.
    pub(crate) fn at(next: i64, flushed: i64) -> Self {
        Self {
            next,
            flushed: byte_of(flushed.min(next)),
            recovered: byte_of(next),
            ..Self::default()
        }
    }

    /// Queue offset of the next message.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Whether messages have places and no units yet.
    pub(crate) fn has_placed(&self) -> bool {
        self.placed > 0
    }

    /// Whether all units are on disk.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed >= byte_of(self.next)
    }

    /// Gives the next `count` messages their places and returns the queue offset of the first. There is space for their
    /// units, so that [`QueueWriter::put`] can not fail for lack of it. Nothing has happened if this fails.
    pub(crate) fn place(&mut self, files: &SegmentFiles, count: usize) -> io::Result<i64> {
        let first = self.next + i64::try_from(self.placed).unwrap_or(0);
        if count > 0 {
            self.prepare(files, self.placed + count)?;
            self.placed += count;
        }
        Ok(first)
    }

    /// Takes the last `count` places back: their messages are not stored.
    pub(crate) fn take_back(&mut self, count: usize) {
        self.placed = self.placed.saturating_sub(count);
    }

    /// Opens or creates what the next `count` units need and reserves space for them.
    fn prepare(&mut self, files: &SegmentFiles, count: usize) -> io::Result<()> {
        let from = byte_of(self.next);
        let to = from + count as u64 * UNIT_BYTES;
        let base = files.base_of(from);
        if self.tail.as_ref().is_none_or(|tail| tail.base != base) {
            // Locked until the segment is shown: nobody may make it again meanwhile.
            let mut spare = self.spare.0.lock();
            self.tail = Some(match spare.take() {
                Some(spare) if spare.base == base => Self::show(files, spare),
                _ => Self::open(files, base, from)?,
            });
        }
        let end = base + files.segment_len();
        if let Some(tail) = &mut self.tail {
            tail.reserve(to.min(end) - base)?;
        }
        if to > end {
            let mut spare = self.spare.0.lock();
            let spare = match &mut *spare {
                Some(spare) => spare,
                none => none.insert(Tail::create(files, end)?),
            };
            spare.reserve((to - end).min(files.segment_len()))?;
        }
        Ok(())
    }

    /// Whether the next segment should be made, as half of this one is full; asks once.
    pub(crate) fn asks_for_segment(&mut self, files: &SegmentFiles) -> bool {
        let at = byte_of(self.next);
        self.tail.as_mut().is_some_and(|tail| {
            at.saturating_sub(tail.base) >= files.segment_len() / 2
                && !std::mem::replace(&mut tail.has_asked, true)
        })
    }

    /// Where the next segment begins and where it is kept; `None` while none is in use.
    pub(super) fn next_segment(&self, files: &SegmentFiles) -> Option<(u64, Arc<Spare>)> {
        let tail = self.tail.as_ref()?;
        Some((tail.base + files.segment_len(), Arc::clone(&self.spare)))
    }

    pub(super) fn spare(&self) -> &Arc<Spare> {
        &self.spare
    }

    /// Closes the segment, which the next append opens again, and removes one that was made ahead; `false`, changing nothing,
    /// if that is being made.
    pub(super) fn close(&mut self, files: &SegmentFiles) -> bool {
        let Some(mut spare) = self.spare.0.try_lock() else {
            return false;
        };
        if let Some(spare) = spare.take() {
            // What is left of it is made anew.
            files.discard(spare.base).unwrap_or(());
        }
        drop(spare);
        self.tail = None;
        files.set_end(byte_of(self.next));
        true
    }

    /// Writes the next units. They become readable as bytes, but consumers see them only when the queue shows them.
    pub(crate) fn put(&mut self, files: &SegmentFiles, units: &[u8]) -> io::Result<()> {
        let mut rest = units;
        while !rest.is_empty() {
            let at = byte_of(self.next);
            if self
                .tail
                .as_ref()
                .is_none_or(|tail| at - tail.base >= files.segment_len())
            {
                self.prepare(files, rest.len() / UNIT_LEN)?;
            }
            let tail = self.tail.as_mut().ok_or(io::ErrorKind::NotFound)?;
            let at = at - tail.base;
            let room = usize::try_from(files.segment_len() - at).unwrap_or(usize::MAX);
            let (units, later) = rest.split_at(room.min(rest.len()));
            tail.writer.write_through(at, units)?;
            tail.writer.publish(at + units.len() as u64);
            let count = units.len() / UNIT_LEN;
            self.next = self.next.saturating_add_unsigned(count as u64);
            self.placed = self.placed.saturating_sub(count);
            rest = later;
        }
        Ok(())
    }

    fn open(files: &SegmentFiles, base: u64, from: u64) -> io::Result<Tail> {
        files.set_end(from);
        if files.bases().contains(&base) {
            return Ok(Tail {
                base,
                writer: files.open_tail(base)?,
                reserved: from - base,
                step: FIRST_RESERVE,
                has_asked: false,
            });
        }
        let mut writer = files.create(base)?;
        // A queue that starts inside a segment: the units before have no records (store.md 3.1).
        for at in (0..from - base).step_by(UNIT_BYTES as usize) {
            writer.write(at, &Unit::FILLER.encode())?;
        }
        writer.publish(from - base);
        Ok(Self::show(
            files,
            Tail {
                base,
                writer,
                reserved: from - base,
                step: FIRST_RESERVE,
                has_asked: false,
            },
        ))
    }

    fn show(files: &SegmentFiles, tail: Tail) -> Tail {
        files.set_end(tail.base);
        files.add(tail.base, tail.writer.segment());
        tail
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::store::consume_queue::NONE_YET;
    use crate::store::disk::RealDisk;

    /// A queue's files, of four units each.
    fn files(dir: &Path) -> SegmentFiles {
        let disk = Arc::new(RealDisk::new());
        SegmentFiles::new(disk, dir.to_path_buf(), 4 * UNIT_BYTES).with_head(&NONE_YET)
    }

    #[test]
    fn segments_say_that_they_have_no_unit_yet() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let unit = |offset| Unit {
            physical_offset: offset,
            size: 100,
            tags_code: 0,
        };
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let first = "00000000000000000000";
        let mut writer = QueueWriter::at(0, 0);
        // As if the process were killed between preparing and writing.
        assert_eq!(writer.place(&files, 1).unwrap(), 0);
        writer.take_back(1);
        assert_eq!(read(first)[..UNIT_LEN], NONE_YET);
        for at in 0..3 {
            assert_eq!(writer.place(&files, 1).unwrap(), at);
            writer.put(&files, &unit(at).encode()).unwrap();
        }
        assert_eq!(read(first)[..UNIT_LEN], unit(0).encode());
        // Two more need a second segment.
        assert_eq!(writer.place(&files, 2).unwrap(), 3);
        let second = "00000000000000000080";
        assert_eq!(read(second)[..UNIT_LEN], NONE_YET);
        let both = [unit(3).encode(), unit(4).encode()];
        writer.put(&files, both.as_flattened()).unwrap();
        assert_eq!(read(first)[3 * UNIT_LEN..], unit(3).encode());
        assert_eq!(read(second)[..UNIT_LEN], unit(4).encode());
        assert!(read(second)[UNIT_LEN..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_next_segment_is_asked_for_once_and_made_by_one_side() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let has = |name: &str| dir.path().join(name).exists();
        let (second, third) = ("00000000000000000080", "00000000000000000160");
        let mut writer = QueueWriter::at(0, 0);
        let append = |writer: &mut QueueWriter| {
            writer.place(&files, 1).unwrap();
            writer.put(&files, &[7; UNIT_LEN]).unwrap();
            writer.asks_for_segment(&files)
        };
        assert!(writer.next_segment(&files).is_none());
        let asked: Vec<_> = (0..4).map(|_| append(&mut writer)).collect();
        assert_eq!(asked, [false, true, false, false]);
        let (base, spare) = writer.next_segment(&files).unwrap();
        spare.make(&files, base, || false).unwrap();
        assert!(!has(second));
        spare.make(&files, base, || true).unwrap();
        assert!(spare.is_some() && has(second) && files.last() == Some(0));
        append(&mut writer);
        assert!(!spare.is_some() && files.last() == Some(base));
        // What is in use is not made again: that would empty it.
        spare.make(&files, base, || true).unwrap();
        assert!(!spare.is_some());
        assert_eq!(fs::read(dir.path().join(second)).unwrap()[0], 7);

        let (base, _) = writer.next_segment(&files).unwrap();
        spare.make(&files, base, || true).unwrap();
        assert!(has(third));
        assert!(writer.close(&files) && !has(third) && has(second));
    }
}
