// SPDX-License-Identifier: Apache-2.0
//! Walks a commit log from its first to its last record through a window of bounded size.
//!
//! Where no record is, the next one is searched: by its magic and its own offset. If there is one, the bytes in
//! between are damaged. If there is none, the log ended before, and what follows was never written. Bytes that the
//! checkpoint says were on disk are damaged in any case.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;

use kerolox_protocol::message::record::{self, MAGIC_V1, RecordCheck, RecordView};

use super::finding::QueuePlace;
use super::listing::Listed;
use super::log::{HEAD, LogFiles, own_size};
use crate::store::StoreError;
use crate::store::disk::{Disk, ReadAt};
use crate::store::recovery::is_torn;

/// Bytes that are read at a time.
const STEP: usize = 1 << 20;
/// Damages in a row that are reported one by one.
const MAX_PENDING: usize = 1024;

/// Bytes without intact records.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) reason: String,
    /// What the head of the first record says, if it can be read.
    pub(super) message: Option<QueuePlace>,
}

/// What a walk meets.
pub(super) enum Event<'a> {
    /// An intact record at this offset.
    Record(u64, &'a RecordView<'a>),
    Damaged(&'a Damage),
    /// A segment was removed meanwhile: the log begins later.
    Gone {
        end: u64,
    },
    /// The walk came to here.
    Progress(u64),
}

/// Is told what a walk meets, and can end it.
pub(super) type Visit<'v> = dyn FnMut(Event<'_>) -> Result<ControlFlow<()>, StoreError> + 'v;

/// A walk over a commit log.
pub(super) struct Walk<'d> {
    disk: &'d dyn Disk,
    files: &'d LogFiles,
    /// Everything before was on disk once.
    flushed: u64,
    window: Window,
    position: u64,
    /// Damage of which is not known yet whether a record follows.
    pending: Vec<Damage>,
    /// Offset after the last record.
    end: u64,
    /// Store time of the last record: none that follows damage is older, unless it was written before the log was once
    /// cut here, and is no part of it any more.
    last_timestamp: i64,
    reported: u64,
    is_stopped: bool,
}

/// What starts at a place.
enum Seen {
    Record(usize),
    Blank(u64),
    Damaged {
        /// Where the next record starts, if that is known.
        size: Option<usize>,
        reason: String,
        message: Option<QueuePlace>,
    },
}

impl<'d> Walk<'d> {
    pub(super) fn new(disk: &'d dyn Disk, files: &'d LogFiles, start: u64, flushed: u64) -> Self {
        Self {
            disk,
            files,
            flushed,
            window: Window::default(),
            position: start,
            pending: Vec::new(),
            end: start,
            last_timestamp: 0,
            reported: start,
            is_stopped: false,
        }
    }

    /// Walks to the end, or until `visit` breaks; returns the offset after the last record.
    pub(super) fn run(mut self, visit: &mut Visit<'_>) -> Result<u64, StoreError> {
        let files = self.files;
        while !self.is_stopped
            && let Some(segment) = files.at_or_after(self.position)
        {
            self.position = self.position.max(segment.base);
            let segment_end = segment.base + files.segment_len;
            if self.window.base != Some(segment.base) {
                match self.disk.open_read(&segment.path) {
                    Ok(file) => self.window = Window::new(file, segment),
                    // A running broker removes what has expired.
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        self.position = segment_end;
                        self.tell(visit, Event::Gone { end: segment_end })?;
                        continue;
                    }
                    Err(error) => return Err(StoreError::io("open", &segment.path)(error)),
                }
            }
            let seen = self.look(segment_end)?;
            if matches!(seen, Seen::Record(_)) && !self.pending.is_empty() && !self.settle(visit)? {
                continue;
            }
            self.advance(seen, segment_end, visit)?;
            self.progress(visit)?;
        }
        self.finish(visit)?;
        Ok(self.end)
    }

    fn tell(&mut self, visit: &mut Visit<'_>, event: Event<'_>) -> Result<(), StoreError> {
        self.is_stopped |= visit(event)?.is_break();
        Ok(())
    }

    fn progress(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if self.position.saturating_sub(self.reported) < STEP as u64 {
            return Ok(());
        }
        self.reported = self.position;
        self.tell(visit, Event::Progress(self.position))
    }

    /// Judges what starts at the position.
    fn look(&mut self, segment_end: u64) -> Result<Seen, StoreError> {
        let position = self.position;
        let left = segment_end - position;
        let nothing = |reason: String| {
            Ok(Seen::Damaged {
                size: None,
                reason,
                message: None,
            })
        };
        let head_len = usize::try_from(left).unwrap_or(HEAD).min(HEAD);
        let head = self.window.get(position, head_len)?;
        if let RecordCheck::Blank { size } = record::check(head) {
            return Ok(Seen::Blank(size as u64));
        }
        let size = match own_size(head, position) {
            Ok(size) if size as u64 <= left => size,
            Ok(size) => return nothing(format!("{size} bytes do not fit into the segment")),
            Err(reason) => return nothing(reason),
        };
        let at = left_of(segment_end, self.files.segment_len, position);
        let bytes = self.window.get(position, size)?;
        match record::check(bytes) {
            RecordCheck::Record(record) if record::is_crc_intact(bytes) == Some(false) => {
                Ok(Seen::Damaged {
                    size: Some(record.size),
                    reason: "the record does not have the CRC that it says".to_owned(),
                    message: place(bytes),
                })
            }
            RecordCheck::Record(record) => {
                let is_older =
                    !self.pending.is_empty() && record.store_timestamp < self.last_timestamp;
                if position >= self.flushed && is_torn(&record, at) {
                    nothing("part of the record was never written".to_owned())
                } else if position >= self.flushed && is_older {
                    nothing("a record of before the log was cut once".to_owned())
                } else {
                    self.last_timestamp = self.last_timestamp.max(record.store_timestamp);
                    Ok(Seen::Record(record.size))
                }
            }
            RecordCheck::Damaged { size, error } => Ok(Seen::Damaged {
                size,
                reason: error.to_string(),
                message: size.and_then(|_| place(bytes)),
            }),
            RecordCheck::Blank { .. } => nothing("no record starts here".to_owned()),
        }
    }

    /// Goes on behind what was seen.
    fn advance(
        &mut self,
        seen: Seen,
        segment_end: u64,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let from = self.position;
        match seen {
            Seen::Record(size) => {
                self.position += size as u64;
                self.end = self.position;
                let bytes = self.window.get(from, size)?;
                if let Ok(record) = RecordView::parse(bytes) {
                    self.is_stopped |= visit(Event::Record(from, &record))?.is_break();
                }
            }
            Seen::Blank(size) if size == segment_end - from => {
                self.position = segment_end;
                if self.pending.is_empty() {
                    self.end = segment_end;
                }
            }
            Seen::Blank(size) => {
                let left = segment_end - from;
                let reason = format!("a filler of {size} bytes where the segment has {left} left");
                let to = self.search(segment_end, visit)?.unwrap_or(segment_end);
                self.damaged(to, reason, None);
            }
            Seen::Damaged {
                size,
                reason,
                message,
            } => {
                let to = match size {
                    Some(size) => from + size as u64,
                    None => self.search(segment_end, visit)?.unwrap_or(segment_end),
                };
                self.damaged(to, reason, message);
            }
        }
        Ok(())
    }

    fn damaged(&mut self, to: u64, reason: String, message: Option<QueuePlace>) {
        let from = self.position;
        self.position = to;
        let is_many = self.pending.len() >= MAX_PENDING;
        match self.pending.last_mut() {
            Some(last)
                if is_many || last.to == from && last.message.is_none() && message.is_none() =>
            {
                last.to = to;
            }
            _ => self.pending.push(Damage {
                from,
                to,
                reason,
                message,
            }),
        }
    }

    /// Reports the damage before the record at the position; `false` if that has to be looked at again, as it was only
    /// being written.
    fn settle(&mut self, visit: &mut Visit<'_>) -> Result<bool, StoreError> {
        let pending = std::mem::take(&mut self.pending);
        if let Some(first) = pending.first()
            && self.is_record_now(first.from)?
        {
            self.position = first.from;
            self.window = Window::default();
            return Ok(false);
        }
        for damage in pending {
            if !self.is_stopped {
                self.tell(visit, Event::Damaged(&damage))?;
            }
        }
        Ok(!self.is_stopped)
    }

    fn is_record_now(&self, position: u64) -> Result<bool, StoreError> {
        let Some(segment) = self.files.at(position) else {
            return Ok(false);
        };
        let Ok(file) = self.disk.open_read(&segment.path) else {
            return Ok(false);
        };
        let mut again = Self::new(self.disk, self.files, position, self.flushed);
        again.window = Window::new(file, segment);
        let seen = again.look(segment.base + self.files.segment_len)?;
        Ok(matches!(seen, Seen::Record(_)))
    }

    /// No record follows any more. What was not on disk once is just the rest of the log.
    fn finish(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for mut damage in std::mem::take(&mut self.pending) {
            if damage.from >= self.flushed || self.is_stopped {
                break;
            }
            damage.to = damage.to.min(self.flushed);
            self.end = damage.to;
            self.tell(visit, Event::Damaged(&damage))?;
        }
        Ok(())
    }

    /// Offset of the next place behind the position that starts like a record of that place.
    fn search(
        &mut self,
        segment_end: u64,
        visit: &mut Visit<'_>,
    ) -> Result<Option<u64>, StoreError> {
        let mut from = self.position + 1;
        while from + (HEAD as u64) <= segment_end && !self.is_stopped {
            let step = usize::try_from(segment_end - from)
                .unwrap_or(STEP)
                .min(STEP);
            let bytes = self.window.get(from, step)?;
            if let Some(at) = find_head(bytes, from) {
                return Ok(Some(at));
            }
            if bytes.len() < HEAD {
                break;
            }
            from += (bytes.len() + 1 - HEAD) as u64;
            self.tell(visit, Event::Progress(from))?;
        }
        Ok(None)
    }
}

/// Place in the segment.
fn left_of(segment_end: u64, segment_len: u64, position: u64) -> u64 {
    (position + segment_len).saturating_sub(segment_end)
}

fn place(bytes: &[u8]) -> Option<QueuePlace> {
    let record = RecordView::parse(bytes).ok()?;
    Some(QueuePlace {
        topic: record.topic().into_owned(),
        queue_id: record.queue_id,
        queue_offset: record.queue_offset,
    })
}

/// Offset of the first place in `bytes`, which lie at `from`, that starts like a record of that place.
fn find_head(bytes: &[u8], from: u64) -> Option<u64> {
    // Magics of both versions begin with the same three bytes.
    let magic = MAGIC_V1.to_be_bytes();
    let found = memchr::memmem::find_iter(bytes, magic.get(..3)?);
    let mut starts = found.filter_map(|at| at.checked_sub(4));
    let start = starts.find(|start| {
        let head = bytes.get(*start..*start + HEAD).unwrap_or_default();
        own_size(head, from + *start as u64).is_ok()
    });
    start.map(|start| from + start as u64)
}

/// Part of a segment in memory.
#[derive(Default)]
struct Window {
    file: Option<Box<dyn ReadAt>>,
    path: PathBuf,
    /// Log offset of the segment.
    base: Option<u64>,
    /// Log offset of the first byte in memory.
    start: u64,
    bytes: Vec<u8>,
    filled: usize,
}

impl Window {
    fn new(file: Box<dyn ReadAt>, segment: &Listed) -> Self {
        Self {
            file: Some(file),
            path: segment.path.clone(),
            base: Some(segment.base),
            ..Self::default()
        }
    }

    /// `len` bytes at a log offset; fewer at the end of the file.
    fn get(&mut self, position: u64, len: usize) -> Result<&[u8], StoreError> {
        let held = self.start..self.start + self.filled as u64;
        if !(held.contains(&position) && position + len as u64 <= held.end) {
            let want = len.max(STEP);
            self.bytes.resize(want, 0);
            self.filled = 0;
            if let (Some(file), Some(base)) = (&self.file, self.base) {
                let read = file.read_at(position - base, &mut self.bytes);
                self.filled = read.map_err(StoreError::io("read", &self.path))?;
            }
            self.start = position;
        }
        let at = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        let filled = self.bytes.get(..self.filled).unwrap_or_default();
        let rest = filled.get(at..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }
}
