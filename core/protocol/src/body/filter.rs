// SPDX-License-Identifier: Apache-2.0
//! Filters of consumer groups by properties; the content of `consumerFilter.json`. Source: store.md 11.7.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a filter stands in the bits that are kept with each message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BloomFilterData {
    /// Number of bits of the whole.
    pub bit_num: i32,
    /// This filter's bits.
    pub bit_pos: Vec<i32>,
}

/// The filter of one group for one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerFilterData {
    /// Its bits.
    pub bloom_filter_data: Option<BloomFilterData>,
    /// Messages stored later have bits of this filter; milliseconds since the epoch.
    pub born_time: i64,
    /// Version of the subscription.
    pub client_version: i64,
    /// Group.
    pub consumer_group: String,
    /// Whether the group is gone; follows from the two times.
    pub dead: bool,
    /// When the group went, 0 if it is there.
    pub dead_time: i64,
    /// The expression.
    pub expression: String,
    /// `SQL92`.
    pub expression_type: String,
    /// Topic.
    pub topic: String,
}

/// The filters of one topic by group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicFilters {
    /// By group.
    pub group_filter_data: BTreeMap<String, ConsumerFilterData>,
    /// Topic.
    pub topic: String,
}

/// All filters by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerFilterTable {
    /// By topic.
    pub filter_data_by_topic: BTreeMap<String, TopicFilters>,
}
