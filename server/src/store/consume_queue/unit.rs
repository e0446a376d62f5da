// SPDX-License-Identifier: Apache-2.0
//! The unit of a consume queue: `i64 commit-log offset, i32 record size, i64 tags code`.

/// Size of a unit.
pub(crate) const UNIT_LEN: usize = 20;
/// Size of a unit.
pub(crate) const UNIT_BYTES: u64 = UNIT_LEN as u64;

/// Lies at the start of a segment that has no unit yet: offset 2^63 - 1, size 0. The reference, when it starts after a crash,
/// takes whatever it finds there for a unit and counts it, unless its record would lie behind the end of the log: then it
/// removes the segment.
pub(crate) const NONE_YET: [u8; UNIT_LEN] = [
    0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// Where one message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Commit-log offset of the record.
    pub(crate) physical_offset: i64,
    /// Size of the record, bytes.
    pub(crate) size: i32,
    /// Hash of the tag; the deliver time in the delay topic.
    pub(crate) tags_code: i64,
}

impl Unit {
    /// Stands for queue offsets that have no record: before the first one of a queue that starts late, or lost ones.
    pub(crate) const FILLER: Self = Self {
        physical_offset: 0,
        size: i32::MAX,
        tags_code: 0,
    };

    pub(crate) fn encode(&self) -> [u8; UNIT_LEN] {
        let mut bytes = [0; UNIT_LEN];
        bytes[0..8].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// Reads a unit; `None` if `bytes` has none that was written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let unit = Self {
            physical_offset: i64::from_be_bytes(*offset),
            size: i32::from_be_bytes(*size),
            tags_code: i64::from_be_bytes(*rest.first_chunk()?),
        };
        (unit.physical_offset >= 0 && unit.size > 0).then_some(unit)
    }

    /// Whether this is [`Unit::FILLER`].
    pub(crate) fn is_filler(&self) -> bool {
        self.size == i32::MAX
    }

    /// Commit-log offset after the record.
    pub(crate) fn end(&self) -> i64 {
        self.physical_offset.saturating_add(self.size.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_example_of_the_reference() {
        let unit = Unit {
            physical_offset: 1_048_576,
            size: 104,
            tags_code: 65,
        };
        let bytes = [
            0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x68, 0, 0, 0, 0, 0, 0, 0, 0x41,
        ];
        assert_eq!(unit.encode(), bytes);
        assert_eq!(Unit::decode(&bytes), Some(unit));
        assert_eq!(Unit::decode(&[0; 20]), None);
        assert_eq!(Unit::decode(&bytes[..19]), None);
        assert!(Unit::decode(&Unit::FILLER.encode()).is_some_and(|unit| unit.is_filler()));
        assert_eq!(Unit::decode(&NONE_YET), None);
    }
}
