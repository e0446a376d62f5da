// SPDX-License-Identifier: Apache-2.0
//! Body compression: zlib streams, LZ4 frames and Zstandard frames (wire.md 5.3).
//!
//! Brokers never transcode: the stored body is what the producer compressed, and the consumer decompresses it.

use std::io::{Read, Write};

use thiserror::Error;

use super::sys_flag;

/// Largest Zstandard window that is accepted, as a power of two (8 MiB): it bounds the decoder's memory.
const ZSTD_MAX_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionType {
    /// LZ4 frame format (not block format).
    Lz4,
    /// Zstandard frame.
    Zstd,
    /// RFC 1950 stream; the clients' default.
    #[default]
    Zlib,
}

/// Why a body could not be compressed or decompressed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// Bits 8-10 of the flag name no known type.
    #[error("unknown compression type {0}")]
    UnknownType(i32),
    /// The decompressed body would be too long.
    #[error("the body is longer than {max} bytes when decompressed")]
    TooLong {
        /// Limit, bytes.
        max: usize,
    },
    /// The stream is damaged.
    #[error("the compressed body is damaged")]
    Damaged(#[source] std::io::Error),
}

impl CompressionType {
    /// Reads bits 8-10 of a sys flag; 0 and 3 are zlib (clients before 5.0 write 0).
    ///
    /// # Errors
    /// [`CompressionError::UnknownType`] for 4 to 7.
    pub const fn from_sys_flag(flag: i32) -> Result<Self, CompressionError> {
        match (flag & sys_flag::COMPRESSION_MASK) >> 8 {
            0 | 3 => Ok(Self::Zlib),
            1 => Ok(Self::Lz4),
            2 => Ok(Self::Zstd),
            other => Err(CompressionError::UnknownType(other)),
        }
    }

    /// The bits that mark a body compressed this way, [`sys_flag::COMPRESSED`] included.
    pub const fn sys_flag(self) -> i32 {
        sys_flag::COMPRESSED
            | match self {
                Self::Lz4 => 1 << 8,
                Self::Zstd => 2 << 8,
                Self::Zlib => 3 << 8,
            }
    }
}

/// Compresses `body`; `level` counts for zlib (0-9) and Zstandard (1-22), the reference's default is 5.
///
/// # Errors
/// [`CompressionError::Damaged`] if the encoder fails, which in-memory encoders do only for lack of memory.
pub fn compress(
    kind: CompressionType,
    level: u32,
    body: &[u8],
) -> Result<Vec<u8>, CompressionError> {
    let result = match kind {
        CompressionType::Zlib => {
            let level = flate2::Compression::new(level.min(9));
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::with_capacity(body.len() / 2), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        CompressionType::Lz4 => {
            let mut encoder =
                lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len() / 2));
            encoder.write_all(body).and_then(|()| {
                encoder
                    .finish()
                    .map_err(|error| std::io::Error::other(error.to_string()))
            })
        }
        CompressionType::Zstd => {
            zstd::bulk::compress(body, i32::try_from(level).unwrap_or(22).clamp(1, 22))
        }
    };
    result.map_err(CompressionError::Damaged)
}

/// Decompresses `body` to at most `max` bytes; memory grows with the bytes produced, not with lengths the stream claims.
///
/// # Errors
/// The stream is damaged or cut, or holds more than `max` bytes.
pub fn decompress(
    kind: CompressionType,
    body: &[u8],
    max: usize,
) -> Result<Vec<u8>, CompressionError> {
    match kind {
        CompressionType::Zlib => read_bounded(flate2::read::ZlibDecoder::new(body), max),
        CompressionType::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(body), max),
        CompressionType::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body)
                .map_err(CompressionError::Damaged)?;
            decoder
                .window_log_max(ZSTD_MAX_WINDOW_LOG)
                .map_err(CompressionError::Damaged)?;
            read_bounded(decoder, max)
        }
    }
}

fn read_bounded(reader: impl Read, max: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(limit)
        .read_to_end(&mut out)
        .map_err(CompressionError::Damaged)?;
    if out.len() > max {
        return Err(CompressionError::TooLong { max });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [CompressionType; 3] = [
        CompressionType::Lz4,
        CompressionType::Zstd,
        CompressionType::Zlib,
    ];

    #[test]
    fn flags_name_types() {
        for kind in ALL {
            assert_eq!(
                CompressionType::from_sys_flag(kind.sys_flag()).unwrap(),
                kind
            );
        }
        assert_eq!(
            CompressionType::from_sys_flag(1).unwrap(),
            CompressionType::Zlib
        );
        assert!(matches!(
            CompressionType::from_sys_flag(0x401),
            Err(CompressionError::UnknownType(4))
        ));
    }

    #[test]
    fn bombs_are_cut_at_the_limit() {
        for kind in ALL {
            let bomb = compress(kind, 5, &vec![0; 1 << 20]).unwrap();
            assert!(matches!(
                decompress(kind, &bomb, 1000),
                Err(CompressionError::TooLong { max: 1000 })
            ));
            assert_eq!(decompress(kind, &bomb, 1 << 20).unwrap().len(), 1 << 20);
        }
    }

    proptest! {
        #[test]
        fn bodies_round_trip(body in proptest::collection::vec(any::<u8>(), 0..2000), level in 0_u32..30) {
            for kind in ALL {
                let packed = compress(kind, level, &body).unwrap();
                prop_assert_eq!(decompress(kind, &packed, body.len()).unwrap(), body.clone());
            }
        }

        #[test]
        fn garbage_is_an_error_or_short(garbage in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in ALL {
                if let Ok(out) = decompress(kind, &garbage, 4096) {
                    prop_assert!(out.len() <= 4096);
                }
            }
        }
    }
}
