// SPDX-License-Identifier: Apache-2.0
//! Walking the commit log record by record (store.md 6.2).
//!
//! Two kinds of damage must be told apart. Behind the last sync, anything may be missing after a power failure: the log
//! ends at the first record that is not whole. Before it, and everywhere if only the process died, everything was
//! there once, so damage is rot: it costs the records it hits, the walk goes on at the next record, found by its magic
//! and its own offset.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use kerolox_protocol::message::record::{self, BLANK_BYTES, MIN_BYTES, RecordCheck, RecordView};

use crate::store::StoreError;
use crate::store::disk::Segment;
use crate::store::sabotage::{self, Sabotage};
use crate::store::segments::SegmentFiles;

/// Unit that a disk writes atomically, bytes.
const SECTOR: u64 = 512;
/// Bytes that are searched for the next record at a time.
const SEARCH_STEP: u64 = 64 * 1024;

/// Records may be found again this far behind an unreadable place that was perhaps never written.
const SEARCH_AHEAD: u64 = 8 << 20;

/// Where to walk, and how far to believe what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Offset of the first record.
    pub(crate) start: u64,
    /// Everything before was on disk once: what can not be read there is damage.
    pub(crate) trusted: u64,
    /// What an unreadable place at `trusted` or later means.
    pub(crate) beyond: Beyond,
    /// Whether the bodies' CRCs are compared.
    pub(crate) checks_bodies: bool,
    /// Whether each record must end with its CRC.
    pub(crate) needs_crc: bool,
}

impl Bounds {
    /// Records from `start` to `end`, all of which were written.
    pub(crate) fn written(start: u64, end: u64) -> Self {
        Self {
            start,
            trusted: end,
            beyond: Beyond::Cut,
            checks_bodies: false,
            needs_crc: false,
        }
    }
}

/// What an unreadable place means where it is not known whether the disk ever had the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// The end: the machine lost power, and pages went to the disk in any order.
    Cut,
    /// The end if no later record follows, else damage: only the process died, so everything written is there.
    Search,
    /// As before, and the process was one of ours, which writes records from their beginning on: one with a damaged body,
    /// but the rest behind it, is no end.
    Own,
}

/// Where a walk ended.
#[derive(Debug, Default)]
pub(crate) struct WalkEnd {
    /// Offset after the last record.
    pub(crate) end: u64,
    /// Intact records met.
    pub(crate) records: u64,
    /// Store timestamp of the last one.
    pub(crate) last_timestamp: i64,
    /// Offset of the last one.
    pub(crate) last_record: Option<u64>,
    /// Ranges without intact records before the end.
    pub(crate) damaged: Vec<Range<u64>>,
}

impl WalkEnd {
    /// Adds a walk that began where this one ended.
    pub(crate) fn append(&mut self, other: Self) {
        self.end = other.end;
        self.records += other.records;
        self.last_timestamp = self.last_timestamp.max(other.last_timestamp);
        self.last_record = other.last_record.or(self.last_record);
        self.damaged.extend(other.damaged);
    }
}

/// What a walk shows records to.
pub(crate) type Visit<'a> =
    dyn FnMut(u64, &RecordView<'_>) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Visits records in order until the log ends or `visit` says [`ControlFlow::Break`], after the record that it saw.
pub(crate) fn walk(
    files: &SegmentFiles,
    bounds: &Bounds,
    visit: &mut Visit<'_>,
) -> Result<WalkEnd, StoreError> {
    let len = files.segment_len();
    let mut walked = WalkEnd {
        end: bounds.start,
        ..WalkEnd::default()
    };
    let mut current: Option<(u64, Arc<dyn Segment>)> = None;
    loop {
        let position = walked.end;
        let base = files.base_of(position);
        if current.as_ref().is_none_or(|(of, _)| *of != base) {
            current = open(files, position)?.map(|segment| (base, segment));
        }
        let seen = match &current {
            Some((_, segment)) => look(segment.as_ref(), position - base, len, |bytes| {
                let record = match judge(bytes, position, base, bounds) {
                    Judged::Record(record) => record,
                    Judged::Skippable(size) => return Ok(Seen::Skippable(size)),
                    Judged::Nothing => return Ok(Seen::Nothing),
                };
                let flow = visit(position, &record)?;
                walked.records += 1;
                walked.last_timestamp = walked.last_timestamp.max(record.store_timestamp);
                walked.last_record = Some(position);
                Ok(Seen::Record(record.size, flow))
            })?,
            None => Seen::Nothing,
        };
        let skipped = match seen {
            Seen::Record(size, flow) => {
                walked.end = position + size as u64;
                if flow.is_break() {
                    return Ok(walked);
                }
                continue;
            }
            Seen::Blank => {
                walked.end = base + len;
                continue;
            }
            Seen::Skippable(size) => Some(position + size as u64),
            Seen::Nothing => None,
        };
        let is_trusted = position < bounds.trusted;
        if !is_trusted && bounds.beyond == Beyond::Cut {
            return Ok(walked);
        }
        let search = Search {
            files,
            bounds,
            after: walked.last_timestamp,
            position,
            skipped,
        };
        let resume = match (search.run()?, is_trusted) {
            (Some(resume), _) => resume,
            // Nothing more is there at all, but there was.
            (None, true) => skipped
                .unwrap_or(base + len)
                .min(bounds.trusted.max(position + 1)),
            (None, false) => match skipped.filter(|_| bounds.beyond == Beyond::Own) {
                Some(skipped) => skipped,
                None => return Ok(walked),
            },
        };
        tracing::error!(
            from = position,
            to = resume,
            "the commit log is damaged; these records are lost"
        );
        if !sabotage::is(Sabotage::DamageUnreported) {
            walked.damaged.push(position..resume);
        }
        walked.end = resume;
    }
}

fn open(files: &SegmentFiles, offset: u64) -> Result<Option<Arc<dyn Segment>>, StoreError> {
    let found = files
        .segment(offset)
        .map_err(StoreError::io("open a segment of", files.dir()))?;
    Ok(found.map(|(_, segment)| segment))
}

enum Judged<'a> {
    Record(RecordView<'a>),
    /// The head is right, so the length is too.
    Skippable(usize),
    Nothing,
}

/// What stands at `position`, whose bytes begin with a record's size.
fn judge<'a>(bytes: &'a [u8], position: u64, base: u64, bounds: &Bounds) -> Judged<'a> {
    let Ok(record) = RecordView::parse(bytes) else {
        return Judged::Nothing;
    };
    let checks_place = !sabotage::is(Sabotage::PlaceUnchecked);
    let checks_bodies = bounds.checks_bodies && !sabotage::is(Sabotage::BodyUnchecked);
    let is_intact = (!checks_bodies || record.is_body_intact())
        && (!bounds.needs_crc || record::is_crc_intact(bytes) == Some(true));
    if checks_place && record.physical_offset != position.cast_signed() {
        Judged::Nothing
    } else if !is_intact {
        Judged::Skippable(record.size)
    } else if position >= bounds.trusted && is_torn(&record, position - base) {
        Judged::Nothing
    } else {
        Judged::Record(record)
    }
}

/// The search for the next record behind an unreadable place.
struct Search<'a> {
    files: &'a SegmentFiles,
    bounds: &'a Bounds,
    /// Store timestamp of the last record before: later ones are not older. What is older was written before the log
    /// was once cut here, and is no part of it any more.
    after: i64,
    position: u64,
    /// Where the next record begins if only the body of this one is damaged.
    skipped: Option<u64>,
}

impl Search<'_> {
    fn run(&self) -> Result<Option<u64>, StoreError> {
        let len = self.files.segment_len();
        let base = self.files.base_of(self.position);
        let is_trusted = self.position < self.bounds.trusted;
        if let Some(segment) = open(self.files, self.position)? {
            if let Some(skipped) = self.skipped.filter(|skipped| *skipped < base + len)
                && (is_trusted || self.is_next(segment.as_ref(), base, skipped - base))
            {
                return Ok(Some(skipped));
            }
            let from = self.position + 1 - base;
            let to = if is_trusted {
                len
            } else {
                len.min(from + SEARCH_AHEAD)
            };
            let found = self.find(segment.as_ref(), base, from, to);
            if let Some(at) = found.map_err(StoreError::io("read", &self.files.path(base)))? {
                return Ok(Some(base + at));
            }
            if to < len {
                return Ok(None);
            }
        }
        // The next segment that exists: there may be a hole in the log.
        let next = self.files.bases().into_iter().find(|later| *later > base);
        let Some(next) = next else { return Ok(None) };
        let Some(segment) = open(self.files, next)? else {
            return Ok(None);
        };
        let is_next = next < self.bounds.trusted || self.is_next(segment.as_ref(), next, 0);
        Ok(is_next.then_some(next))
    }

    /// Place in the segment of the next intact record whose magic is in `from .. to` and that lies where it says.
    ///
    /// Reads the file and not the mapping: most of what is searched was never written, and a hole that is looked at
    /// through a mapping takes space, which a full disk in memory does not have.
    fn find(
        &self,
        segment: &dyn Segment,
        base: u64,
        mut from: u64,
        to: u64,
    ) -> std::io::Result<Option<u64>> {
        let file = self.files.open_read(base)?;
        let mut window = vec![0; usize::try_from(SEARCH_STEP).unwrap_or(usize::MAX)];
        while from < to {
            let step = usize::try_from(to - from).unwrap_or(usize::MAX);
            let step = step.min(window.len());
            let read = file.read_at(from, window.get_mut(..step).unwrap_or_default())?;
            let bytes = window.get(..read).unwrap_or_default();
            // Magics of both versions begin with the same three bytes.
            for index in memchr::memmem::find_iter(bytes, &record::MAGIC_V1.to_be_bytes()[..3]) {
                let Some(at) = (from + index as u64).checked_sub(4) else {
                    continue;
                };
                if self.is_next(segment, base, at) {
                    return Ok(Some(at));
                }
            }
            if read < step {
                break;
            }
            // The last bytes may begin a magic that the next window completes.
            from += (step.max(4) - 3) as u64;
        }
        Ok(None)
    }

    /// Whether an intact record lies at `at` that can follow those before the damage, or the blank that ends a segment.
    fn is_next(&self, segment: &dyn Segment, base: u64, at: u64) -> bool {
        let len = segment.len();
        let seen = look(segment, at, len, |bytes| {
            Ok(match judge(bytes, base + at, base, self.bounds) {
                Judged::Record(record) if record.store_timestamp >= self.after => {
                    Seen::Record(record.size, ControlFlow::Continue(()))
                }
                _ => Seen::Nothing,
            })
        });
        matches!(seen, Ok(Seen::Record(..) | Seen::Blank))
    }
}

enum Seen {
    Record(usize, ControlFlow<()>),
    Blank,
    /// A record whose body is damaged, and its size.
    Skippable(usize),
    Nothing,
}

/// Shows the bytes of the record at `at`, as long as its head says, to `judge`.
fn look(
    segment: &dyn Segment,
    at: u64,
    len: u64,
    judge: impl FnOnce(&[u8]) -> Result<Seen, StoreError>,
) -> Result<Seen, StoreError> {
    let Some(head) = segment.view(at, BLANK_BYTES) else {
        return Ok(Seen::Nothing);
    };
    if let RecordCheck::Blank { size } = record::check(&head) {
        let is_rest = at + size as u64 == len;
        return Ok(if is_rest { Seen::Blank } else { Seen::Nothing });
    }
    let size = head
        .first_chunk()
        .map_or(0, |size| i32::from_be_bytes(*size));
    let size = usize::try_from(size).unwrap_or(0);
    if size < MIN_BYTES || at + size as u64 > len {
        return Ok(Seen::Nothing);
    }
    match segment.view(at, size) {
        Some(bytes) => judge(&bytes),
        None => Ok(Seen::Nothing),
    }
}

/// Whether part of the record never reached the disk although its body's CRC is right: a sector's share of the topic and
/// properties that is all zero, or no store time.
pub(crate) fn is_torn(record: &RecordView<'_>, at: u64) -> bool {
    if sabotage::is(Sabotage::TornAccepted) {
        return false;
    }
    if record.store_timestamp <= 0 {
        return true;
    }
    let end = at + record.size as u64;
    let properties = end - record.properties.len() as u64;
    let topic = properties - 2 - record.topic.len() as u64;
    [(topic, record.topic), (properties, record.properties)]
        .into_iter()
        .any(|(start, bytes)| {
            let to_boundary = usize::try_from(start.next_multiple_of(SECTOR) - start).unwrap_or(0);
            let (first, rest) = bytes.split_at(to_boundary.min(bytes.len()));
            let mut shares = std::iter::once(first).chain(rest.chunks(SECTOR as usize));
            shares.any(|share| !share.is_empty() && share.iter().all(|byte| *byte == 0))
        })
}
