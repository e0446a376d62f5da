// SPDX-License-Identifier: Apache-2.0
//! The bytes of an index file (store.md 3.5): a header, hash slots, and entries that are chained from the newest to the
//! oldest of a slot. All integers are big-endian.
//!
//! | at | what |
//! |---|---|
//! | 0 | header, 40 bytes |
//! | 40 | `slots` × i32: number of the newest entry of the chain, 0 for none |
//! | 40 + 4 × slots | `entries` × 20 bytes; number 0 is unused |

use kerolox_protocol::message::tags::java_hash;

/// Size of the header.
pub(crate) const HEADER_BYTES: u64 = 40;
/// Size of a slot.
pub(crate) const SLOT_BYTES: u64 = 4;
/// Size of an entry.
pub(crate) const ENTRY_BYTES: u64 = 20;

/// How many slots and entries a file has; the files do not say it themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// (`maxHashSlotNum`).
    pub(crate) slots: u32,
    /// (`maxIndexNum`), one more than can be used.
    pub(crate) entries: u32,
}

impl Shape {
    /// Length of a file, bytes.
    pub(crate) const fn file_len(self) -> u64 {
        HEADER_BYTES + self.slots as u64 * SLOT_BYTES + self.entries as u64 * ENTRY_BYTES
    }

    /// Where the slot of a key hash lies.
    pub(crate) fn slot_at(self, key_hash: i32) -> u64 {
        let slot = key_hash.cast_unsigned() % self.slots.max(1);
        HEADER_BYTES + u64::from(slot) * SLOT_BYTES
    }

    /// Where an entry lies.
    pub(crate) fn entry_at(self, number: u32) -> u64 {
        HEADER_BYTES + u64::from(self.slots) * SLOT_BYTES + u64::from(number) * ENTRY_BYTES
    }
}

/// The header of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Store time of the first entry, Unix milliseconds.
    pub(crate) begin_timestamp: i64,
    /// Store time of the last entry.
    pub(crate) end_timestamp: i64,
    /// Commit-log offset of the first entry's record.
    pub(crate) begin_offset: i64,
    /// Commit-log offset of the last entry's record.
    pub(crate) end_offset: i64,
    /// Slots that are not empty.
    pub(crate) used_slots: i32,
    /// Number of the next entry; starts at 1.
    pub(crate) count: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.begin_timestamp.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_timestamp.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_offset.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// Reads a header; a count of 0 or less is read as 1. `None` if there are fewer than 40 bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES as usize] = bytes.first_chunk()?;
        let long = |at: usize| {
            let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
            chunk.map_or(0, |chunk| i64::from_be_bytes(*chunk))
        };
        let int = |at: usize| {
            let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
            chunk.map_or(0, |chunk| i32::from_be_bytes(*chunk))
        };
        Some(Self {
            begin_timestamp: long(0),
            end_timestamp: long(8),
            begin_offset: long(16),
            end_offset: long(24),
            used_slots: int(32),
            count: u32::try_from(int(36).max(1)).unwrap_or(1),
        })
    }
}

/// One key of one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// [`key_hash`].
    pub(crate) key_hash: i32,
    /// Commit-log offset of the record.
    pub(crate) physical_offset: i64,
    /// Seconds from the file's begin timestamp to the record's store time, 0 to `i32::MAX`.
    pub(crate) seconds: i32,
    /// Number of the next older entry of the chain, 0 for none.
    pub(crate) previous: u32,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES as usize] {
        let mut bytes = [0; ENTRY_BYTES as usize];
        bytes[0..4].copy_from_slice(&self.key_hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }

    /// Reads an entry; `None` if there are fewer than 20 bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (key_hash, rest) = bytes.split_first_chunk()?;
        let (physical_offset, rest) = rest.split_first_chunk()?;
        let (seconds, rest) = rest.split_first_chunk()?;
        Some(Self {
            key_hash: i32::from_be_bytes(*key_hash),
            physical_offset: i64::from_be_bytes(*physical_offset),
            seconds: i32::from_be_bytes(*seconds),
            previous: u32::from_be_bytes(*rest.first_chunk()?),
        })
    }
}

/// Hash of a key of a topic: that of `topic#key`, without sign.
pub(crate) fn key_hash(topic: &str, key: &str) -> i32 {
    let mut text = String::with_capacity(topic.len() + 1 + key.len());
    text.push_str(topic);
    text.push('#');
    text.push_str(key);
    java_hash(&text).checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_example_of_the_reference() {
        assert_eq!(key_hash("TopicTest", "KEY1"), 1_656_969_516);
        let shape = Shape {
            slots: 5_000_000,
            entries: 20_000_000,
        };
        assert_eq!(shape.file_len(), 420_000_040);
        assert_eq!(shape.slot_at(1_656_969_516), 40 + 1_969_516 * 4);
        assert_eq!(shape.entry_at(1), 40 + 20_000_000 + 20);
    }

    #[test]
    fn header_and_entry_round_trip() {
        let header = Header {
            begin_timestamp: 1,
            end_timestamp: 2,
            begin_offset: 3,
            end_offset: 4,
            used_slots: 5,
            count: 6,
        };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&[0; 40]).map(|header| header.count), Some(1));
        assert_eq!(Header::decode(&[0; 39]), None);
        let entry = Entry {
            key_hash: 1,
            physical_offset: 2,
            seconds: 3,
            previous: 4,
        };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        assert_eq!(Entry::decode(&[0; 19]), None);
    }
}
