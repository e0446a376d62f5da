// SPDX-License-Identifier: Apache-2.0
//! One index file: inserting and searching entries (store.md 3.5, 3.6).
//!
//! Entries are gathered ([`IndexFile::add`]) and written many at a time ([`IndexFile::write`]), in an order that a killed
//! process can not spoil: the entries, the count that includes them, the slots that point to them, the end fields. A
//! record whose end fields are missing is simply inserted again.

use std::io;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::layout::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, SLOT_BYTES, Shape};
use crate::store::disk::{Disk, OpenSegment, SegmentWriter};

/// Space for entries that is reserved at a time, bytes.
const RESERVE_STEP: u64 = 4 << 20;

/// A file of the index. It is mapped when it is first needed.
pub(super) struct IndexFile {
    path: PathBuf,
    shape: Shape,
    pub(super) header: Header,
    gathered: Gathered,
    open: Option<Box<dyn SegmentWriter>>,
    /// Byte up to which space is reserved.
    reserved: u64,
    /// Everything inserted is on disk.
    pub(super) is_flushed: bool,
    /// Used since the last [`IndexFile::close_if_idle`].
    is_used: bool,
}

/// A key of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) hash: i32,
    /// Commit-log offset of the record.
    pub(super) offset: i64,
    /// Store time of the record, Unix milliseconds.
    pub(super) timestamp: i64,
}

/// Keys that are not in the file yet, and what is made of them, kept for its memory.
#[derive(Default)]
struct Gathered {
    keys: Vec<Key>,
    /// Newest entry of each key's slot before.
    chains: Vec<u32>,
    entries: Vec<u8>,
    /// Of each slot that they change, by its place: the number of its newest entry.
    newest: FxHashMap<u64, u32>,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub(super) key_hash: i32,
    pub(super) begin_ms: i64,
    pub(super) end_ms: i64,
}

impl IndexFile {
    /// Creates the file; its header's end fields continue those of the file before.
    pub(super) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        shape: Shape,
        before: Header,
    ) -> io::Result<Self> {
        let mut writer = disk.open_segment(&path, open(shape, true))?;
        let entries_at = shape.entry_at(0);
        let reserved = (entries_at + RESERVE_STEP).min(shape.file_len());
        let header = Header {
            begin_timestamp: before.end_timestamp,
            end_timestamp: before.end_timestamp,
            begin_offset: before.end_offset,
            end_offset: before.end_offset,
            used_slots: 0,
            count: 1,
        };
        let begun = writer
            .segment()
            .reserve(0, reserved)
            .and_then(|()| writer.write(0, &header.encode()));
        if let Err(error) = begun {
            // Not worth an error of its own: the next start finds a file without entries.
            disk.remove_file(&path).unwrap_or(());
            return Err(error);
        }
        Ok(Self {
            path,
            shape,
            header,
            gathered: Gathered::default(),
            open: Some(writer),
            reserved,
            is_flushed: false,
            is_used: true,
        })
    }

    /// Takes a file that is there, whose length must be the shape's.
    pub(super) fn load(disk: &dyn Disk, path: PathBuf, shape: Shape) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES as usize];
        disk.open_read(&path)?.read_at(0, &mut bytes)?;
        let header = Header::decode(&bytes).unwrap_or_default();
        Ok(Self {
            path,
            shape,
            header,
            gathered: Gathered::default(),
            open: None,
            reserved: 0,
            is_flushed: true,
            is_used: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.header.count <= 1
    }

    /// Whether no entry fits any more behind those that were gathered.
    pub(super) fn is_full(&self) -> bool {
        let gathered = u32::try_from(self.gathered.keys.len()).unwrap_or(u32::MAX);
        self.header.count.saturating_add(gathered) >= self.shape.entries
    }

    /// Whether the header can be one of this shape.
    pub(super) fn is_plausible(&self) -> bool {
        let header = &self.header;
        header.count <= self.shape.entries
            && header.begin_offset >= 0
            && header.begin_offset <= header.end_offset
            && header.begin_timestamp >= 0
            && (0..=i64::from(self.shape.slots)).contains(&header.used_slots.into())
    }

    /// Gathers a key; [`IndexFile::write`] puts it into the file.
    pub(super) fn add(&mut self, key: Key) {
        self.gathered.keys.push(key);
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// What was gathered is gone; of the file nothing changed, or it has entries without the end fields of their records.
    /// `StorageFull` if there is no space.
    pub(super) fn write(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.gathered.keys.is_empty() {
            return Ok(());
        }
        self.is_used = true;
        let mut gathered = std::mem::take(&mut self.gathered);
        let written = self.write_gathered(disk, &mut gathered);
        gathered.keys.clear();
        self.gathered = gathered;
        written
    }

    fn write_gathered(&mut self, disk: &dyn Disk, gathered: &mut Gathered) -> io::Result<()> {
        let shape = self.shape;
        let before = self.header;
        let after = self.make_entries(disk, gathered)?;
        self.reserve(disk, shape.entry_at(after.count))?;
        let mut writer = match self.open.take() {
            Some(writer) => writer,
            None => disk.open_segment(&self.path, open(shape, false))?,
        };
        // Through the file: a page of the mapping costs a fault, which reads far ahead into what was never written.
        writer.write_through(shape.entry_at(before.count), &gathered.entries)?;
        let bytes = after.encode();
        let field = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
        if before.count <= 1 {
            writer.write(0, field(0..8))?;
            writer.write(16, field(16..24))?;
        }
        writer.write(32, field(32..40))?;
        // From here on the numbers are taken, also if the rest fails: a slot may point to them.
        self.is_flushed = false;
        self.header = Header {
            end_timestamp: before.end_timestamp,
            end_offset: before.end_offset,
            ..after
        };
        for (slot_at, newest) in gathered.newest.drain() {
            writer.write(slot_at, &newest.to_be_bytes())?;
        }
        writer.write(24, field(24..32))?;
        writer.write(8, field(8..16))?;
        self.header = after;
        self.open = Some(writer);
        Ok(())
    }

    /// Makes entries of the gathered keys; returns what the header will be.
    fn make_entries(&mut self, disk: &dyn Disk, gathered: &mut Gathered) -> io::Result<Header> {
        let (count, shape) = (self.header.count, self.shape);
        // The slots lie far apart: all are asked for before the first is needed.
        let writer = self.writer(disk)?;
        let chain = |key: &Key| chain(writer.as_ref(), shape, count, shape.slot_at(key.hash));
        gathered.chains.clear();
        gathered.chains.extend(gathered.keys.iter().map(chain));
        gathered.entries.clear();
        gathered.newest.clear();
        let mut header = self.header;
        for (key, chain) in gathered.keys.iter().zip(&gathered.chains) {
            let number = header.count;
            let newest = gathered.newest.entry(shape.slot_at(key.hash));
            let slot = newest.or_insert(*chain);
            let previous = std::mem::replace(slot, number);
            if number <= 1 {
                header.begin_offset = key.offset;
                header.begin_timestamp = key.timestamp;
            }
            let elapsed = if header.begin_timestamp > 0 {
                (key.timestamp - header.begin_timestamp) / 1000
            } else {
                0
            };
            let entry = Entry {
                key_hash: key.hash,
                physical_offset: key.offset,
                seconds: i32::try_from(elapsed.max(0)).unwrap_or(i32::MAX),
                previous,
            };
            header.count += 1;
            // A write that failed may have counted the slot already.
            let most = i32::try_from(shape.slots).unwrap_or(i32::MAX);
            header.used_slots = (header.used_slots + i32::from(previous == 0)).min(most);
            header.end_offset = key.offset;
            header.end_timestamp = key.timestamp;
            gathered.entries.extend_from_slice(&entry.encode());
        }
        Ok(header)
    }

    /// Adds the commit-log offsets of matching entries, newest first, until there are `max`.
    ///
    /// Store times are known to the second here: a record is taken if any time in its second matches.
    pub(super) fn search(
        &mut self,
        disk: &dyn Disk,
        search: &Search,
        max: usize,
        found: &mut Vec<i64>,
    ) -> io::Result<()> {
        let (header, shape) = (self.header, self.shape);
        if self.is_empty()
            || search.begin_ms > header.end_timestamp
            || search.end_ms < header.begin_timestamp
        {
            return Ok(());
        }
        self.is_used = true;
        let writer = self.writer(disk)?;
        let slot_at = shape.slot_at(search.key_hash);
        let mut number = chain(writer.as_ref(), shape, header.count, slot_at);
        while number > 0 && number < header.count && found.len() < max {
            let bytes = peek(writer.as_ref(), shape.entry_at(number), ENTRY_BYTES);
            let Some(entry) = bytes.and_then(|bytes| Entry::decode(&bytes)) else {
                break;
            };
            let second = header.begin_timestamp + i64::from(entry.seconds) * 1000;
            if entry.seconds < 0 || second.saturating_add(999) < search.begin_ms {
                break;
            }
            if entry.key_hash == search.key_hash && second <= search.end_ms {
                found.push(entry.physical_offset);
            }
            // Chains lead to older entries; anything else is damage and could go round for ever.
            if entry.previous >= number {
                break;
            }
            number = entry.previous;
        }
        Ok(())
    }

    /// Makes everything inserted durable.
    pub(super) fn flush(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.is_flushed {
            return Ok(());
        }
        let len = self.shape.file_len();
        self.writer(disk)?.segment().flush(0, len)?;
        self.is_flushed = true;
        Ok(())
    }

    /// Unmaps the file if it was not used since the last call and needs no flush.
    pub(super) fn close_if_idle(&mut self) {
        if !std::mem::take(&mut self.is_used) && self.is_flushed {
            self.open = None;
        }
    }

    fn writer(&mut self, disk: &dyn Disk) -> io::Result<&mut Box<dyn SegmentWriter>> {
        let writer = match self.open.take() {
            Some(writer) => writer,
            None => disk.open_segment(&self.path, open(self.shape, false))?,
        };
        Ok(self.open.insert(writer))
    }

    fn reserve(&mut self, disk: &dyn Disk, to: u64) -> io::Result<()> {
        if to > self.reserved {
            let end = (to + RESERVE_STEP).min(self.shape.file_len());
            // A file that was loaded may have holes anywhere, in the slots too.
            let from = self.reserved;
            self.writer(disk)?.segment().reserve(from, end)?;
            self.reserved = end;
        }
        Ok(())
    }
}

fn open(shape: Shape, create: bool) -> OpenSegment {
    OpenSegment {
        len: shape.file_len(),
        create,
        readable: 0,
        head: &[],
    }
}

/// Number of the newest entry of the chain in a slot of a file with `count`, 0 for none.
fn chain(writer: &dyn SegmentWriter, shape: Shape, count: u32, slot_at: u64) -> u32 {
    let newest = peek(writer, slot_at, SLOT_BYTES).map_or(0, |bytes| {
        bytes
            .first_chunk()
            .map_or(0, |slot| u32::from_be_bytes(*slot))
    });
    if newest < count {
        return newest;
    }
    if newest > count {
        return 0;
    }
    // The reference's broker was killed between the slot and the count: its entry is written, but not counted, and
    // will be overwritten; the chain goes on behind it.
    let uncounted = peek(writer, shape.entry_at(newest), ENTRY_BYTES);
    let previous = uncounted.and_then(|bytes| Entry::decode(&bytes));
    previous.map_or(0, |entry| entry.previous).min(count - 1)
}

fn peek(writer: &dyn SegmentWriter, at: u64, len: u64) -> Option<std::borrow::Cow<'_, [u8]>> {
    writer.peek(at, usize::try_from(len).ok()?)
}
