// SPDX-License-Identifier: Apache-2.0
//! Walking the commit log record by record (store.md 6.2).
//!
//! Two kinds of damage must be told apart. Behind the last sync, anything may be missing after a power failure: the log
//! ends at the first record that is not whole. Before it, everything was on disk once, so damage is rot: it costs the
//! records it hits, the walk goes on at the next record, found by its magic and its own offset.

use std::ops::Range;

use kerolox_protocol::message::record::{self, BLANK_BYTES, MIN_BYTES, RecordCheck, RecordView};

use crate::store::StoreError;
use crate::store::disk::Segment;
use crate::store::segments::SegmentFiles;

/// Unit that a disk writes atomically, bytes.
const SECTOR: u64 = 512;
/// Bytes that are searched for the next record at a time.
const SEARCH_STEP: u64 = 64 * 1024;

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

/// Visits the records from `start` on. Everything before `flushed` was on disk once.
pub(crate) fn walk(
    files: &SegmentFiles,
    start: u64,
    flushed: u64,
    visit: &mut dyn FnMut(u64, &RecordView<'_>) -> Result<(), StoreError>,
) -> Result<WalkEnd, StoreError> {
    let len = files.segment_len();
    let mut walked = WalkEnd {
        end: start,
        ..WalkEnd::default()
    };
    loop {
        let position = walked.end;
        let found = files
            .segment(position)
            .map_err(StoreError::io("open a segment of", files.dir()))?;
        let Some((base, segment)) = found else {
            return Ok(walked);
        };
        let at = position - base;
        let resume = match look(segment.as_ref(), at, len, |bytes| {
            match record::check(bytes) {
                RecordCheck::Record(record)
                    if record.physical_offset == position.cast_signed()
                        && (position < flushed || !is_torn(&record, at)) =>
                {
                    visit(position, &record)?;
                    walked.records += 1;
                    walked.last_timestamp = walked.last_timestamp.max(record.store_timestamp);
                    walked.last_record = Some(position);
                    Ok(Seen::Record(record.size))
                }
                // The head is right, so the length is too.
                RecordCheck::Damaged {
                    size: Some(size), ..
                } if is_own(bytes, position) => Ok(Seen::Skippable(size)),
                _ => Ok(Seen::Nothing),
            }
        })? {
            Seen::Record(size) => {
                walked.end = position + size as u64;
                continue;
            }
            Seen::Blank => {
                walked.end = base + len;
                continue;
            }
            Seen::Skippable(size) => Some(position + size as u64),
            Seen::Nothing => None,
        };
        if position >= flushed {
            return Ok(walked);
        }
        let segment_end = (base + len).min(flushed);
        let resume = resume
            .or_else(|| {
                find_record(segment.as_ref(), base, at + 1, segment_end - base).map(|at| base + at)
            })
            .unwrap_or(segment_end);
        tracing::error!(
            from = position,
            to = resume,
            "the commit log is damaged; these records are lost"
        );
        walked.damaged.push(position..resume);
        walked.end = resume;
    }
}

enum Seen {
    Record(usize),
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
    if let RecordCheck::Blank { .. } = record::check(&head) {
        return Ok(Seen::Blank);
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

fn is_own(bytes: &[u8], position: u64) -> bool {
    RecordView::parse(bytes).is_ok_and(|record| record.physical_offset == position.cast_signed())
}

/// Whether part of the record never reached the disk although its body's CRC is right: a sector's share of the topic and
/// properties that is all zero, or no store time.
fn is_torn(record: &RecordView<'_>, at: u64) -> bool {
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

/// Place in the segment of the next consistent record whose magic is in `from .. to` and that lies where it says.
fn find_record(segment: &dyn Segment, base: u64, mut from: u64, to: u64) -> Option<u64> {
    let len = segment.len();
    while from < to {
        let step = usize::try_from((to - from).min(SEARCH_STEP)).ok()?;
        let window = segment.view(from, step)?;
        for (index, four) in window.windows(4).enumerate() {
            let magic = i32::from_be_bytes(*four.first_chunk()?);
            if magic != record::MAGIC_V1 && magic != record::MAGIC_V2 {
                continue;
            }
            let Some(at) = (from + index as u64).checked_sub(4) else {
                continue;
            };
            let size = segment
                .view(at, 4)
                .and_then(|head| Some(i32::from_be_bytes(*head.first_chunk()?)));
            let size = usize::try_from(size.unwrap_or(0)).unwrap_or(0);
            if at + size as u64 > len {
                continue;
            }
            let is_record = segment
                .view(at, size)
                .is_some_and(|bytes| is_own(&bytes, base + at));
            if is_record {
                return Some(at);
            }
        }
        // The last three bytes may begin a magic that the next window completes.
        from += (step.max(4) - 3) as u64;
    }
    None
}
