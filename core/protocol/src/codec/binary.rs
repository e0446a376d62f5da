// SPDX-License-Identifier: Apache-2.0
//! The binary header encoding called `ROCKETMQ`. Source: wire.md 1.3.
//!
//! ```text
//! i16 code  u8 language  i16 version  i32 opaque  i32 flag
//! i32 remark length, remark      i32 map length, map: { i16 key length, key, i32 value length, value }*
//! ```
//!
//! Empty keys and values read as absent. The code has 16 bits only: see [`super::fitting`].

use bytes::{BufMut, Bytes, BytesMut};

use super::{DecodeError, Decoded, Fixed};
use crate::ext::{ExtFields, Text};
use crate::header::{FieldName, FieldSink, Header};
use crate::language::LanguageCode;

pub(crate) fn decode(header: Bytes) -> Result<Decoded, DecodeError> {
    let wire = header.as_ref();
    let mut reader = Reader { bytes: wire, at: 0 };
    let code = i32::from(reader.i16()?);
    let language = LanguageCode::from_code(reader.array::<1>()?[0]);
    let version = i32::from(reader.i16()?);
    let opaque = reader.i32()?;
    let flag = reader.i32()?;
    let remark = match reader.sized_i32()? {
        (start, end) if start < end => {
            let bytes = wire.get(start..end).unwrap_or_default();
            Some(
                std::str::from_utf8(bytes)
                    .map_err(|_| DecodeError::Utf8)?
                    .to_owned(),
            )
        }
        _ => None,
    };
    let (start, end) = reader.sized_i32()?;
    let mut ext = ExtFields::new();
    let mut map = Reader {
        bytes: wire.get(..end).unwrap_or_default(),
        at: start,
    };
    while map.at < end {
        let key = map.sized_i16()?;
        let value = map.sized_i32()?;
        if key.0 < key.1 && value.0 < value.1 {
            ext.push(text(wire, key)?, text(wire, value)?);
        }
    }
    Ok(Decoded {
        code,
        language,
        version,
        opaque,
        flag,
        remark,
        ext,
    })
}

fn text(wire: &[u8], (start, end): (usize, usize)) -> Result<Text<'_>, DecodeError> {
    std::str::from_utf8(wire.get(start..end).unwrap_or_default())
        .map(Text::Owned)
        .map_err(|_| DecodeError::Utf8)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .ok_or(DecodeError::Truncated(self.bytes.len()))?;
        self.at += N;
        Ok(*array)
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    fn sized_i16(&mut self) -> Result<(usize, usize), DecodeError> {
        let length = i64::from(self.i16()?);
        self.range(length)
    }

    fn sized_i32(&mut self) -> Result<(usize, usize), DecodeError> {
        let length = i64::from(self.i32()?);
        self.range(length)
    }

    fn range(&mut self, length: i64) -> Result<(usize, usize), DecodeError> {
        let left = self.bytes.len().saturating_sub(self.at);
        match usize::try_from(length) {
            Ok(count) if count <= left => {
                let start = self.at;
                self.at += count;
                Ok((start, self.at))
            }
            _ => Err(DecodeError::Length {
                length,
                at: self.at,
                left,
            }),
        }
    }
}

pub(crate) fn encode<'h>(out: &mut BytesMut, fixed: &Fixed<'_>, header: &impl Header<'h>) {
    out.put_i16(i16::try_from(fixed.code).unwrap_or_default());
    out.put_u8(fixed.language.code());
    out.put_i16(i16::try_from(fixed.version).unwrap_or(i16::MAX));
    out.put_i32(fixed.opaque);
    out.put_i32(fixed.flag);
    let remark = fixed.remark.unwrap_or_default();
    out.put_i32(i32::try_from(remark.len()).unwrap_or_default());
    out.put_slice(remark.as_bytes());
    let start = out.len();
    out.put_i32(0);
    header.write(&mut Fields { out });
    let length = i32::try_from(out.len() - start - 4).unwrap_or_default();
    if let Some(word) = out.get_mut(start..start + 4) {
        word.copy_from_slice(&length.to_be_bytes());
    }
}

struct Fields<'a> {
    out: &'a mut BytesMut,
}

impl FieldSink for Fields<'_> {
    fn text(&mut self, name: FieldName<'_>, value: &str) {
        let (Ok(key), Ok(length)) = (i16::try_from(name.text.len()), i32::try_from(value.len()))
        else {
            return;
        };
        self.out.put_i16(key);
        self.out.put_slice(name.text.as_bytes());
        self.out.put_i32(length);
        self.out.put_slice(value.as_bytes());
    }

    fn int(&mut self, name: FieldName<'_>, value: i64) {
        self.text(name, itoa::Buffer::new().format(value));
    }
}
