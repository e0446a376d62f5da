// SPDX-License-Identifier: Apache-2.0
//! Bodies that say their number and carry a checksum, so that a damaged, lost or doubled message is told from a good one.

/// A body that says its number and carries a checksum of the rest; its length follows from the number.
pub fn body(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number);
    let length = random.usize(20..900);
    let mut body = number.to_be_bytes().to_vec();
    body.extend(std::iter::repeat_with(|| random.u8(..)).take(length));
    let checksum = crc32fast::hash(&body);
    body.extend(checksum.to_be_bytes());
    body
}

/// The number of an undamaged body.
pub fn number(bytes: &[u8]) -> Option<u64> {
    let (content, checksum) = bytes.split_last_chunk::<4>()?;
    let number = u64::from_be_bytes(*content.first_chunk::<8>()?);
    let is_intact = crc32fast::hash(content) == u32::from_be_bytes(*checksum);
    (is_intact && bytes == body(number)).then_some(number)
}
