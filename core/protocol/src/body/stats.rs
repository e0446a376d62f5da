// SPDX-License-Identifier: Apache-2.0
//! Statistics and how far groups are. Source: wire.md 4.9.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::SubscriptionData;
use super::queue::QueueMap;

/// Offsets of a group in one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeOffset {
    /// Offset after the last message.
    pub broker_offset: i64,
    /// Offset that the group committed.
    pub consumer_offset: i64,
    /// Store time of the last message before that, milliseconds since the epoch; 0 if there is none.
    pub last_timestamp: i64,
    /// Offset up to which the group pulled.
    pub pull_offset: i64,
}

/// Answer of GET_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStats {
    /// Messages that the group gets a second.
    pub consume_tps: f64,
    /// Offsets by queue.
    pub offset_table: QueueMap<ConsumeOffset>,
}

impl ConsumeStats {
    /// Messages that the group has not consumed.
    pub fn total_diff(&self) -> i64 {
        let offsets = self.offset_table.0.values();
        // Groups may commit any number.
        offsets.fold(0, |sum: i64, offset| {
            sum.saturating_add(offset.broker_offset.saturating_sub(offset.consumer_offset))
        })
    }

    /// Messages that the group pulled and has not consumed.
    pub fn inflight_diff(&self) -> i64 {
        let offsets = self.offset_table.0.values();
        offsets.fold(0, |sum: i64, offset| {
            sum.saturating_add(offset.pull_offset.saturating_sub(offset.consumer_offset))
        })
    }
}

/// Answer of GET_BROKER_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStatsList {
    /// Address of the broker.
    pub broker_addr: String,
    /// Group to the figures of its topics; one group a map.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages that were not consumed.
    pub total_diff: i64,
    /// Messages that were pulled and not consumed.
    pub total_inflight_diff: i64,
}

/// An item over one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsItem {
    /// Average of each addition.
    pub avgpt: f64,
    /// Sum.
    pub sum: u64,
    /// A second.
    pub tps: f64,
}

/// Answer of VIEW_BROKER_STATS_DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsData {
    /// The last day.
    pub stats_day: BrokerStatsItem,
    /// The last hour.
    pub stats_hour: BrokerStatsItem,
    /// The last minute.
    pub stats_minute: BrokerStatsItem,
}

/// Answer of QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuerySubscriptionResponse {
    /// Group.
    pub group: String,
    /// Its subscription, if it is connected and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// A unit of a consume queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeQueueData {
    /// Bits of the filters that pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_map: Option<String>,
    /// Whether the group's filter passes.
    pub eval: bool,
    /// The extension of the unit, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_data_json: Option<String>,
    /// What is wrong with the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
    /// Commit-log offset.
    pub physic_offset: i64,
    /// Bytes of the record.
    pub physic_size: i32,
    /// What consumers filter by.
    pub tags_code: i64,
}

/// Answer of QUERY_CONSUME_QUEUE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryConsumeQueueResponse {
    /// The group's filter, as JSON text, or why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// Offset after the last message.
    pub max_queue_index: i64,
    /// First offset.
    pub min_queue_index: i64,
    /// Units; `None` if the queue does not reach the index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_data: Option<Vec<ConsumeQueueData>>,
    /// The group's subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}
