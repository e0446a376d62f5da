// SPDX-License-Identifier: Apache-2.0
//! The keys of a record and their hashes (store.md 3.5).

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{properties, property, sys_flag};

/// Marks keys that are made of tags.
const TAG_KIND: &str = "T#";

/// Hashes `topic#key` without building the text; remembers the hash of the last topic.
#[derive(Default)]
pub(super) struct KeyHasher {
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
        if sys_flag::transaction(record.sys_flag) == sys_flag::TRANSACTION_ROLLBACK {
            return Ok(());
        }
        let text = record.properties();
        let (mut unique, mut keys, mut tags) = (None, None, None);
        for (name, value) in properties::scan(&text) {
            match name {
                property::UNIQ_KEY => unique = Some(value),
                property::KEYS => keys = Some(value),
                property::TAGS => tags = Some(value),
                _ => {}
            }
        }
        if unique.is_none() && keys.is_none() && tags.is_none() {
            return Ok(());
        }
        self.take_topic(record);
        if let Some(unique) = unique {
            each(without_sign(extend(self.prefix, unique)))?;
        }
        for key in keys.unwrap_or_default().split(' ') {
            if !key.is_empty() {
                each(without_sign(extend(self.prefix, key)))?;
            }
        }
        match tags {
            Some(tags) => each(without_sign(extend(extend(self.prefix, TAG_KIND), tags))),
            None => Ok(()),
        }
    }

    fn take_topic(&mut self, record: &RecordView<'_>) {
        if self.topic != record.topic || self.topic.is_empty() {
            self.topic.clear();
            self.topic.extend_from_slice(record.topic);
            self.prefix = extend(extend(0, &record.topic()), "#");
        }
    }
}

/// Goes on with the hash of a text: 31 times what was, plus the next UTF-16 unit.
fn extend(hash: i32, text: &str) -> i32 {
    const POWERS: [i32; 8] = {
        let mut powers = [1_i32; 8];
        let mut at = 7;
        while at > 0 {
            powers[at - 1] = powers[at].wrapping_mul(31);
            at -= 1;
        }
        powers
    };
    let mix = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if !text.is_ascii() {
        return text
            .encode_utf16()
            .fold(hash, |hash, unit| mix(hash, unit.into()));
    }
    // Eight at a time, so that the products do not wait for one another.
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let hash = eights.iter().fold(hash, |hash, eight| {
        let products = eight.iter().zip(POWERS);
        let sum = products.map(|(byte, power)| i32::from(*byte).wrapping_mul(power));
        let hash = hash.wrapping_mul(31_i32.wrapping_mul(POWERS[0]));
        sum.fold(hash, i32::wrapping_add)
    });
    rest.iter()
        .fold(hash, |hash, byte| mix(hash, (*byte).into()))
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
            ("", ""),
            ("BenchmarkTopic", "7F00000100012A139A5400000000002F~"),
        ] {
            let hash = without_sign(extend(extend(extend(0, topic), "#"), key));
            assert_eq!(hash, key_hash(topic, key));
        }
        assert_eq!(
            without_sign(extend(extend(extend(extend(0, "t"), "#"), TAG_KIND), "a")),
            key_hash("t", "T#a")
        );
    }
}
