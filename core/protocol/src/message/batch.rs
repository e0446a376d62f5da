// SPDX-License-Identifier: Apache-2.0
//! The body of a batch request: several messages of one topic (wire.md 5.6).
//!
//! Per message: `i32 total size, i32 0, i32 0, i32 flag, i32 body length, body, i16 properties length, properties`.
//! Inner-batch records hold the same bytes as their body.

use bytes::Bytes;
use thiserror::Error;

use super::properties::MAX_TEXT_BYTES;
use super::record::{self, Fields};
use super::{EncodeError, Message, MessageExt, Properties, sys_flag};

/// Bytes of an element besides its body and properties.
pub const ELEMENT_OVERHEAD: usize = 22;

/// Why a batch body could not be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end inside an element.
    #[error("the batch body ends inside an element")]
    Truncated,
    /// The lengths inside an element do not add up to its total size.
    #[error("the lengths of a batch element disagree")]
    BadLength,
}

/// One message of a batch body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Application flag.
    pub flag: i32,
    /// Body bytes.
    pub body: &'a [u8],
    /// Text form of the properties, UTF-8 unless a foreign writer broke the rule.
    pub properties: &'a [u8],
}

/// Appends one message to a batch body.
///
/// # Errors
/// The properties text is longer than 32767 bytes, or the element would not fit an i32 length.
pub fn append(
    out: &mut Vec<u8>,
    flag: i32,
    body: &[u8],
    properties: &str,
) -> Result<(), EncodeError> {
    let Ok(properties_len) = i16::try_from(properties.len()) else {
        return Err(EncodeError::PropertiesTooLong {
            bytes: properties.len(),
            max: MAX_TEXT_BYTES,
        });
    };
    let total = ELEMENT_OVERHEAD + body.len() + properties.len();
    let (Ok(total_len), Ok(body_len)) = (i32::try_from(total), i32::try_from(body.len())) else {
        return Err(EncodeError::BodyTooLong { bytes: body.len() });
    };
    out.reserve(total);
    out.extend_from_slice(&total_len.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&flag.to_be_bytes());
    out.extend_from_slice(&body_len.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&properties_len.to_be_bytes());
    out.extend_from_slice(properties.as_bytes());
    Ok(())
}

/// Encodes messages (whose topic is the request's) into a batch body.
///
/// # Errors
/// As [`append`].
pub fn encode<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut text = String::new();
    for message in messages {
        text.clear();
        message.properties.append_to(&mut text);
        append(&mut out, message.flag, &message.body, &text)?;
    }
    Ok(out)
}

/// The elements of a batch body; the iterator ends after the first error.
pub fn elements(body: &[u8]) -> Elements<'_> {
    Elements { rest: body }
}

/// Iterator of [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let element = read(&mut self.rest);
        if element.is_err() {
            self.rest = &[];
        }
        Some(element)
    }
}

fn read<'a>(rest: &mut &'a [u8]) -> Result<Element<'a>, BatchError> {
    let size = rest
        .first_chunk()
        .map(|size| i32::from_be_bytes(*size))
        .ok_or(BatchError::Truncated)?;
    let size = usize::try_from(size).map_err(|_| BatchError::BadLength)?;
    let (element, tail) = rest.split_at_checked(size).ok_or(BatchError::Truncated)?;
    let mut fields = Fields::new(element);
    let element = (|| {
        fields.take(12)?;
        let flag = fields.i32()?;
        let body_len = fields.length()?;
        let body = fields.take(body_len)?;
        let properties_len = usize::try_from(fields.i16()?).ok()?;
        let properties = fields.take(properties_len)?;
        fields.is_empty().then_some((flag, body, properties))
    })();
    let (flag, body, properties) = element.ok_or(BatchError::BadLength)?;
    *rest = tail;
    Ok(Element {
        flag,
        body,
        properties,
    })
}

/// Unwraps an inner-batch record: message `i` gets queue offset `record + i` and keeps topic, queue, hosts and times.
///
/// A record without both flag bits comes back alone. Bodies are slices of the record's body.
///
/// # Errors
/// As [`elements`].
pub fn unwrap_inner(record: MessageExt) -> Result<Vec<MessageExt>, BatchError> {
    const INNER: i32 = sys_flag::INNER_BATCH | sys_flag::NEED_UNWRAP;
    if record.sys_flag & INNER != INNER {
        return Ok(vec![record]);
    }
    let outer: Bytes = record.message.body.clone();
    let mut messages = Vec::new();
    for (element, queue_offset) in elements(&outer).zip(record.queue_offset..) {
        let element = element?;
        let message = Message {
            topic: record.message.topic.clone(),
            flag: element.flag,
            body: outer.slice_ref(element.body),
            properties: Properties::from_text(&record::text(element.properties)),
        };
        let sys_flag = record.sys_flag & !INNER;
        messages.push(MessageExt {
            message,
            queue_offset,
            sys_flag,
            ..record.clone()
        });
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn layout_matches_the_reference() {
        let mut out = Vec::new();
        append(&mut out, 7, b"hi", "K\u{1}v\u{2}").unwrap();
        assert_eq!(
            out,
            b"\0\0\0\x1C\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\x02hi\0\x04K\x01v\x02"
        );
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert!(matches!(
            append(&mut out, 0, b"", &long),
            Err(EncodeError::PropertiesTooLong { .. })
        ));
        for cut in 1..out.len() {
            assert_eq!(
                elements(&out[..cut]).last(),
                Some(Err(BatchError::Truncated))
            );
        }
    }

    proptest! {
        #[test]
        fn batches_round_trip(items in proptest::collection::vec((any::<i32>(), proptest::collection::vec(any::<u8>(), 0..50), ".{0,20}"), 0..9)) {
            let mut out = Vec::new();
            for (flag, body, text) in &items {
                append(&mut out, *flag, body, text).unwrap();
            }
            let read: Vec<_> = elements(&out).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), items.len());
            for (element, (flag, body, text)) in read.iter().zip(&items) {
                prop_assert_eq!(element, &Element { flag: *flag, body, properties: text.as_bytes() });
            }
        }

        #[test]
        fn garbage_ends(garbage in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(elements(&garbage).count() <= garbage.len() / ELEMENT_OVERHEAD + 1);
        }
    }
}
