// SPDX-License-Identifier: Apache-2.0
//! Subscription groups and their members. Source: wire.md 4.7, 4.10.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic::DataVersion;

/// Settings of a consumer group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupConfig {
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Broker id to read from.
    pub broker_id: i64,
    /// Broadcasting is allowed.
    pub consume_broadcast_enable: bool,
    /// Consuming is allowed.
    pub consume_enable: bool,
    /// Consuming from the first offset is allowed.
    pub consume_from_min_enable: bool,
    /// Ordered consumption.
    pub consume_message_orderly: bool,
    /// Minutes that a listener may take.
    pub consume_timeout_minute: i32,
    /// Name.
    pub group_name: String,
    /// Retry policy, kept as it came.
    pub group_retry_policy: serde_json::Value,
    /// Bit 1 unit.
    pub group_sys_flag: i32,
    /// Members are told when others come and go.
    pub notify_consumer_ids_changed_enable: bool,
    /// Tries before the dead letter topic.
    pub retry_max_times: i32,
    /// Queues of the retry topic.
    pub retry_queue_nums: i32,
    /// Fixed subscriptions, kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<serde_json::Value>,
    /// Broker id to read from when the group is behind.
    pub which_broker_when_consume_slowly: i64,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: serde_json::json!({"type": "CUSTOMIZED"}),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// Groups by name with their version; the content of `subscriptionGroup.json`, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Group to topic to forbidden bits.
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// Groups.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// Answer of GET_CONSUMER_LIST_BY_GROUP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerList {
    /// Client ids.
    pub consumer_id_list: Vec<String>,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupList {
    /// Groups to create or change.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}
