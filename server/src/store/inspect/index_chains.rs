// SPDX-License-Identifier: Apache-2.0
//! The chains of one index file: each entry must name the one before it in its slot, each slot its newest entry.

use std::collections::HashMap;

use super::finding::Finding;
use super::index_files::{IndexFile, Taken};
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::disk::{Disk, ReadAt};
use crate::store::index::layout::{ENTRY_BYTES, Entry, HEADER_BYTES, SLOT_BYTES, Shape};

/// Wrong entries that are remembered, for chains that lead through them.
const MAX_WRONG: usize = 1 << 16;
/// Entries that are followed from a slot that is ahead of the header.
const MAX_AHEAD: usize = 10_000;
/// Bytes of slots read at a time.
const CHUNK: usize = 64 * 1024;

/// An entry that was compared with its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) taken: Taken,
    /// The hash that it has or should have.
    pub(super) key_hash: i32,
    /// Whether it was reported.
    pub(super) is_wrong: bool,
}

/// What the entries seen so far say about the slots.
pub(super) struct Chains {
    shape: Shape,
    /// Newest entry of each slot: 20 MB with the default number of slots.
    heads: Vec<u32>,
    used: i32,
    first: Option<Placed>,
    last: Option<Placed>,
    /// Wrong entries, and what each names as the one before it.
    wrong: HashMap<u32, u32>,
}

impl Chains {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            heads: vec![0; shape.slots as usize],
            used: 0,
            first: None,
            last: None,
            wrong: HashMap::new(),
        }
    }

    /// Adds the next entry.
    pub(super) fn add(&mut self, placed: Placed, file: &IndexFile, sink: &mut Sink) {
        self.first.get_or_insert(placed);
        self.last = Some(placed);
        let (number, found) = (placed.taken.number, placed.taken.entry.previous);
        let slot = placed.key_hash.cast_unsigned() % self.shape.slots.max(1);
        let Some(head) = self.heads.get_mut(slot as usize) else {
            return;
        };
        if found != *head {
            if placed.is_wrong {
                // Nobody knows in which chain it is.
                if self.wrong.len() < MAX_WRONG {
                    self.wrong.insert(number, found);
                }
                return;
            }
            let mut through = found;
            while let Some(before) = self.wrong.get(&through).filter(|before| **before < through) {
                through = *before;
            }
            if through != *head {
                sink.find(Finding::IndexChain {
                    file: text(&file.path),
                    number,
                    found,
                    expected: *head,
                });
            }
        }
        self.used += i32::from(*head == 0);
        *head = number;
    }

    /// Compares slots and header after the last entry. With `is_moving` the file may be ahead of its header.
    pub(super) fn finish(
        self,
        disk: &dyn Disk,
        file: &IndexFile,
        is_moving: bool,
        sink: &mut Sink,
    ) -> Result<(), StoreError> {
        let mut report = |reason: String| {
            sink.find(Finding::IndexHeader {
                file: text(&file.path),
                reason,
            });
        };
        let header = &file.header;
        if let Some(first) = self.first.filter(|first| !first.is_wrong)
            && first.taken.entry.physical_offset != header.begin_offset
        {
            let (says, is) = (header.begin_offset, first.taken.entry.physical_offset);
            report(format!("it says begin offset {says}, the first entry {is}"));
        }
        if let Some(last) = self.last.filter(|last| !last.is_wrong && !is_moving)
            && last.taken.entry.physical_offset != header.end_offset
        {
            let (says, is) = (header.end_offset, last.taken.entry.physical_offset);
            report(format!("it says end offset {says}, the last entry {is}"));
        }
        if !is_moving && self.wrong.is_empty() && header.used_slots != self.used {
            let (says, is) = (header.used_slots, self.used);
            report(format!("it says {says} used slots, {is} are"));
        }
        let handle = disk
            .open_read(&file.path)
            .map_err(StoreError::io("open", &file.path))?;
        self.check_slots(handle.as_ref(), file, is_moving, sink)
            .map_err(StoreError::io("read", &file.path))
    }

    fn check_slots(
        &self,
        handle: &dyn ReadAt,
        file: &IndexFile,
        is_moving: bool,
        sink: &mut Sink,
    ) -> std::io::Result<()> {
        let per_chunk = CHUNK / SLOT_BYTES as usize;
        let mut bytes = vec![0; CHUNK];
        for (index, heads) in self.heads.chunks(per_chunk).enumerate() {
            let at = HEADER_BYTES + (index * CHUNK) as u64;
            let read = handle.read_at(at, &mut bytes)?;
            let found = bytes.get(..read).unwrap_or_default().chunks_exact(4);
            for (slot, (four, expected)) in (index * per_chunk..).zip(found.zip(heads)) {
                let Some(four) = four.first_chunk() else {
                    break;
                };
                let found = i32::from_be_bytes(*four);
                let mut newest = found.cast_unsigned();
                if newest == *expected {
                    continue;
                }
                if is_moving {
                    newest = self.behind(handle, newest, file.header.count)?;
                }
                while let Some(before) = self.wrong.get(&newest).filter(|before| **before < newest)
                {
                    newest = *before;
                }
                if newest != *expected {
                    sink.find(Finding::IndexSlot {
                        file: text(&file.path),
                        slot: u32::try_from(slot).unwrap_or(u32::MAX),
                        found,
                        expected: *expected,
                    });
                }
            }
        }
        Ok(())
    }

    /// The newest entry of a chain that the header counts.
    fn behind(&self, handle: &dyn ReadAt, mut newest: u32, count: u32) -> std::io::Result<u32> {
        for _ in 0..MAX_AHEAD {
            if newest < count || newest >= self.shape.entries {
                break;
            }
            let mut bytes = [0; ENTRY_BYTES as usize];
            handle.read_at(self.shape.entry_at(newest), &mut bytes)?;
            newest = Entry::decode(&bytes).map_or(0, |entry| entry.previous);
        }
        Ok(newest)
    }
}
