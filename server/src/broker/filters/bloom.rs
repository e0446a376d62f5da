// SPDX-License-Identifier: Apache-2.0
//! The bloom filter over consumer groups: which bits a group's filter has, and which bits a message has (server.md 10.5).

use kerolox_protocol::body::filter::BloomFilterData;

/// Size and number of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bloom {
    hashes: i32,
    bits: i32,
}

impl Bloom {
    /// For `expected` filters, with at most `error_percent` percent of messages that pass by chance.
    pub(crate) fn new(error_percent: i32, expected: i32) -> Self {
        let rate = f64::from(error_percent.clamp(1, 99)) / 100.0;
        let hashes = rate.log2().abs().ceil();
        let bits = f64::from(expected.max(1)) * (1.0 / rate).log2() * std::f64::consts::LOG2_E;
        let bytes = (bits.ceil() / 8.0).ceil().min(f64::from(MAX_BYTES));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "both are small whole numbers"
        )]
        let (hashes, bits) = ((hashes as i32).max(1), (bytes as i32).max(1) * 8);
        Self { hashes, bits }
    }

    /// The bits of a group's filter for a topic.
    pub(crate) fn of(self, group: &str, topic: &str) -> BloomFilterData {
        let hash = murmur3(format!("{group}#{topic}").as_bytes());
        let half = |part: u64| (part as u32).cast_signed();
        let (first, second) = (half(hash), half(hash >> 32));
        let bit = |n: i32| {
            let combined = first.wrapping_add(n.wrapping_mul(second));
            (if combined < 0 { !combined } else { combined }) % self.bits
        };
        BloomFilterData {
            bit_num: self.bits,
            bit_pos: (1..=self.hashes).map(bit).collect(),
        }
    }

    /// Whether bits were calculated by a filter of this shape.
    pub(crate) fn fits(self, data: &BloomFilterData) -> bool {
        data.bit_num == self.bits
            && i32::try_from(data.bit_pos.len()) == Ok(self.hashes)
            && data.bit_pos.iter().all(|bit| (0..self.bits).contains(bit))
    }

    /// Bytes of a message's bits.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.bits / 8).unwrap_or(0)
    }
}

/// A unit of a consume queue's extension holds no more.
const MAX_BYTES: i32 = 32_000;

/// Sets a filter's bits in those of a message.
pub(crate) fn set(bits: &mut [u8], data: &BloomFilterData) {
    for (byte, mask) in places(data) {
        if let Some(byte) = bits.get_mut(byte) {
            *byte |= mask;
        }
    }
}

/// Whether a message has all the bits of a filter.
pub(crate) fn has_all(bits: &[u8], data: &BloomFilterData) -> bool {
    places(data).all(|(byte, mask)| bits.get(byte).is_some_and(|byte| byte & mask != 0))
}

fn places(data: &BloomFilterData) -> impl Iterator<Item = (usize, u8)> + '_ {
    let bits = data.bit_pos.iter();
    bits.filter_map(|bit| Some((usize::try_from(bit / 8).ok()?, 1 << (bit & 7))))
}

/// The first half of Murmur3's 128-bit hash for 64-bit machines, seed 0.
fn murmur3(bytes: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix_1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix_2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let halves = |block: u128| (block as u64, (block >> 64) as u64);
    let (blocks, tail) = bytes.as_chunks::<16>();
    let (mut h1, mut h2) = (0_u64, 0_u64);
    for block in blocks {
        let (k1, k2) = halves(u128::from_le_bytes(*block));
        h1 = (h1 ^ mix_1(k1)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix_2(k2)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let rest = tail
        .iter()
        .rev()
        .fold(0_u128, |rest, byte| rest << 8 | u128::from(*byte));
    let (k1, k2) = halves(rest);
    let length = bytes.len() as u64;
    h1 ^= mix_1(k1) ^ length;
    h2 ^= mix_2(k2) ^ length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    finish(h1).wrapping_add(finish(h2))
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_murmur3() {
        for (text, expected) in [
            ("", 0),
            ("hello", 0xcbd8_a7b3_41bd_9b02),
            (
                "The quick brown fox jumps over the lazy dog",
                0xe34b_bc7b_bc07_1b6c,
            ),
        ] {
            assert_eq!(murmur3(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn shape_is_the_references() {
        let bloom = Bloom::new(20, 32);
        assert_eq!((bloom.hashes, bloom.bits, bloom.bytes()), (3, 112, 14));
        assert_eq!(
            Bloom::new(10, 128),
            Bloom {
                hashes: 4,
                bits: 616
            }
        );
        assert_eq!(
            Bloom::new(1, 1),
            Bloom {
                hashes: 7,
                bits: 16
            }
        );
        assert_eq!(Bloom::new(99, 1).hashes, 1);
    }

    #[test]
    fn bits_are_those_that_the_official_broker_gave() {
        for (name, bits) in [
            ("d_sql_lite", [75, 109, 0]),
            ("b_sql_lite", [11, 70, 103]),
            ("b_sql_push", [44, 24, 50]),
        ] {
            let data = Bloom::new(20, 32).of(&format!("{name}_group"), name);
            assert_eq!(data.bit_pos, bits, "{name}");
        }
    }

    #[test]
    fn a_message_has_the_bits_of_the_filters_it_passed() {
        let bloom = Bloom::new(20, 32);
        let (one, two) = (bloom.of("g1", "T"), bloom.of("g2", "T"));
        assert!(bloom.fits(&one) && one != two && one.bit_pos.len() == 3);
        let mut bits = vec![0; bloom.bytes()];
        assert!(!has_all(&bits, &one));
        set(&mut bits, &one);
        assert!(has_all(&bits, &one) && !has_all(&bits, &two));
        assert!(!has_all(&[], &one));
        let foreign = BloomFilterData {
            bit_num: 112,
            bit_pos: vec![1, 2, 112],
        };
        assert!(!bloom.fits(&foreign));
    }
}
