// SPDX-License-Identifier: Apache-2.0
//! The property that holds the CRC of the whole record before it (store.md 2.6): the last 20 bytes of the properties,
//! `__CRC32#`, U+0001, ten decimal digits with the least significant first, U+0002.

/// Name of the property.
pub const CRC_PROPERTY: &str = "__CRC32#";
/// Bytes that it takes, separators included.
pub const CRC_PROPERTY_BYTES: usize = 20;
/// What stands there until [`patch_crc`] is called; to be the last piece of a record's properties.
pub const CRC_PLACEHOLDER: &str = "__CRC32#\u{1}0000000000\u{2}";

/// Where the digits stand in the property.
const DIGITS: std::ops::Range<usize> = 9..19;

/// Computes the CRC of a record whose other fields are all final and writes it into the placeholder at its end. Returns
/// `false`, changing nothing, if there is none.
pub fn patch_crc(record: &mut [u8]) -> bool {
    let Some((before, property)) =
        split(record.len()).and_then(|at| record.split_at_mut_checked(at))
    else {
        return false;
    };
    if !property.starts_with(CRC_PROPERTY.as_bytes()) {
        return false;
    }
    let Some(digits) = property.get_mut(DIGITS) else {
        return false;
    };
    digits.copy_from_slice(&to_digits(crc(before)));
    true
}

/// Whether a record has the CRC that its last property says; `None` if it has no such property.
pub fn is_crc_intact(record: &[u8]) -> Option<bool> {
    let (before, property) = record.split_at_checked(split(record.len())?)?;
    if !property.starts_with(CRC_PROPERTY.as_bytes()) {
        return None;
    }
    Some(property.get(DIGITS)? == to_digits(crc(before)))
}

fn split(len: usize) -> Option<usize> {
    len.checked_sub(CRC_PROPERTY_BYTES)
}

fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) & 0x7FFF_FFFF
}

fn to_digits(mut crc: u32) -> [u8; 10] {
    let mut digits = [b'0'; 10];
    for digit in &mut digits {
        // The remainder is one digit.
        *digit = b'0' + u8::try_from(crc % 10).unwrap_or(0);
        crc /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_worked_examples() {
        assert_eq!(&to_digits(907_060_870), b"0780607090");
        assert_eq!(&to_digits(1_896_494_953), b"3594946981");
        assert_eq!(CRC_PLACEHOLDER.len(), CRC_PROPERTY_BYTES);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut record = b"head body topic TAGS\x01A\x02".to_vec();
        record.extend_from_slice(CRC_PLACEHOLDER.as_bytes());
        assert_eq!(is_crc_intact(&record), Some(false));
        assert!(patch_crc(&mut record));
        assert_eq!(is_crc_intact(&record), Some(true));
        for bit in 0..record.len() * 8 {
            record[bit / 8] ^= 1 << (bit % 8);
            // The separators of the property itself carry nothing.
            let at = bit / 8 + CRC_PROPERTY_BYTES;
            let is_separator = at == record.len() + 8 || at == record.len() + 19;
            assert_eq!(is_crc_intact(&record) == Some(true), is_separator);
            record[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(!patch_crc(&mut [0; 19]) && !patch_crc(&mut [0; 40]));
        assert_eq!(is_crc_intact(b"short"), None);
    }
}
