// SPDX-License-Identifier: Apache-2.0
//! Answers about how far groups consumed, and what they may. Source: wire.md 4.8, 4.10.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::MessageQueue;

/// Times of one queue, milliseconds since the epoch; -1 if there is no such message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// Store time of the last message that was consumed.
    pub consume_time_stamp: i64,
    /// How long the next message has been waiting, milliseconds; 0 if there is none.
    pub delay_time: i64,
    /// Store time of the last message.
    pub max_time_stamp: i64,
    /// Queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message.
    pub min_time_stamp: i64,
}

/// Answer of QUERY_CONSUME_TIME_SPAN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeTimeSpans {
    /// One for each queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Answer of QUERY_CORRECTION_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorrectionOffsets {
    /// Queue id to the lowest offset of the groups; `i64::MAX` if the compared group is before it.
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// Answer of UPDATE_AND_GET_GROUP_FORBIDDEN.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupForbidden {
    /// Group.
    pub group: String,
    /// The group may read the topic.
    pub readable: bool,
    /// Topic.
    pub topic: String,
}

/// A queue with its offset, as the C++ client reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueOffsetEntry {
    /// Broker name.
    pub broker_name: String,
    /// Offset.
    pub offset: i64,
    /// Queue id.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// RESET_CONSUMER_CLIENT_OFFSET for the C++ client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueOffsetEntries {
    /// The offsets.
    pub offset_table: Vec<QueueOffsetEntry>,
}
