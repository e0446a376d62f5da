// SPDX-License-Identifier: Apache-2.0
//! Finding the end of a piece of text: eight bytes at a time and in place, as it is mostly near and a wide search costs a
//! call.

const WORD: usize = 8;
const LOW_BITS: u64 = u64::from_ne_bytes([1; WORD]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);
/// From here on a wide search pays.
const NEAR: usize = 4 * WORD;

/// Where the first of two byte values is in `text`.
pub(crate) fn either(text: &[u8], one: u8, other: u8) -> Option<usize> {
    let (near, far) = text.split_at_checked(NEAR).unwrap_or((text, &[]));
    let (words, rest) = near.as_chunks::<WORD>();
    let patterns = [one, other].map(|value| LOW_BITS * u64::from(value));
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ patterns[0]) | zeros(word ^ patterns[1]);
        if marks != 0 {
            return Some(number * WORD + marks.trailing_zeros() as usize / WORD);
        }
    }
    let is_wanted = |byte: &u8| *byte == one || *byte == other;
    if let Some(at) = rest.iter().position(is_wanted) {
        return Some(words.len() * WORD + at);
    }
    Some(NEAR + memchr::memchr2(one, other, far)?)
}

/// Has the high bit of the lowest byte that is 0, and none below it.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_search_byte_by_byte_finds(
            text in proptest::collection::vec(prop_oneof![0_u8..4, 0x7F_u8..0x84, any::<u8>()], 0..90),
            one in 0_u8..4,
            other in prop_oneof![Just(2_u8), Just(0x80), Just(0xFF)],
        ) {
            let expected = text.iter().position(|byte| *byte == one || *byte == other);
            prop_assert_eq!(either(&text, one, other), expected);
        }

        #[test]
        fn finds_what_is_far(before in 0_usize..100, after in 0_usize..20) {
            let text = [vec![b'x'; before], vec![b'"'; after]].concat();
            prop_assert_eq!(either(&text, b'"', b'\\'), (after > 0).then_some(before));
        }
    }
}
