// SPDX-License-Identifier: Apache-2.0
//! Numbered and checksummed bodies.
//!
//! ```text
//! 0  u32  CRC-32 of everything after it
//! 4  u64  number, big-endian
//! 12 ...  filler derived from the number
//! ```

/// Smallest body.
pub(super) const MIN_BYTES: usize = 16;

/// Writes body `number` of `length` bytes into `out`, which has that length.
pub(super) fn write(out: &mut [u8], number: u64) {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    if let Some(filler) = out.get_mut(12..) {
        for chunk in filler.chunks_mut(8) {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let bytes = state.to_le_bytes();
            let length = chunk.len();
            chunk.copy_from_slice(bytes.get(..length).unwrap_or_default());
        }
    }
    if let Some((field, content)) = out.split_first_chunk_mut::<4>()
        && let Some(head) = content.first_chunk_mut::<8>()
    {
        *head = number.to_be_bytes();
        *field = crc32fast::hash(content).to_be_bytes();
    }
}

/// The number of a body; `None` if it is damaged.
pub(super) fn check(body: &[u8]) -> Option<u64> {
    let (crc, content) = body.split_first_chunk::<4>()?;
    let number = u64::from_be_bytes(*content.first_chunk::<8>()?);
    (u32::from_be_bytes(*crc) == crc32fast::hash(content)).then_some(number)
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
