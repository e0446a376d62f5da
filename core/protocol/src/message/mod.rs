// SPDX-License-Identifier: Apache-2.0
//! Messages: what applications send, and the records that carry them on the wire and in the commit log.
//!
//! ```text
//! Message --record::encode_into--> record bytes --(commit log, pull answer)--> record::decode_all --> MessageExt
//! ```
//!
//! One record layout serves the wire and the disk ([`record`]); the text of the properties ([`properties`]), message ids ([`id`]),
//! the body of a batch request ([`batch`]) and the tag hash ([`tags`]) are shared by clients and servers too.
//! Nothing here does I/O, reads a clock (the caller passes times) or panics on any input.

pub mod batch;
pub mod compression;
pub mod id;
pub mod name;
pub mod properties;
pub mod property;
pub mod recall_handle;
pub mod receipt;
pub mod record;
pub mod sys_flag;
pub mod tags;

use std::net::SocketAddr;

use bytes::Bytes;

pub use compression::{CompressionError, CompressionType};
pub use properties::Properties;
pub use record::{
    EncodeError, RecordCheck, RecordContent, RecordError, RecordFields, RecordHead, RecordView,
};

/// What an application sends: a topic, a body and named text properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Topic the message belongs to.
    pub topic: String,
    /// Application flag; carried but never interpreted.
    pub flag: i32,
    /// The payload.
    pub body: Bytes,
    /// Reserved ([`property`]) and application properties.
    pub properties: Properties,
}

impl Message {
    /// Makes a message without flag and properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            flag: 0,
            body: body.into(),
            properties: Properties::new(),
        }
    }

    /// The tag ([`property::TAGS`]), if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The index keys: the parts of [`property::KEYS`] between spaces.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties
            .get(property::KEYS)
            .unwrap_or("")
            .split(' ')
            .filter(|key| !key.is_empty())
    }
}

/// A stored message: the [`Message`] and what the broker that stored it added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageExt {
    /// Topic, flag, body as stored (compressed if [`sys_flag::COMPRESSED`] is set) and properties.
    pub message: Message,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Size of the whole record in bytes.
    pub store_size: i32,
    /// Position in the queue.
    pub queue_offset: i64,
    /// Bits of [`sys_flag`].
    pub sys_flag: i32,
    /// When the producer made the message, Unix milliseconds.
    pub born_timestamp: i64,
    /// The producer's address as the broker saw it.
    pub born_host: SocketAddr,
    /// When the broker stored the message, Unix milliseconds.
    pub store_timestamp: i64,
    /// Address of the broker that stored the message.
    pub store_host: SocketAddr,
    /// Position of the record in that broker's commit log.
    pub physical_offset: i64,
    /// CRC-32 of the stored body with the sign bit cleared; 0 for an empty body.
    pub body_crc: i32,
    /// How often the message was sent back by consumers.
    pub reconsume_times: i32,
    /// Commit-log offset of the half message of a committed transaction, else 0.
    pub prepared_transaction_offset: i64,
}

impl MessageExt {
    /// The id applications see: the producer's unique id ([`property::UNIQ_KEY`]), else the offset id.
    pub fn message_id(&self) -> String {
        match self.message.properties.get(property::UNIQ_KEY) {
            Some(id) => id.to_owned(),
            None => self.offset_message_id(),
        }
    }

    /// The id that says where the record lies: store host and physical offset ([`id::offset_id`]).
    pub fn offset_message_id(&self) -> String {
        id::offset_id(self.store_host, self.physical_offset)
    }

    /// Decompresses the body in place and clears [`sys_flag::COMPRESSED`]; does nothing if the body is not compressed.
    ///
    /// # Errors
    /// The type is unknown, the stream is damaged, or the body would be longer than `max_body_bytes`.
    pub fn decompress(&mut self, max_body_bytes: usize) -> Result<(), CompressionError> {
        if self.sys_flag & sys_flag::COMPRESSED == 0 {
            return Ok(());
        }
        let kind = CompressionType::from_sys_flag(self.sys_flag)?;
        self.message.body =
            compression::decompress(kind, &self.message.body, max_body_bytes)?.into();
        self.sys_flag &= !sys_flag::COMPRESSED;
        Ok(())
    }
}
