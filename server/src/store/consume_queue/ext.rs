// SPDX-License-Identifier: Apache-2.0
//! The extension of a consume queue, `consumequeue_ext` (store.md 3.2): units of any length, whose addresses stand in the
//! queue's own units instead of tags codes.
//!
//! | at | field |
//! |---|---|
//! | 0 | i16 size of the unit; −1 closes a segment |
//! | 2 | i64 tags code |
//! | 10 | i64 store timestamp |
//! | 18 | i16 length of the bitmap |
//! | 20 | bitmap of the consumers whose filters match |
//!
//! With `enableConsumeQueueExt` appends write a unit without bitmap. Recovery writes tags codes into the queue itself,
//! which always is allowed, so an extension that is missing or wrong costs the queue a rebuild and nothing else.

use std::io;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::store::disk::SegmentWriter;
use crate::store::message_filter::StoredBits;
use crate::store::segments::SegmentFiles;

/// Size of a unit without bitmap.
const UNIT_LEN: usize = 20;
/// Bytes that stay free at the end of a segment, for the mark that closes it.
const END_LEN: u64 = 4;
/// Tags codes up to this are addresses; a code is an i32.
const MAX_ADDRESS: i64 = i32::MIN as i64 - 1;
/// Space reserved at a time, bytes.
const RESERVE_STEP: u64 = 64 * 1024;

/// A unit of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExtUnit {
    /// Hash of the tag; the deliver time in the delay topic.
    pub(crate) tags_code: i64,
    /// Store time of the record.
    pub(crate) store_timestamp: i64,
}

impl ExtUnit {
    /// The unit with the bits behind it; too many are left out.
    fn encode(self, bits: &[u8]) -> SmallVec<[u8; 64]> {
        let (size, bits_len, bits) = match i16::try_from(bits.len()) {
            Ok(len) if len <= i16::MAX - UNIT_LEN as i16 => (UNIT_LEN as i16 + len, len, bits),
            _ => (UNIT_LEN as i16, 0, &[][..]),
        };
        let mut bytes = SmallVec::new();
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&self.tags_code.to_be_bytes());
        bytes.extend_from_slice(&self.store_timestamp.to_be_bytes());
        bytes.extend_from_slice(&bits_len.to_be_bytes());
        bytes.extend_from_slice(bits);
        bytes
    }

    /// The unit at the start of `bytes` and its size.
    fn decode(bytes: &[u8]) -> Option<(Self, u64)> {
        let (size, rest) = bytes.split_first_chunk()?;
        let (tags_code, rest) = rest.split_first_chunk()?;
        let (store_timestamp, rest) = rest.split_first_chunk()?;
        let bitmap_len = i16::from_be_bytes(*rest.first_chunk()?);
        let size = i16::from_be_bytes(*size);
        let is_unit = bitmap_len >= 0 && i32::from(size) == 20 + i32::from(bitmap_len);
        let unit = Self {
            tags_code: i64::from_be_bytes(*tags_code),
            store_timestamp: i64::from_be_bytes(*store_timestamp),
        };
        (is_unit && unit.store_timestamp > 0).then_some((unit, u64::try_from(size).ok()?))
    }
}

/// Whether a tags code is the address of a unit of the extension.
pub(crate) fn is_address(tags_code: i64) -> bool {
    tags_code <= MAX_ADDRESS
}

/// The byte that an address means.
fn byte_of(address: i64) -> u64 {
    address.wrapping_sub(i64::MIN).cast_unsigned()
}

/// The extension of one queue.
pub(crate) struct QueueExt {
    pub(crate) files: SegmentFiles,
    /// Whether appends write to it.
    is_enabled: bool,
    tail: Mutex<Tail>,
}

#[derive(Default)]
struct Tail {
    /// Byte of the next unit, once it was looked up.
    end: Option<u64>,
    /// Units before are on disk.
    flushed: u64,
    open: Option<(u64, Box<dyn SegmentWriter>)>,
    reserved: u64,
}

impl QueueExt {
    /// The extension whose segments were found; appends write to it if it `is_enabled`.
    pub(crate) fn new(files: SegmentFiles, is_enabled: bool) -> Self {
        files.set_end(u64::MAX);
        Self {
            files,
            is_enabled,
            tail: Mutex::default(),
        }
    }

    /// Writes a unit with its bits and returns its address; the tags code itself if that is not possible or not wanted.
    pub(crate) fn put(&self, unit: ExtUnit, bits: &[u8]) -> i64 {
        if !self.is_enabled {
            return unit.tags_code;
        }
        match self.try_put(&mut self.tail.lock(), &unit.encode(bits)) {
            Ok(byte) => i64::MIN.wrapping_add_unsigned(byte),
            Err(error) => {
                tracing::warn!(%error, dir = %self.files.dir().display(), "a consume queue extension can not be written");
                unit.tags_code
            }
        }
    }

    fn try_put(&self, tail: &mut Tail, unit: &[u8]) -> io::Result<u64> {
        let len = self.files.segment_len();
        let unit_len = unit.len() as u64;
        if unit_len + END_LEN > len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut at = match tail.end {
            Some(end) => end,
            None => self.find_end()?,
        };
        let base = self.files.base_of(at);
        if at - base + unit_len + END_LEN > len {
            let writer = self.writer(tail, base, at, END_LEN)?;
            writer.write(at - base, &(-1_i16).to_be_bytes())?;
            writer.publish(len);
            at = base + len;
        }
        let base = self.files.base_of(at);
        let writer = self.writer(tail, base, at, unit_len)?;
        let place = at - base;
        writer.write(place, unit)?;
        writer.publish(place + unit_len);
        tail.end = Some(at + unit_len);
        Ok(at)
    }

    /// The writer of the segment at `base`, with space for `len` bytes at `at`.
    fn writer<'t>(
        &self,
        tail: &'t mut Tail,
        base: u64,
        at: u64,
        len: u64,
    ) -> io::Result<&'t mut Box<dyn SegmentWriter>> {
        let open = match tail.open.take() {
            Some((open, writer)) if open == base => writer,
            _ => {
                tail.reserved = at - base;
                self.files.set_end(at);
                if self.files.bases().contains(&base) {
                    self.files.open_tail(base)?
                } else {
                    let writer = self.files.create(base)?;
                    self.files.add(base, writer.segment());
                    writer
                }
            }
        };
        let needed = (at - base + len).min(self.files.segment_len());
        if needed > tail.reserved {
            let end = (needed + RESERVE_STEP).min(self.files.segment_len());
            open.segment().reserve(tail.reserved, end)?;
            tail.reserved = end;
        }
        Ok(&mut tail.open.insert((base, open)).1)
    }

    /// Where the chain of units ends in the newest segment.
    fn find_end(&self) -> io::Result<u64> {
        let Some(base) = self.files.last() else {
            return Ok(0);
        };
        let file = self.files.open_read(base)?;
        let mut at = 0;
        let mut bytes = [0; UNIT_LEN];
        loop {
            let read = file.read_at(at, &mut bytes)?;
            if read >= 2 && bytes.starts_with(&(-1_i16).to_be_bytes()) {
                return Ok(base + self.files.segment_len());
            }
            match ExtUnit::decode(bytes.get(..read).unwrap_or_default()) {
                Some((_, size)) => at += size,
                None => return Ok(base + at),
            }
        }
    }

    /// The unit at an address, if there is one.
    pub(crate) fn resolve(&self, address: i64) -> Option<ExtUnit> {
        let at = byte_of(address);
        let (base, segment) = self.files.segment(at).ok()??;
        let bytes = segment.view(at - base, UNIT_LEN)?;
        ExtUnit::decode(&bytes).map(|(unit, _)| unit)
    }

    /// What the unit at an address holds for filters.
    pub(crate) fn stored_bits(&self, address: i64) -> Option<StoredBits> {
        let at = byte_of(address);
        let (base, segment) = self.files.segment(at).ok()??;
        let (unit, size) = ExtUnit::decode(&segment.view(at - base, UNIT_LEN)?)?;
        let bytes = segment.view(at - base, usize::try_from(size).ok()?)?;
        Some(StoredBits {
            store_timestamp: unit.store_timestamp,
            bits: SmallVec::from_slice(bytes.get(UNIT_LEN..)?),
        })
    }

    /// Makes all units durable.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let (mut at, end) = {
            let tail = self.tail.lock();
            (tail.flushed, tail.end.unwrap_or(0))
        };
        while at < end {
            let base = self.files.base_of(at);
            let to = (base + self.files.segment_len()).min(end);
            if let Some((_, segment)) = self.files.segment(at)? {
                segment.flush(at - base, to - base)?;
            }
            at = to;
        }
        self.tail.lock().flushed = end;
        Ok(())
    }

    /// Removes segments before the one that an address of the queue's first unit means.
    pub(crate) fn remove_expired(&self, first: i64) -> io::Result<()> {
        let first = self.files.base_of(byte_of(first));
        for base in self.files.bases() {
            if base < first && self.files.last() != Some(base) {
                self.files.remove(base)?;
            }
        }
        Ok(())
    }

    /// Unmaps the files.
    pub(crate) fn close(&self) {
        let mut tail = self.tail.lock();
        tail.open = None;
        if let Some(end) = tail.end {
            self.files.set_end(end);
        }
        self.files.unmap_all();
    }

    /// Removes everything.
    pub(crate) fn delete(&self) -> io::Result<()> {
        *self.tail.lock() = Tail::default();
        self.files.remove_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_below_every_tags_code() {
        assert!(is_address(i64::MIN) && is_address(i64::from(i32::MIN) - 1));
        assert!(!is_address(i32::MIN.into()) && !is_address(0) && !is_address(1_700_000_000_000));
        assert_eq!(byte_of(i64::MIN + 40), 40);
    }

    #[test]
    fn unit_has_the_layout_of_the_reference() {
        let unit = ExtUnit {
            tags_code: 65,
            store_timestamp: 3,
        };
        let bytes = unit.encode(&[]);
        assert_eq!(bytes[..2], [0, 20]);
        assert_eq!((bytes[9], bytes[17], bytes[19]), (65, 3, 0));
        assert_eq!(ExtUnit::decode(&bytes), Some((unit, 20)));
        let with_bits = unit.encode(&[7; 14]);
        assert_eq!((with_bits[1], with_bits[19], with_bits[20]), (34, 14, 7));
        assert_eq!(ExtUnit::decode(&with_bits[..20]), Some((unit, 34)));
        let too_many = unit.encode(&[7; 32_748]);
        assert_eq!(ExtUnit::decode(&too_many), Some((unit, 20)));
        assert_eq!(ExtUnit::decode(&[0; 20]), None);
        assert_eq!(ExtUnit::decode(&bytes[..19]), None);
    }
}
