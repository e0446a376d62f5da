// SPDX-License-Identifier: Apache-2.0
//! Step "frame" of the data's way: joins and splits length-prefixed frames.
//!
//! Before it: bytes of a socket in a `BytesMut`. After it: [`crate::command`], which decodes the header.
//!
//! ```text
//! offset 0  i32  length       bytes after this field = 4 + header length + body length
//!        4  u8   serialize type   0 = JSON, 1 = ROCKETMQ (binary)
//!        5  u24  header length
//!        8  header, then body
//! ```
//!
//! All integers are big-endian. The size limit lives here and nowhere else. Source: wire.md 1.1.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Largest legal frame in bytes, the length word included (the reference's `frameMaxLength`).
pub const MAX_FRAME_LENGTH: usize = 16 * 1024 * 1024;

/// Bytes before the header: the length word and the header-length word.
pub const PREFIX_LENGTH: usize = 8;

/// How the header of a frame is encoded. It is chosen per frame; both peers read both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SerializeType {
    /// A JSON object; the default of every client.
    #[default]
    Json,
    /// The fixed binary layout called `ROCKETMQ`.
    RocketMq,
}

impl SerializeType {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::RocketMq => 1,
        }
    }

    /// The reference's spelling, `JSON` or `ROCKETMQ`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::RocketMq => "ROCKETMQ",
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Json),
            1 => Some(Self::RocketMq),
            _ => None,
        }
    }
}

/// One frame: header and body are slices of the receive buffer, not copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Encoding of `header`.
    pub serialize_type: SerializeType,
    /// The undecoded header.
    pub header: Bytes,
    /// The body, empty if there is none.
    pub body: Bytes,
}

/// Why bytes are not a frame. Every one of them ends the connection, as in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length word is below 4 or the frame is over [`MAX_FRAME_LENGTH`].
    #[error("frame length {length} is outside 4..={max}", max = MAX_FRAME_LENGTH - 4)]
    Length {
        /// The length word as received.
        length: i64,
    },
    /// The header does not fit into the frame.
    #[error("header length {header} exceeds the frame's {available} bytes")]
    HeaderLength {
        /// The header length as received.
        header: usize,
        /// What the frame holds after its two length words.
        available: usize,
    },
    /// The serialize type is neither 0 (JSON) nor 1 (ROCKETMQ).
    #[error("unknown header encoding {0}, allowed are 0 (JSON) and 1 (ROCKETMQ)")]
    SerializeType(u8),
}

/// Takes the first complete frame off `buf`; `None` means more bytes are needed.
///
/// The lengths and the encoding are checked as soon as their bytes are there, before the frame is complete, so a
/// peer cannot make the receiver buffer more than [`MAX_FRAME_LENGTH`].
///
/// # Errors
/// [`FrameError`]; the connection is out of step then and has to be closed.
pub fn split(buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(length) = frame_length(buf)? else {
        return Ok(None);
    };
    if buf.len() < 4 + length {
        return Ok(None);
    }
    let Some((serialize_type, header_length)) = header_word(buf, length)? else {
        return Ok(None);
    };
    let mut frame = buf.split_to(4 + length).freeze();
    frame.advance(PREFIX_LENGTH);
    let header = frame.split_to(header_length);
    Ok(Some(Frame {
        serialize_type,
        header,
        body: frame,
    }))
}

/// How many bytes `buf` needs before [`split`] can yield its first frame; `None` while the length is unknown.
///
/// # Errors
/// As [`split`].
pub fn needed(buf: &[u8]) -> Result<Option<usize>, FrameError> {
    Ok(frame_length(buf)?.map(|length| length + 4))
}

fn frame_length(buf: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(word) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i64::from(i32::from_be_bytes(*word));
    match usize::try_from(length) {
        Ok(length) if (4..=MAX_FRAME_LENGTH - 4).contains(&length) => {
            header_word(buf, length)?;
            Ok(Some(length))
        }
        _ => Err(FrameError::Length { length }),
    }
}

fn header_word(buf: &[u8], length: usize) -> Result<Option<(SerializeType, usize)>, FrameError> {
    let Some(&[kind, a, b, c]) = buf.get(4..8).and_then(|word| word.first_chunk::<4>()) else {
        return Ok(None);
    };
    let serialize_type = SerializeType::from_code(kind).ok_or(FrameError::SerializeType(kind))?;
    let header = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if header > length - 4 {
        return Err(FrameError::HeaderLength {
            header,
            available: length - 4,
        });
    }
    Ok(Some((serialize_type, header)))
}

/// Writes the two length words at `start` once the header is behind them; `body_length` bytes follow later.
///
/// `start` is where [`begin`] left its eight placeholder bytes.
pub(crate) fn finish(
    out: &mut BytesMut,
    start: usize,
    serialize_type: SerializeType,
    body_length: usize,
) {
    let header = out.len().saturating_sub(start + PREFIX_LENGTH);
    let length = u32::try_from(4 + header + body_length).unwrap_or(u32::MAX);
    let word = u32::from(serialize_type.code()) << 24
        | (u32::try_from(header).unwrap_or(u32::MAX) & 0x00FF_FFFF);
    if let Some(prefix) = out.get_mut(start..start + PREFIX_LENGTH) {
        let (first, second) = prefix.split_at_mut(4);
        first.copy_from_slice(&length.to_be_bytes());
        second.copy_from_slice(&word.to_be_bytes());
    }
}

/// Reserves the length words of a frame and returns where they are, for [`finish`].
pub(crate) fn begin(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_LENGTH]);
    start
}

#[cfg(test)]
mod tests;
