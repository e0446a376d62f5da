// SPDX-License-Identifier: Apache-2.0
//! Numbered bodies that show damage, and parts of other bodies in them.
//!
//! ```text
//! 0  u32  CRC-32 of the number
//! 4  u64  number, big-endian
//! 12 ...  the number again and again, cut at the end
//! ```

/// Smallest body.
pub(super) const MIN_BYTES: usize = 16;

/// Writes body `number` of `length` bytes into `out`, which has that length.
pub(super) fn write(out: &mut [u8], number: u64) {
    let number = number.to_be_bytes();
    if let Some((sum, content)) = out.split_first_chunk_mut() {
        *sum = crc32fast::hash(&number).to_be_bytes();
        let (whole, rest) = content.as_chunks_mut();
        whole.fill(number);
        rest.iter_mut()
            .zip(number)
            .for_each(|(to, from)| *to = from);
    }
}

/// The number of a body; `None` if it is damaged.
pub(super) fn check(body: &[u8]) -> Option<u64> {
    let (sum, content) = body.split_first_chunk()?;
    let (whole, rest) = content.as_chunks();
    let number = whole.first()?;
    let is_intact = u32::from_be_bytes(*sum) == crc32fast::hash(number)
        && whole.iter().all(|other| other == number)
        && rest.iter().zip(number).all(|(one, other)| one == other);
    is_intact.then_some(u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut body = vec![0; 40];
        write(&mut body, 77);
        assert_eq!(check(&body), Some(77));
        for at in 0..body.len() {
            body[at] ^= 1;
            assert_eq!(check(&body), None, "byte {at}");
            body[at] ^= 1;
        }
    }
}
