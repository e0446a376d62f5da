// SPDX-License-Identifier: Apache-2.0
//! The two header encodings, both read and written: [`json`] and [`binary`].

pub(crate) mod binary;
pub(crate) mod json;

use thiserror::Error;

use crate::ext::ExtFields;
use crate::frame::SerializeType;
use crate::header::{FieldSink, Header};
use crate::language::LanguageCode;

/// Why the header of a frame can not be read. It ends the connection, as in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The header ended in the middle of a value.
    #[error("header ends early at byte {0}")]
    Truncated(usize),
    /// A JSON header is not an object of the expected form.
    #[error("header is not the JSON expected at byte {0}")]
    Syntax(usize),
    /// Text is not UTF-8.
    #[error("header text is not UTF-8")]
    Utf8,
    /// A length inside a binary header is negative or longer than what follows.
    #[error("length {length} at byte {at} of the header exceeds the {left} bytes left")]
    Length {
        /// The length as received.
        length: i64,
        /// Where it stands.
        at: usize,
        /// How many bytes follow it.
        left: usize,
    },
    /// A number does not fit its field.
    #[error("number at byte {0} of the header is out of range")]
    Number(usize),
    /// Unknown JSON members are nested too deeply to skip.
    #[error("header is nested deeper than {0} levels")]
    Depth(usize),
}

/// The members of a header besides its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed<'a> {
    pub(crate) code: i32,
    pub(crate) language: LanguageCode,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<&'a str>,
}

/// A decoded header.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) code: i32,
    pub(crate) language: LanguageCode,
    pub(crate) version: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<String>,
    pub(crate) ext: ExtFields,
}

/// Whether `code` fits the encoding asked for; the binary header has 16 bits for it only.
pub(crate) fn fitting(serialize_type: SerializeType, code: i32) -> SerializeType {
    if i16::try_from(code).is_ok() {
        serialize_type
    } else {
        SerializeType::Json
    }
}

/// Header fields that are copied as they are, after a typed header.
impl<'a> Header<'a> for &'a ExtFields {
    fn write<S: FieldSink>(&self, out: &mut S) {
        for (name, value) in self.iter() {
            out.text(name.into(), value);
        }
    }

    fn read(ext: &'a ExtFields) -> Result<Self, crate::header::HeaderError> {
        Ok(ext)
    }
}

#[cfg(test)]
mod tests;
