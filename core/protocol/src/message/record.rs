// SPDX-License-Identifier: Apache-2.0
//! The message record: one layout for the commit log and for the bodies of pull answers (store.md 2.1, wire.md 6.3).
//!
//! All integers are big-endian and signed. `B` and `S` are the lengths of the born and store host: 8 (IPv4) or 20 (IPv6).
//!
//! | offset | field | | offset | field |
//! |---|---|---|---|---|
//! | 0 | i32 total size | | 48 | born host: address, i32 port |
//! | 4 | i32 magic, version 1 or 2 | | 48+B | i64 store timestamp |
//! | 8 | i32 body CRC | | 56+B | store host |
//! | 12 | i32 queue id | | 56+B+S | i32 reconsume times |
//! | 16 | i32 flag | | 60+B+S | i64 prepared transaction offset |
//! | 20 | i64 queue offset | | 68+B+S | i32 length, body |
//! | 28 | i64 physical offset | | then | u8 (version 1) or i16 (version 2) length, topic |
//! | 36 | i32 sys flag | | then | i16 length, properties |
//! | 40 | i64 born timestamp | | | |
//!
//! The store does not know queue offset, physical offset and store timestamp before it holds its append lock:
//! [`encode_into`] leaves them zero and [`patch`] fills them in.

mod crc_property;
mod head;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::{Message, MessageExt, Properties, sys_flag};

pub use crc_property::{
    CRC_PLACEHOLDER, CRC_PROPERTY, CRC_PROPERTY_BYTES, is_crc_intact, patch_crc,
};
pub use head::RecordHead;

/// Magic of records whose topic length has one byte.
pub const MAGIC_V1: i32 = 0xDAA3_20A7_u32.cast_signed();
/// Magic of records whose topic length has two bytes.
pub const MAGIC_V2: i32 = 0xDAA3_20AB_u32.cast_signed();
/// Magic of the record that fills the end of a commit-log segment; never sent to clients.
pub const MAGIC_BLANK: i32 = 0xCBD4_3194_u32.cast_signed();
/// Size of the head of a blank record: total size and magic.
pub const BLANK_BYTES: usize = 8;
/// Size of the smallest record: version 1, IPv4 hosts, everything empty.
pub const MIN_BYTES: usize = 91;

/// What a record is made of; see [`encode_into`].
#[derive(Clone, Copy, Debug)]
pub struct RecordFields<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Application flag.
    pub flag: i32,
    /// Bits of [`sys_flag`]; the two host bits are set by the encoder from the addresses.
    pub sys_flag: i32,
    /// When the producer made the message, Unix milliseconds.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// This broker's address.
    pub store_host: SocketAddr,
    /// How often the message was sent back.
    pub reconsume_times: i32,
    /// Commit-log offset of the half message, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as stored.
    pub body: &'a [u8],
    /// Pieces of the properties text, written one after the other; a missing separator between two pieces is added. UTF-8,
    /// which is not looked at.
    pub properties: &'a [&'a [u8]],
}

/// What records of one request do not share; the rest is a [`RecordHead`].
#[derive(Clone, Copy, Debug)]
pub struct RecordContent<'a> {
    /// As [`RecordFields::flag`].
    pub flag: i32,
    /// As [`RecordFields::body`].
    pub body: &'a [u8],
    /// As [`RecordFields::properties`].
    pub properties: &'a [&'a [u8]],
}

impl<'a> RecordFields<'a> {
    /// Those that are not in the [`RecordHead`].
    pub fn content(&self) -> RecordContent<'a> {
        RecordContent {
            flag: self.flag,
            body: self.body,
            properties: self.properties,
        }
    }
}

/// Why a record could not be encoded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The topic name is too long for its length field.
    #[error("the topic has {bytes} bytes, more than {max}")]
    TopicTooLong {
        /// Its length.
        bytes: usize,
        /// Limit.
        max: usize,
    },
    /// The properties text is too long for its length field.
    #[error("the properties have {bytes} bytes, more than {max}")]
    PropertiesTooLong {
        /// Its length.
        bytes: usize,
        /// Limit.
        max: usize,
    },
    /// The record would be larger than an i32 can say.
    #[error("the body has {bytes} bytes, too many for a record")]
    BodyTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end before the record does.
    #[error("the record is cut")]
    Truncated,
    /// The magic is that of no record.
    #[error("no record starts here (magic {0:#010X})")]
    BadMagic(i32),
    /// The fields' lengths do not add up to the total size, or one is negative.
    #[error("the lengths in the record disagree")]
    BadLength,
    /// The body does not have the CRC in the record.
    #[error("the body is damaged")]
    BadBodyCrc,
}

/// What [`check`] found at the start of some bytes.
#[derive(Clone, Debug)]
pub enum RecordCheck<'a> {
    /// An intact record.
    Record(RecordView<'a>),
    /// The filler at the end of a segment.
    Blank {
        /// Size it claims: the rest of the segment.
        size: usize,
    },
    /// No intact record.
    Damaged {
        /// Size of the record if everything but its body's CRC is right: the next record starts after it.
        size: Option<usize>,
        /// What is wrong.
        error: RecordError,
    },
}

/// A record that is read in place.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// Size of the whole record.
    pub size: usize,
    /// CRC of the body as the record says; see [`RecordView::is_body_intact`].
    pub body_crc: i32,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Application flag.
    pub flag: i32,
    /// Position in the queue.
    pub queue_offset: i64,
    /// Position in the commit log.
    pub physical_offset: i64,
    /// Bits of [`sys_flag`].
    pub sys_flag: i32,
    /// When the producer made the message, Unix milliseconds.
    pub born_timestamp: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// When the broker stored the message, Unix milliseconds.
    pub store_timestamp: i64,
    /// The storing broker's address.
    pub store_host: SocketAddr,
    /// How often the message was sent back.
    pub reconsume_times: i32,
    /// Commit-log offset of the half message, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as stored.
    pub body: &'a [u8],
    /// Topic name, UTF-8 unless a foreign writer broke the rule.
    pub topic: &'a [u8],
    /// Properties text, UTF-8 unless a foreign writer broke the rule.
    pub properties: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads the record at the start of `bytes`; the body's CRC is not checked.
    ///
    /// # Errors
    /// No whole, consistent record starts there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut head = Fields::new(bytes);
        let (Some(size), Some(magic)) = (head.i32(), head.i32()) else {
            return Err(RecordError::Truncated);
        };
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::BadMagic(magic));
        }
        let size = usize::try_from(size).map_err(|_| RecordError::BadLength)?;
        if size < MIN_BYTES {
            return Err(RecordError::BadLength);
        }
        let record = bytes.get(..size).ok_or(RecordError::Truncated)?;
        Self::read(record, magic == MAGIC_V2).ok_or(RecordError::BadLength)
    }

    fn read(record: &'a [u8], is_v2: bool) -> Option<Self> {
        let mut fields = Fields::new(record);
        fields.take(8)?;
        let body_crc = fields.i32()?;
        let queue_id = fields.i32()?;
        let flag = fields.i32()?;
        let queue_offset = fields.i64()?;
        let physical_offset = fields.i64()?;
        let sys_flag = fields.i32()?;
        let born_timestamp = fields.i64()?;
        let born_host = fields.host(sys_flag & sys_flag::BORN_HOST_V6 != 0)?;
        let store_timestamp = fields.i64()?;
        let store_host = fields.host(sys_flag & sys_flag::STORE_HOST_V6 != 0)?;
        let reconsume_times = fields.i32()?;
        let prepared_transaction_offset = fields.i64()?;
        let body_len = fields.length()?;
        let body = fields.take(body_len)?;
        // The reference reads the one-byte length as signed, so more than 127 is no version 1 record.
        let topic_len = if is_v2 {
            fields.i16()?
        } else {
            fields.i8()?.into()
        };
        let topic = fields.take(usize::try_from(topic_len).ok()?)?;
        let properties_len = fields.i16()?;
        let properties = fields.take(usize::try_from(properties_len).ok()?)?;
        fields.is_empty().then_some(Self {
            size: record.len(),
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// Whether the body has the CRC that the record says.
    pub fn is_body_intact(&self) -> bool {
        body_crc(self.body) == self.body_crc
    }

    /// Topic as text.
    pub fn topic(&self) -> Cow<'a, str> {
        text(self.topic)
    }

    /// Properties as text, for [`super::properties::scan`].
    pub fn properties(&self) -> Cow<'a, str> {
        text(self.properties)
    }

    fn to_message(self, body: Bytes) -> MessageExt {
        MessageExt {
            message: Message {
                topic: self.topic().into_owned(),
                flag: self.flag,
                body,
                properties: Properties::from_text(&self.properties()),
            },
            queue_id: self.queue_id,
            // The size came out of an i32.
            store_size: i32::try_from(self.size).unwrap_or(i32::MAX),
            queue_offset: self.queue_offset,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_timestamp: self.store_timestamp,
            store_host: self.store_host,
            physical_offset: self.physical_offset,
            body_crc: self.body_crc,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
        }
    }
}

/// CRC-32 of a stored body with the sign bit cleared, as records hold it; 0 for an empty body.
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF).cast_signed()
}

/// Appends a record with zero queue offset, physical offset and store timestamp ([`patch`] fills them in); returns its size.
///
/// # Errors
/// A part does not fit its length field; `out` is then unchanged.
pub fn encode_into(fields: &RecordFields<'_>, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    RecordHead::new(fields)?.encode(&fields.content(), out)
}

/// Fills in what [`encode_into`] left open. Returns `false`, changing nothing, if `record` is shorter than a record's head.
pub fn patch(
    record: &mut [u8],
    queue_offset: i64,
    physical_offset: i64,
    store_timestamp: i64,
) -> bool {
    let Some(head) = record.first_chunk_mut::<48>() else {
        return false;
    };
    let is_v6 = i32::from(head[39]) & sys_flag::BORN_HOST_V6 != 0;
    let at = if is_v6 { 48 + 20 } else { 48 + 8 };
    let Some(time) = record.get_mut(at..at + 8) else {
        return false;
    };
    time.copy_from_slice(&store_timestamp.to_be_bytes());
    if let Some(head) = record.first_chunk_mut::<48>() {
        head[20..28].copy_from_slice(&queue_offset.to_be_bytes());
        head[28..36].copy_from_slice(&physical_offset.to_be_bytes());
    }
    true
}

/// As `String::from_utf8_lossy`, which is slow with text that is valid.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// The same record under another topic and with other properties; positions, times and hosts stay.
///
/// # Errors
/// A part does not fit its length field.
pub fn rewrite(
    record: &RecordView<'_>,
    topic: &str,
    properties: &[&[u8]],
) -> Result<Vec<u8>, EncodeError> {
    let fields = RecordFields {
        topic,
        queue_id: record.queue_id,
        flag: record.flag,
        sys_flag: record.sys_flag,
        born_timestamp: record.born_timestamp,
        born_host: record.born_host,
        store_host: record.store_host,
        reconsume_times: record.reconsume_times,
        prepared_transaction_offset: record.prepared_transaction_offset,
        body: record.body,
        properties,
    };
    let mut out = Vec::new();
    encode_into(&fields, &mut out)?;
    patch(
        &mut out,
        record.queue_offset,
        record.physical_offset,
        record.store_timestamp,
    );
    Ok(out)
}

/// The head of the record that fills the last `rest` bytes of a segment.
pub fn blank(rest: i32) -> [u8; BLANK_BYTES] {
    let ([a, b, c, d], [e, f, g, h]) = (rest.to_be_bytes(), MAGIC_BLANK.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Judges the record at the start of `bytes`, body CRC included; used where a log is recovered.
pub fn check(bytes: &[u8]) -> RecordCheck<'_> {
    match RecordView::parse(bytes) {
        Ok(record) if record.is_body_intact() => RecordCheck::Record(record),
        Ok(record) => RecordCheck::Damaged {
            size: Some(record.size),
            error: RecordError::BadBodyCrc,
        },
        Err(RecordError::BadMagic(MAGIC_BLANK)) => {
            let size = Fields::new(bytes).length().unwrap_or(0);
            RecordCheck::Blank { size }
        }
        Err(error) => RecordCheck::Damaged { size: None, error },
    }
}

/// Decodes the record at the start of `bytes` and copies its body.
///
/// # Errors
/// No intact record starts there.
pub fn decode(bytes: &[u8]) -> Result<MessageExt, RecordError> {
    let record = RecordView::parse(bytes)?;
    if !record.is_body_intact() {
        return Err(RecordError::BadBodyCrc);
    }
    Ok(record.to_message(Bytes::copy_from_slice(record.body)))
}

/// Decodes concatenated records up to the first that is not intact; bodies are slices of `bytes`, not copies.
pub fn decode_all(mut bytes: Bytes) -> Vec<MessageExt> {
    let mut messages = Vec::new();
    while let RecordCheck::Record(record) = check(&bytes) {
        let size = record.size;
        messages.push(record.to_message(bytes.slice_ref(record.body)));
        bytes.advance(size);
    }
    messages
}

/// Takes fields off the front of a slice; `None` once it is too short.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn i8(&mut self) -> Option<i8> {
        self.chunk().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// A length: an i32 that is not negative.
    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.i32()?).ok()
    }

    /// An address and a port; of ports beyond 16 bits (which no writer makes) the low bits are taken.
    fn host(&mut self, is_v6: bool) -> Option<SocketAddr> {
        let ip = if is_v6 {
            IpAddr::V6(Ipv6Addr::from(self.chunk::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.chunk::<4>()?))
        };
        let [_, _, high, low] = self.chunk()?;
        Some(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
    }
}

#[cfg(test)]
mod tests;
