// SPDX-License-Identifier: Apache-2.0
//! The files `timerlog/*`: one unit for each message that waits in the wheel (store.md 9.2).
//!
//! | offset | field | | offset | field |
//! |---|---|---|---|---|
//! | 0 | i32 52 | | 28 | i64 commit-log offset of the message |
//! | 4 | i64 position of the unit before in the slot, -1 none | | 36 | i32 size of its record |
//! | 12 | i32 bits of [`magic`] | | 40 | i32 hash of its real topic |
//! | 16 | i64 time of writing | | 44 | i64 0 |
//! | 24 | i32 slot's time less time of writing | | | |
//!
//! A file ends with a blank of at least 16 bytes: i32 rest, i64 0, i32 magic.

use std::io;
use std::sync::Arc;

use kerolox_protocol::message::record::MAGIC_BLANK;

use super::TimerLayout;
use crate::store::disk::{Disk, Segment, SegmentWriter};
use crate::store::segments::SegmentFiles;

/// Length of a unit.
pub(crate) const UNIT_LEN: u64 = 52;
const UNIT_BYTES: usize = 52;
/// Shortest blank at the end of a file.
const MIN_BLANK: u64 = 16;

/// Bits of a unit.
pub(crate) mod magic {
    /// Always set.
    pub(crate) const DEFAULT: i32 = 1;
    /// The message is due later than the wheel reaches: it is put into the timer topic again.
    pub(crate) const ROLL: i32 = 2;
    /// The message takes another one back.
    pub(crate) const DELETE: i32 = 4;
    /// All bits that are known, and one more that the reference lets pass.
    pub(super) const MASK: i32 = 0xF;
}

/// One message in the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Position of the unit before in the same slot, -1 none.
    pub(crate) previous: i64,
    /// Bits of [`magic`].
    pub(crate) magic: i32,
    /// When it was written, rounded down to a slot.
    pub(crate) written_ms: i64,
    /// Start of its slot, counted from `written_ms`.
    pub(crate) delay_ms: i32,
    /// Commit-log offset of the message in the timer topic.
    pub(crate) offset: i64,
    /// Size of its record.
    pub(crate) size: i32,
    /// Hash of its real topic.
    pub(crate) topic_hash: i32,
}

impl Unit {
    /// The slot that it is in.
    pub(crate) fn slot_ms(&self) -> i64 {
        self.written_ms.saturating_add(self.delay_ms.into())
    }

    /// Whether it is put into the timer topic again instead of its own.
    pub(crate) fn rolls(&self) -> bool {
        self.magic & magic::ROLL != 0
    }

    /// Whether it takes another message back. A marker that rolls is on its way as any other message.
    pub(crate) fn deletes(&self) -> bool {
        self.magic & magic::DELETE != 0 && !self.rolls()
    }

    fn encode(&self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            if let Some(to) = bytes.get_mut(at..at + field.len()) {
                to.copy_from_slice(field);
            }
            at += field.len();
        };
        put(&52_i32.to_be_bytes());
        put(&self.previous.to_be_bytes());
        put(&self.magic.to_be_bytes());
        put(&self.written_ms.to_be_bytes());
        put(&self.delay_ms.to_be_bytes());
        put(&self.offset.to_be_bytes());
        put(&self.size.to_be_bytes());
        put(&self.topic_hash.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let unit = Self {
            previous: long(bytes, 4)?,
            magic: int(bytes, 12)?,
            written_ms: long(bytes, 16)?,
            delay_ms: int(bytes, 24)?,
            offset: long(bytes, 28)?,
            size: int(bytes, 36)?,
            topic_hash: int(bytes, 40)?,
        };
        let is_whole = int(bytes, 0)? == 52
            && unit.magic & !magic::MASK == 0
            && unit.previous >= -1
            && unit.offset >= 0
            && unit.size > 0;
        is_whole.then_some(unit)
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The file that is appended to.
struct Tail {
    base: u64,
    writer: Box<dyn SegmentWriter>,
}

/// The timer log.
pub(crate) struct TimerLog {
    files: SegmentFiles,
    tail: Option<Tail>,
    /// Files that are full but not yet flushed.
    closed: Vec<Arc<dyn Segment>>,
    /// Position of the next unit.
    end: u64,
    /// Position from which the newest file has to be flushed.
    flushed: u64,
}

/// What a walk through the log finds at a position.
enum Step {
    Unit(Unit),
    /// The file ends here.
    Blank,
    /// No unit.
    Nothing,
}

impl TimerLog {
    /// An empty log in the place of whatever is there.
    pub(super) fn create(disk: &Arc<dyn Disk>, layout: &TimerLayout) -> io::Result<Self> {
        let dir = layout.log_dir();
        disk.remove_dir_all(&dir)?;
        disk.create_dir_all(&dir)?;
        Ok(Self {
            files: SegmentFiles::new(Arc::clone(disk), dir, layout.log_file_size),
            tail: None,
            closed: Vec::new(),
            end: 0,
            flushed: 0,
        })
    }

    /// Opens the log; everything in its files counts as written until [`TimerLog::truncate`]. `None` if the files can not
    /// be right; they are gone then.
    pub(super) fn open(disk: &Arc<dyn Disk>, layout: &TimerLayout) -> io::Result<Option<Self>> {
        let dir = layout.log_dir();
        disk.create_dir_all(&dir)?;
        match SegmentFiles::load_derived(Arc::clone(disk), dir, layout.log_file_size)? {
            Ok(files) => {
                let end = files.last().map_or(0, |last| last + files.segment_len());
                Ok(Some(Self {
                    files,
                    tail: None,
                    closed: Vec::new(),
                    end,
                    flushed: end,
                }))
            }
            Err(misfit) => {
                let file = misfit.path.display();
                tracing::warn!(%file, reason = misfit.reason, "the timer log is made again");
                Ok(None)
            }
        }
    }

    /// Position of the next unit.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Position of the oldest unit.
    pub(crate) fn start(&self) -> u64 {
        self.files.first().unwrap_or(self.end)
    }

    /// The start of the file that holds a position, but not before the start of the log.
    pub(super) fn file_start(&self, position: u64) -> u64 {
        self.files.base_of(position).max(self.start())
    }

    /// Length of a file.
    pub(super) fn file_len(&self) -> u64 {
        self.files.segment_len()
    }

    /// The newest unit.
    pub(crate) fn newest(&self) -> Option<Unit> {
        let before = self.end.checked_sub(UNIT_LEN)?;
        let base = self.files.base_of(self.end);
        let position = if before >= base {
            before
        } else {
            base.checked_sub(self.file_len())? + self.last_in_file()
        };
        self.unit(position.cast_signed())
    }

    /// Where the last unit of a full file starts.
    fn last_in_file(&self) -> u64 {
        (self.file_len() - MIN_BLANK) / UNIT_LEN * UNIT_LEN - UNIT_LEN
    }

    /// The unit at a position.
    pub(crate) fn unit(&self, position: i64) -> Option<Unit> {
        let position = u64::try_from(position).ok()?;
        match self.step(position) {
            Ok(Step::Unit(unit)) => Some(unit),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, position, "the timer log can not be read");
                None
            }
        }
    }

    fn step(&self, position: u64) -> io::Result<Step> {
        if position >= self.end {
            return Ok(Step::Nothing);
        }
        let Some((base, segment)) = self.files.segment(position)? else {
            return Ok(Step::Nothing);
        };
        let at = position - base;
        if !at.is_multiple_of(UNIT_LEN) {
            return Ok(Step::Nothing);
        }
        let view = segment.view(at, UNIT_BYTES);
        if let Some(unit) = view.as_deref().and_then(Unit::decode) {
            return Ok(Step::Unit(unit));
        }
        let blank = segment.view(at, 16);
        let is_blank = blank.is_some_and(|bytes| int(&bytes, 12) == Some(MAGIC_BLANK));
        Ok(if is_blank { Step::Blank } else { Step::Nothing })
    }

    /// Visits units in order from `from` (the start of a file) to the first that is none or that `visit` refuses; returns
    /// the position behind the last that was taken.
    pub(super) fn walk(
        &self,
        from: u64,
        mut visit: impl FnMut(i64, &Unit) -> bool,
    ) -> io::Result<u64> {
        let mut position = from;
        loop {
            match self.step(position)? {
                Step::Unit(unit) if visit(position.cast_signed(), &unit) => position += UNIT_LEN,
                Step::Unit(_) | Step::Nothing => return Ok(position),
                Step::Blank => {
                    let next = self.files.base_of(position) + self.files.segment_len();
                    if self.files.segment(next)?.is_none() {
                        return Ok(next);
                    }
                    position = next;
                }
            }
        }
    }

    /// Removes what follows `end`, where appending goes on.
    pub(super) fn truncate(&mut self, end: u64) -> io::Result<()> {
        for base in self.files.bases().into_iter().rev() {
            if base >= end {
                self.files.remove(base)?;
            }
        }
        if let Some(base) = self
            .files
            .base_of(end)
            .checked_sub(self.files.segment_len())
            && let Some((_, segment)) = self.files.segment(base)?
        {
            // Whoever wrote it may have died before it was on disk; later only the newest file is flushed.
            segment.flush(0, self.files.segment_len())?;
        }
        self.files.unmap_all();
        self.files.set_end(end);
        self.tail = None;
        let base = self.files.base_of(end);
        if base < end && self.files.last() == Some(base) {
            let writer = self.files.cut_tail(end)?;
            self.tail = Some(Tail { base, writer });
        }
        self.end = end;
        self.flushed = end.min(self.files.base_of(end));
        Ok(())
    }

    /// Appends a unit and returns its position.
    pub(crate) fn append(&mut self, unit: &Unit) -> io::Result<i64> {
        let len = self.files.segment_len();
        if let Some(tail) = &mut self.tail {
            let at = self.end - tail.base;
            let rest = len - at.min(len);
            if rest < UNIT_LEN + MIN_BLANK {
                if rest >= MIN_BLANK {
                    let mut blank = [0; 16];
                    let rest = i32::try_from(rest).unwrap_or(i32::MAX).to_be_bytes();
                    blank[..4].copy_from_slice(&rest);
                    blank[12..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
                    tail.writer.write_through(at, &blank)?;
                }
                tail.writer.publish(len);
                self.closed.push(Arc::clone(tail.writer.segment()));
                self.end = tail.base + len;
                self.tail = None;
            }
        }
        if self.tail.is_none() {
            let base = self.files.base_of(self.end);
            let writer = self.files.create(base)?;
            self.files.add(base, writer.segment());
            self.files.set_end(base + len);
            self.tail = Some(Tail { base, writer });
        }
        let Some(tail) = &mut self.tail else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let at = self.end - tail.base;
        tail.writer.write_through(at, &unit.encode())?;
        tail.writer.publish(at + UNIT_LEN);
        let position = self.end.cast_signed();
        self.end += UNIT_LEN;
        Ok(position)
    }

    /// Makes all units durable.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(segment) = self.closed.last() {
            segment.flush(0, segment.len())?;
            self.closed.pop();
        }
        if let Some(tail) = &self.tail
            && self.flushed < self.end
        {
            let from = self.flushed.max(tail.base) - tail.base;
            tail.writer.segment().flush(from, self.end - tail.base)?;
            self.flushed = self.end;
        }
        Ok(())
    }

    /// Removes files, but not the newest, whose messages all lie before `commit_log_min`.
    pub(crate) fn remove_expired(&mut self, commit_log_min: i64) -> io::Result<usize> {
        let last_unit = self.last_in_file();
        let mut removed = 0;
        let mut bases = self.files.bases();
        bases.pop();
        for base in bases {
            let unit = self.unit((base + last_unit).cast_signed());
            if unit.is_none_or(|unit| unit.offset >= commit_log_min) {
                break;
            }
            self.files.remove(base)?;
            removed += 1;
        }
        Ok(removed)
    }
}
