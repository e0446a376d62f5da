// SPDX-License-Identifier: Apache-2.0
//! Where the queues of a topic are. Source: wire.md 4.3.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The queues of a topic on one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueData {
    /// Broker name.
    pub broker_name: String,
    /// Bits of [`super::topic::perm`].
    pub perm: i32,
    /// Queues that consumers see.
    pub read_queue_nums: i32,
    /// Bits 1 unit, 2 has a unit subscription. Older peers spell it `topicSynFlag`.
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
    /// Queues that producers see.
    pub write_queue_nums: i32,
}

/// The members of a broker set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerData {
    /// Addresses `host:port` by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// Broker name.
    pub broker_name: String,
    /// Cluster.
    pub cluster: String,
    /// A slave may act as master.
    pub enable_acting_master: bool,
    /// Zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// Route of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicRouteData {
    /// Brokers.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by broker address; legacy, usually empty.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues;broker:queues` of an ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Queues.
    pub queue_datas: Vec<QueueData>,
    /// Static-topic mappings, kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, serde_json::Value>>,
}
