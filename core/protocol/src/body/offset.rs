// SPDX-License-Identifier: Apache-2.0
//! Tables of offsets. Source: wire.md 4.8, store.md 11.4.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::QueueMap;
use super::topic::DataVersion;

/// Consumer offsets of a broker; the content of `consumerOffset.json`, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerOffsetTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// `topic@group` to queue id to the next offset to consume.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// `lmqConsumerOffset.json`, which takes the place of `consumerOffset.json` where there are light queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LightConsumerOffsetTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// `topic@group` of groups of light queues to the next offset of queue 0.
    pub lmq_offset_table: BTreeMap<String, i64>,
    /// The offsets of all other groups, as in [`ConsumerOffsetTable`].
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Offsets by queue: `offsets.json` of a broadcasting consumer and RESET_CONSUMER_CLIENT_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueOffsets {
    /// The offsets.
    pub offset_table: QueueMap<i64>,
}

/// Offsets of one queue of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicOffset {
    /// Store time of the last message.
    pub last_update_timestamp: i64,
    /// Offset after the last message.
    pub max_offset: i64,
    /// First offset.
    pub min_offset: i64,
}

/// Answer of GET_TOPIC_STATS_INFO.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicStatsTable {
    /// Offsets by queue.
    pub offset_table: QueueMap<TopicOffset>,
    /// Messages a second.
    pub topic_put_tps: f64,
}
