// SPDX-License-Identifier: Apache-2.0
//! Topic configuration, topic lists, data versions. Source: wire.md 4.2, 4.6.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bits of [`TopicConfig::perm`].
pub mod perm {
    /// New topics may inherit from this one.
    pub const INHERIT: i32 = 1;
    /// Messages may be sent.
    pub const WRITE: i32 = 2;
    /// Messages may be pulled.
    pub const READ: i32 = 4;
    /// Legacy.
    pub const PRIORITY: i32 = 8;

    /// Whether `perm` lets messages be sent.
    pub const fn is_writable(perm: i32) -> bool {
        perm & WRITE != 0
    }

    /// Whether `perm` lets messages be pulled.
    pub const fn is_readable(perm: i32) -> bool {
        perm & READ != 0
    }

    /// Whether topics may be created after this one.
    pub const fn is_inherited(perm: i32) -> bool {
        perm & INHERIT != 0
    }

    /// The reference's text, such as `RW-`.
    pub fn text(perm: i32) -> String {
        let letter = |bit, letter| if perm & bit != 0 { letter } else { '-' };
        [letter(READ, 'R'), letter(WRITE, 'W'), letter(INHERIT, 'X')]
            .iter()
            .collect()
    }
}

/// Version of a table: newer is larger by state version, then counter, then time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DataVersion {
    /// Changes so far.
    pub counter: i64,
    /// Epoch of the controller, 0 without one.
    pub state_version: i64,
    /// Milliseconds since the epoch of the last change.
    pub timestamp: i64,
}

impl DataVersion {
    /// Notes a change at `now_ms`.
    pub fn next(&mut self, now_ms: i64) {
        self.timestamp = now_ms;
        self.counter = self.counter.wrapping_add(1);
    }
}

/// Settings of a topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfig {
    /// Attributes such as `message.type`, without the sign of a change request.
    pub attributes: BTreeMap<String, String>,
    /// Ordered topic.
    pub order: bool,
    /// Bits of [`perm`].
    pub perm: i32,
    /// Queues that consumers see.
    pub read_queue_nums: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// Name.
    pub topic_name: String,
    /// Bits 1 unit, 2 has a unit subscription.
    pub topic_sys_flag: i32,
    /// Queues that producers see.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: perm::READ | perm::WRITE,
            read_queue_nums: 16,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    /// A topic with as many read as write queues and the reference's other defaults.
    pub fn new(topic_name: impl Into<String>, queue_nums: i32, perm: i32) -> Self {
        Self {
            topic_name: topic_name.into(),
            read_queue_nums: queue_nums,
            write_queue_nums: queue_nums,
            perm,
            ..Self::default()
        }
    }
}

/// Topics by name with their version; the content of `topics.json`, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicConfigTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Version of the static-topic mappings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_data_version: Option<DataVersion>,
    /// Topics.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// Static-topic mappings in full, kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_detail_map: Option<BTreeMap<String, serde_json::Value>>,
    /// Static-topic mappings, kept as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_info_map: Option<BTreeMap<String, serde_json::Value>>,
}

/// Names of topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicList {
    /// Some broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// Topics, or other names where the request says so.
    pub topic_list: Vec<String>,
}

/// Body of UPDATE_AND_CREATE_TOPIC_LIST; attributes carry the signs of a change request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CreateTopicListRequest {
    /// Topics to create or change.
    pub topic_config_list: Vec<TopicConfig>,
}

/// Names of consumer groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupList {
    /// Groups.
    pub group_list: Vec<String>,
}
