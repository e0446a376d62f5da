// SPDX-License-Identifier: Apache-2.0
//! The keys of a record and their hashes (store.md 3.5).

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{properties, property, sys_flag};

/// Marks keys that are made of tags.
const TAG_KIND: &[u8] = b"T#";

/// What the index finds a record by, of its properties, as text or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys<T> {
    /// UNIQ_KEY.
    pub unique: Option<T>,
    /// KEYS: several, separated by spaces.
    pub keys: Option<T>,
    /// TAGS.
    pub tags: Option<T>,
}

impl<'a> Keys<&'a [u8]> {
    /// Those in a properties text in pieces, as in a [`kerolox_protocol::message::RecordFields`].
    pub fn of(pieces: &[&'a [u8]]) -> Self {
        const UNIQ_KEY: &[u8] = property::UNIQ_KEY.as_bytes();
        const KEYS: &[u8] = property::KEYS.as_bytes();
        const TAGS: &[u8] = property::TAGS.as_bytes();
        let mut keys = Self::default();
        for (name, value) in pieces.iter().flat_map(|piece| properties::scan(*piece)) {
            match name {
                UNIQ_KEY => keys.unique = Some(value),
                KEYS => keys.keys = Some(value),
                TAGS => keys.tags = Some(value),
                _ => {}
            }
        }
        keys
    }

    fn is_empty(&self) -> bool {
        self.unique.is_none() && self.keys.is_none() && self.tags.is_none()
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Keys<&'a T> {
    /// With this unique key if there is none.
    #[must_use]
    pub fn or_unique(self, unique: Option<&'a T>) -> Self {
        Self {
            unique: self.unique.or(unique),
            ..self
        }
    }

    /// As bytes.
    pub fn bytes(&self) -> Keys<&'a [u8]> {
        Keys {
            unique: self.unique.map(AsRef::as_ref),
            keys: self.keys.map(AsRef::as_ref),
            tags: self.tags.map(AsRef::as_ref),
        }
    }
}

/// Hashes `topic#key` without building the text; remembers the hash of the last topic.
#[derive(Default)]
pub(crate) struct KeyHasher {
    topic: Vec<u8>,
    prefix: i32,
}

impl KeyHasher {
    /// Calls `each` with the hash of each key of the record: the unique key, each of KEYS, and the tags.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(super) fn each_key<E>(
        &mut self,
        record: &RecordView<'_>,
        each: &mut dyn FnMut(i32) -> Result<(), E>,
    ) -> Result<(), E> {
        let keys = Keys::of(&[record.properties]);
        self.each_of(record.topic, record.sys_flag, &keys, each)
    }

    /// As [`KeyHasher::each_key`], of a record of the topic with these flags and keys.
    ///
    /// # Errors
    /// The first that `each` returns.
    pub(crate) fn each_of<E>(
        &mut self,
        topic: &[u8],
        sys_flag: i32,
        keys: &Keys<&[u8]>,
        mut each: impl FnMut(i32) -> Result<(), E>,
    ) -> Result<(), E> {
        if keys.is_empty() || sys_flag::transaction(sys_flag) == sys_flag::TRANSACTION_ROLLBACK {
            return Ok(());
        }
        self.take_topic(topic);
        if let Some(unique) = keys.unique {
            each(without_sign(extend(self.prefix, unique)))?;
        }
        let several = keys.keys.into_iter();
        for key in several.flat_map(|keys| keys.split(|byte| *byte == b' ')) {
            if !key.is_empty() {
                each(without_sign(extend(self.prefix, key)))?;
            }
        }
        match keys.tags {
            Some(tags) => each(without_sign(extend(extend(self.prefix, TAG_KIND), tags))),
            None => Ok(()),
        }
    }

    fn take_topic(&mut self, topic: &[u8]) {
        if self.topic != topic || self.topic.is_empty() {
            self.topic.clear();
            self.topic.extend_from_slice(topic);
            self.prefix = extend(extend(0, topic), b"#");
        }
    }
}

/// Goes on with the hash of a text: 31 times what was, plus the next UTF-16 unit. What is not UTF-8 stands for U+FFFD.
fn extend(before: i32, text: &[u8]) -> i32 {
    let mix = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    // As if it were ASCII, which it almost always is; whether it was shows at the end.
    let (eights, rest) = text.as_chunks::<8>();
    let (mut hash, mut seen) = (before, 0);
    for eight in eights {
        let word = u64::from_le_bytes(*eight);
        seen |= word;
        hash = hash
            .wrapping_mul(31_i32.wrapping_pow(8))
            .wrapping_add(hash_of_eight(word));
    }
    for byte in rest {
        seen |= u64::from(*byte);
        hash = mix(hash, (*byte).into());
    }
    if seen & 0x8080_8080_8080_8080 != 0 {
        let text = String::from_utf8_lossy(text);
        return text
            .encode_utf16()
            .fold(before, |hash, unit| mix(hash, unit.into()));
    }
    hash
}

/// The hash of the eight characters of a little-endian word: of pairs, of fours, of all.
fn hash_of_eight(word: u64) -> i32 {
    const EVEN_BYTES: u64 = 0x00FF_00FF_00FF_00FF;
    const EVEN_PAIRS: u64 = 0x0000_FFFF_0000_FFFF;
    let pairs = (word & EVEN_BYTES) * 31 + (word >> 8 & EVEN_BYTES);
    let fours = (pairs & EVEN_PAIRS) * 31_u64.pow(2) + (pairs >> 16 & EVEN_PAIRS);
    let (first, last) = (fours & 0xFFFF_FFFF, fours >> 32);
    ((first * 31_u64.pow(4) + last) as u32).cast_signed()
}

fn without_sign(hash: i32) -> i32 {
    hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::layout::key_hash;
    use super::*;

    #[test]
    fn hashes_are_those_of_the_joined_text() {
        for (topic, key) in [
            ("TopicTest", "KEY1"),
            ("t", "schlüssel\u{1F600}"),
            ("t", "a long key with one letter at its very end: ß"),
            ("", ""),
            ("BenchmarkTopic", "7F00000100012A139A5400000000002F~"),
            (
                "\u{7F}\u{7F}",
                "\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}\u{7F}",
            ),
        ] {
            let before = extend(extend(0, topic.as_bytes()), b"#");
            let hash = without_sign(extend(before, key.as_bytes()));
            assert_eq!(hash, key_hash(topic, key));
        }
        assert_eq!(
            without_sign(extend(
                extend(extend(extend(0, b"t"), b"#"), TAG_KIND),
                b"a"
            )),
            key_hash("t", "T#a")
        );
        assert_eq!(
            without_sign(extend(extend(0, b"t#k"), b"\xFF!")),
            key_hash("t", "k\u{FFFD}!")
        );
    }
}
