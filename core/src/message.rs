// SPDX-License-Identifier: Apache-2.0
//! What applications send and receive: plain data that owns everything, the same in every language.

use bytes::Bytes;

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where to: 1 to 127 characters out of `A-Z a-z 0-9 _ - % |`.
    pub topic: String,
    /// The payload, at least one byte.
    pub body: Bytes,
    /// What consumers filter by.
    pub tag: Option<String>,
    /// What the message can be found by later.
    pub keys: Vec<String>,
    /// A number of the application's own, carried as it is.
    pub flag: i32,
    /// Delay level 1 to 18 (`1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h`); 0 = at once.
    pub delay_level: i32,
    /// Further properties; names that the protocol reserves are refused.
    pub properties: Vec<(String, String)>,
}

impl Message {
    /// A message without tag, keys and properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// Sets the tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }
}

/// One queue of a topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    /// Its topic.
    pub topic: String,
    /// The broker that holds it.
    pub broker_name: String,
    /// Its number on that broker, from 0.
    pub queue_id: i32,
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.topic, self.broker_name, self.queue_id)
    }
}

/// How a broker stored a message. All four mean that it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// Stored as the broker's configuration asks for.
    SendOk,
    /// Stored, but not on disk in time (synchronous flush).
    FlushDiskTimeout,
    /// Stored, but not copied to a slave in time (synchronous replication).
    FlushSlaveTimeout,
    /// Stored, but no slave was there to copy to (synchronous replication).
    SlaveNotAvailable,
}

impl SendStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[
        Self::SendOk,
        Self::FlushDiskTimeout,
        Self::FlushSlaveTimeout,
        Self::SlaveNotAvailable,
    ];

    /// The reference's spelling: `SEND_OK`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendOk => "SEND_OK",
            Self::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            Self::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            Self::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        }
    }

    /// Its place in [`SendStatus::ALL`].
    pub const fn number(self) -> u8 {
        match self {
            Self::SendOk => 0,
            Self::FlushDiskTimeout => 1,
            Self::FlushSlaveTimeout => 2,
            Self::SlaveNotAvailable => 3,
        }
    }
}

/// What became of a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendResult {
    /// How it was stored.
    pub status: SendStatus,
    /// The unique id that the client gave it; of a batch, the ids joined by commas.
    pub message_id: String,
    /// The id that names its place in the broker's log; of a batch, the ids joined by commas.
    pub offset_message_id: String,
    /// Its topic.
    pub topic: String,
    /// The broker that stored it.
    pub broker_name: String,
    /// The queue it is in.
    pub queue_id: i32,
    /// Its offset in the queue; of a batch, the first one's.
    pub queue_offset: i64,
    /// Transaction id, if the broker gave one.
    pub transaction_id: Option<String>,
    /// The broker's region.
    pub region: Option<String>,
}

impl SendResult {
    /// The queue that the message is in.
    pub fn queue(&self) -> Queue {
        Queue {
            topic: self.topic.clone(),
            broker_name: self.broker_name.clone(),
            queue_id: self.queue_id,
        }
    }
}

/// A message that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its topic; of a redelivered message, the original one.
    pub topic: String,
    /// The payload, decompressed.
    pub body: Bytes,
    /// What consumers filter by.
    pub tag: Option<String>,
    /// What the message can be found by.
    pub keys: Vec<String>,
    /// All properties, the protocol's own included.
    pub properties: Vec<(String, String)>,
    /// The unique id that the sender gave it, else its offset id.
    pub message_id: String,
    /// The id that names its place in the broker's log.
    pub offset_message_id: String,
    /// The broker it came from.
    pub broker_name: String,
    /// The queue it came from.
    pub queue_id: i32,
    /// Its offset in that queue.
    pub queue_offset: i64,
    /// How often it has been redelivered to the group.
    pub reconsume_times: i32,
    /// When the sender made it, in milliseconds since 1970.
    pub born_timestamp_ms: i64,
    /// When the broker stored it, in milliseconds since 1970.
    pub store_timestamp_ms: i64,
    /// Address of the sender.
    pub born_host: String,
    /// Address of the broker.
    pub store_host: String,
    /// The number that the sender's application set.
    pub flag: i32,
    /// Its place in the broker's log.
    pub physical_offset: i64,
}

impl ReceivedMessage {
    /// The value of a property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The queue it came from; of a redelivered message, not a queue of [`ReceivedMessage::topic`].
    pub fn queue(&self) -> Queue {
        Queue {
            topic: self.topic.clone(),
            broker_name: self.broker_name.clone(),
            queue_id: self.queue_id,
        }
    }
}
