// SPDX-License-Identifier: Apache-2.0
//! Finding the end of a piece of text, and what JSON escapes: eight bytes at a time and in place, as text is mostly short and
//! a wide search costs a call.

const WORD: usize = 8;
const LOW_BITS: u64 = u64::from_ne_bytes([1; WORD]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; WORD]);
/// From here on a wide search pays. A unique key of a message and its end are nearer.
const NEAR: usize = 5 * WORD;

/// Where the first byte of a value is in `text`.
#[inline]
pub(crate) fn one<const BYTE: u8>(text: &[u8]) -> Option<usize> {
    either::<BYTE, BYTE>(text)
}

/// Where the first of two byte values is in `text`.
#[inline]
pub(crate) fn either<const ONE: u8, const OTHER: u8>(text: &[u8]) -> Option<usize> {
    match text.first_chunk().and_then(in_word::<ONE, OTHER>) {
        Some(at) => Some(at),
        None => behind_a_word::<ONE, OTHER>(text),
    }
}

/// As [`either`]; the first word, if there is one, has neither.
#[inline(never)]
fn behind_a_word<const ONE: u8, const OTHER: u8>(text: &[u8]) -> Option<usize> {
    let (near, far) = text.split_at_checked(NEAR).unwrap_or((text, &[]));
    let (words, rest) = near.as_chunks();
    for (number, word) in words.iter().enumerate().skip(1) {
        if let Some(at) = in_word::<ONE, OTHER>(word) {
            return Some(number * WORD + at);
        }
    }
    let is_wanted = |byte: &u8| *byte == ONE || *byte == OTHER;
    if let Some(at) = rest.iter().position(is_wanted) {
        return Some(words.len() * WORD + at);
    }
    if far.is_empty() {
        return None;
    }
    Some(NEAR + memchr::memchr2(ONE, OTHER, far)?)
}

#[inline]
fn in_word<const ONE: u8, const OTHER: u8>(word: &[u8; WORD]) -> Option<usize> {
    let word = u64::from_le_bytes(*word);
    let marks = zeros(word ^ (LOW_BITS * ONE as u64)) | zeros(word ^ (LOW_BITS * OTHER as u64));
    (marks != 0).then_some(marks.trailing_zeros() as usize / WORD)
}

/// Whether JSON takes the text as it is: no quote, no backslash, nothing below a space. Nearly all text is.
pub(crate) fn is_plain_in_json(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    // Without a branch for each word; the last bytes are looked at with some before them.
    let of_words = words.iter().fold(0, |any, word| any | special(word));
    match text.last_chunk() {
        Some(last) => of_words | special(last) == 0,
        None => rest
            .iter()
            .all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\'),
    }
}

/// Not 0 if a byte of the word can not be in a JSON string as it is.
#[inline]
fn special(word: &[u8; WORD]) -> u64 {
    let word = u64::from_le_bytes(*word);
    let below_space = word.wrapping_sub(LOW_BITS * b' ' as u64) & !word & HIGH_BITS;
    below_space | zeros(word ^ (LOW_BITS * b'"' as u64)) | zeros(word ^ (LOW_BITS * b'\\' as u64))
}

/// Has the high bit of the lowest byte that is 0, and none below it.
const fn zeros(word: u64) -> u64 {
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
        ) {
            let expected = |one: u8, other: u8| text.iter().position(|byte| *byte == one || *byte == other);
            prop_assert_eq!(either::<1, 2>(&text), expected(1, 2));
            prop_assert_eq!(either::<0, 0x80>(&text), expected(0, 0x80));
            prop_assert_eq!(either::<3, 0xFF>(&text), expected(3, 0xFF));
        }

        #[test]
        fn text_is_plain_as_a_look_at_each_byte_says(
            text in proptest::collection::vec(prop_oneof![30_u8..38, 90_u8..94, any::<u8>(), Just(b'x')], 0..40),
            plain in "[a-z\u{7F}-\u{FF} ]{0,40}",
        ) {
            let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
            prop_assert_eq!(is_plain_in_json(&text), text.iter().all(is_plain));
            prop_assert!(is_plain_in_json(plain.as_bytes()));
        }

        #[test]
        fn finds_what_is_far(before in 0_usize..100, after in 0_usize..20) {
            let text = [vec![b'x'; before], vec![b'"'; after]].concat();
            prop_assert_eq!(either::<b'"', b'\\'>(&text), (after > 0).then_some(before));
        }
    }
}
