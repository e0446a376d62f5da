// SPDX-License-Identifier: Apache-2.0
//! The tag hash that consume queues hold and subscriptions compare (store.md 3.1, wire.md 6.4).

/// Java's `String.hashCode`: `h = 31 * h + unit` over UTF-16 code units, wrapping.
pub fn java_hash(text: &str) -> i32 {
    let mix = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if text.is_ascii() {
        return text
            .bytes()
            .fold(0, |hash, byte| mix(hash, i32::from(byte)));
    }
    text.encode_utf16()
        .fold(0, |hash, unit| mix(hash, i32::from(unit)))
}

/// The consume-queue code of a TAGS text: 0 without tags, else the sign-extended hash.
///
/// Messages waiting in the delay topic hold their deliver time there instead; the store computes that.
pub fn tags_code(tags: Option<&str>) -> i64 {
    match tags {
        Some(tags) if !tags.is_empty() => i64::from(java_hash(tags)),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_matches_the_reference() {
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("order-created"), -392_709_271);
        assert_eq!(java_hash("TopicTest#KEY1"), -1_656_969_516);
        // A character outside the basic plane counts as two units (0xD83D, 0xDE00).
        assert_eq!(java_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
        assert_eq!(tags_code(Some("A")), 65);
        assert_eq!(tags_code(Some("")), 0);
        assert_eq!(tags_code(Some("order-created")), -392_709_271);
    }
}
