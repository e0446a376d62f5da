// SPDX-License-Identifier: Apache-2.0
//! The segments of a commit log, and single records of it.

use kerolox_protocol::message::record::{MAGIC_V1, MAGIC_V2, MIN_BYTES, RecordView};

use super::blocks::{Blocks, FileId};
use super::layout::StoreLayout;
use super::listing::{self, LenTally, Listed};
use super::report::Sink;
use crate::store::StoreError;
use crate::store::disk::Disk;

/// Longest record that is read; the longest that brokers take are far shorter.
pub(super) const MAX_RECORD: usize = 256 << 20;
/// Bytes of a record up to and with its own offset.
pub(super) const HEAD: usize = 36;
/// Blocks of the log that are kept for single reads: 8 MiB.
const BLOCK: usize = 64 * 1024;
const MAX_BLOCKS: usize = 128;

/// The segments of a commit log.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFiles {
    pub(super) segments: Vec<Listed>,
    /// Length of each, 0 without any.
    pub(super) segment_len: u64,
    /// Buffers with records that are not in the segments yet (`transientStorePoolEnable`), named like them.
    pub(super) buffers: Vec<Listed>,
}

impl LogFiles {
    /// Lists the segments of all directories and reports what is wrong with them.
    pub(super) fn find(
        disk: &dyn Disk,
        layout: &StoreLayout,
        len: Option<u64>,
        sink: &mut Sink,
    ) -> Result<Self, StoreError> {
        // First: what a running broker's buffer no longer has then is in a segment.
        let buffers = listing::list(disk, &layout.transient_pool_dir())?.segments;
        let dirs = layout.commit_log_dirs();
        let mut all = listing::Listing::default();
        for dir in &dirs {
            let listing = listing::list(disk, dir)?;
            all.segments.extend(listing.segments);
            all.foreign.extend(listing.foreign);
        }
        let mut tally = LenTally::default();
        tally.add(&all.segments);
        let fallback = all.segments.iter().map(|segment| segment.len).max();
        let len = len.or(tally.winner()).or(fallback).unwrap_or(0);
        let first = dirs.first().cloned().unwrap_or_default();
        Ok(Self {
            segments: all.check(&first, len.max(1), sink),
            segment_len: len,
            buffers,
        })
    }

    /// Offset of the first segment.
    pub(super) fn begin(&self) -> u64 {
        self.segments.first().map_or(0, |segment| segment.base)
    }

    /// Ranges between segments that are not there.
    pub(super) fn holes(&self) -> Vec<std::ops::Range<u64>> {
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        let gaps = pairs.map(|(one, next)| one.base + self.segment_len..next.base);
        gaps.filter(|gap| !gap.is_empty()).collect()
    }

    /// The segment that holds `position`, else the next one.
    pub(super) fn at_or_after(&self, position: u64) -> Option<&Listed> {
        self.segments.get(self.first_ending_after(position))
    }

    /// The segment that holds `position`.
    pub(super) fn at(&self, position: u64) -> Option<&Listed> {
        self.segments.get(self.index_at(position)?)
    }

    fn index_at(&self, position: u64) -> Option<usize> {
        let index = self.first_ending_after(position);
        let segment = self.segments.get(index)?;
        (segment.base <= position).then_some(index)
    }

    fn first_ending_after(&self, position: u64) -> usize {
        self.segments
            .partition_point(|segment| segment.base + self.segment_len <= position)
    }
}

/// Size of the record that starts with `head`, if it says that it lies at `position`; else why it does not.
pub(super) fn own_size(head: &[u8], position: u64) -> Result<usize, String> {
    let int = |at: usize| {
        let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| i32::from_be_bytes(*bytes))
    };
    let own = head.get(28..).and_then(|rest| rest.first_chunk());
    let own = own.map(|bytes| i64::from_be_bytes(*bytes));
    let (Some(size), Some(magic), Some(own)) = (int(0), int(4), own) else {
        return Err("the segment ends".to_owned());
    };
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return Err(format!("no record starts here (magic {magic:#010X})"));
    }
    if own != position.cast_signed() {
        return Err(format!("the record says that it lies at {own}"));
    }
    match usize::try_from(size) {
        Ok(size) if (MIN_BYTES..=MAX_RECORD).contains(&size) => Ok(size),
        _ => Err(format!("a record can not have {size} bytes")),
    }
}

/// Single records of a log.
pub(super) struct Records<'d> {
    files: LogFiles,
    ids: Vec<FileId>,
    buffers: Vec<(u64, FileId)>,
    blocks: Blocks<'d>,
    bytes: Vec<u8>,
}

impl<'d> Records<'d> {
    pub(super) fn new(disk: &'d dyn Disk, files: LogFiles) -> Self {
        let mut blocks = Blocks::new(disk, BLOCK, MAX_BLOCKS);
        let paths = files.segments.iter().map(|segment| segment.path.clone());
        let ids = paths.map(|path| blocks.add(path)).collect();
        let buffers = add_buffers(&mut blocks, &files);
        Self {
            files,
            ids,
            buffers,
            blocks,
            bytes: Vec::new(),
        }
    }

    /// Takes in what a running broker made meanwhile.
    pub(super) fn refresh(&mut self, files: LogFiles) {
        self.blocks.forget();
        self.buffers = add_buffers(&mut self.blocks, &files);
        for segment in files.segments {
            if self.files.at(segment.base).is_none() {
                self.ids.push(self.blocks.add(segment.path.clone()));
                self.files.segments.push(segment);
            }
        }
    }

    /// The record at `offset`, if one is there that says so; its body is not checked.
    pub(super) fn at(&mut self, offset: i64) -> Result<Option<RecordView<'_>>, StoreError> {
        let Ok(position) = u64::try_from(offset) else {
            return Ok(None);
        };
        self.bytes.clear();
        let segment = self.files.index_at(position);
        let segment = segment.and_then(|index| {
            let base = self.files.segments.get(index)?.base;
            Some((base, *self.ids.get(index)?))
        });
        let len = self.files.segment_len;
        let is_of =
            |(base, _): &&(u64, FileId)| (*base..base.saturating_add(len)).contains(&position);
        let buffer = self.buffers.iter().find(is_of).copied();
        // In the order in which a running broker moves records.
        for (base, file) in buffer.into_iter().chain(segment) {
            let at = position - base;
            self.blocks.read(file, at, HEAD, &mut self.bytes)?;
            let size = own_size(&self.bytes, position).unwrap_or(0);
            if size == 0 || at + size as u64 > len {
                continue;
            }
            self.blocks.read(file, at, size, &mut self.bytes)?;
            if RecordView::parse(&self.bytes).is_ok() {
                break;
            }
        }
        Ok(RecordView::parse(&self.bytes)
            .ok()
            .filter(|record| record.physical_offset == offset))
    }
}

fn add_buffers(blocks: &mut Blocks<'_>, files: &LogFiles) -> Vec<(u64, FileId)> {
    let buffers = files.buffers.iter();
    buffers
        .map(|buffer| (buffer.base, blocks.add(buffer.path.clone())))
        .collect()
}
