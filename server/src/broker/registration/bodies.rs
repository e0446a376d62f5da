// SPDX-License-Identifier: Apache-2.0
//! What is registered: all topics, or those that changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use kerolox_protocol::body;
use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable, perm};

use crate::broker::topics::{Changes, TopicTable};
use crate::config::BrokerConfig;

/// All topics.
pub(super) fn full(config: &BrokerConfig, topics: &TopicTable) -> Bytes {
    encode(config, topics.snapshot())
}

/// The topics that changed.
pub(super) fn increment(config: &BrokerConfig, changes: &Changes) -> Bytes {
    let topics = changes.topics.iter();
    let table = TopicConfigTable {
        data_version: changes.version,
        topic_config_table: topics
            .map(|(name, topic)| (name.clone(), TopicConfig::clone(topic)))
            .collect(),
        ..TopicConfigTable::default()
    };
    encode(config, table)
}

fn encode(config: &BrokerConfig, mut table: TopicConfigTable) -> Bytes {
    // This is how `brokerPermission` takes a broker out of service: its routes lose the bits.
    if config.broker_permission != perm::READ | perm::WRITE {
        for topic in table.topic_config_table.values_mut() {
            topic.perm &= config.broker_permission;
        }
    }
    table.mapping_data_version = Some(DataVersion::default());
    table.topic_queue_mapping_detail_map = Some(BTreeMap::new());
    table.topic_queue_mapping_info_map = Some(BTreeMap::new());
    let registration = RegisterBrokerBody {
        filter_server_list: Vec::new(),
        topic_config_serialize_wrapper: table,
    };
    body::encode(&registration).into()
}
