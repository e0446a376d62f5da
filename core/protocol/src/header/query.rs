// SPDX-License-Identifier: Apache-2.0
//! Headers of asking for messages by key: code 12. Source: wire.md 2.1, 2.2; `indexType` and `lastKey` are of 5.5.0.

use super::header;

/// Values of [`QueryMessageRequestHeader::index_type`].
pub mod index_type {
    /// One of the words in `KEYS`.
    pub const KEY: &str = "K";
    /// The producer's unique id.
    pub const UNIQUE: &str = "U";
    /// The text of `TAGS`.
    pub const TAG: &str = "T";
}

header! {
    /// QUERY_MESSAGE.
    pub struct QueryMessageRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Key, unique id or tags.
        "key" key: &'a str,
        /// Most messages wanted.
        "maxNum" max_num: i32,
        /// Milliseconds since the epoch, stored at this time or later.
        "beginTimestamp" begin_timestamp: i64,
        /// Milliseconds since the epoch, stored at this time or earlier.
        "endTimestamp" end_timestamp: i64,
        /// What `key` is, see [`index_type`].
        "indexType" index_type: Option<&'a str>,
        /// Where the last answer ended; only an index in RocksDB knows it.
        "lastKey" last_key: Option<&'a str>,
        /// `true`: the key is a unique id and `max_num` is the broker's choice.
        "_UNIQUE_KEY_QUERY" is_unique_key: Option<bool>,
    }
}

header! {
    /// Answer of QUERY_MESSAGE.
    pub struct QueryMessageResponseHeader {
        /// Store time of the last message in the index.
        "indexLastUpdateTimestamp" index_last_update_timestamp: i64,
        /// Commit-log offset of that message.
        "indexLastUpdatePhyoffset" index_last_update_phyoffset: i64,
    }
}
