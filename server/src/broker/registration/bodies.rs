// SPDX-License-Identifier: Apache-2.0
//! What is registered: all topics, in one piece or in parts, or those that changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use kerolox_protocol::body;
use kerolox_protocol::body::register::RegisterBrokerBody;
use kerolox_protocol::body::route::{QueueData, TopicRouteData};
use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable, perm};

use crate::broker::topics::{Changes, TopicTable};
use crate::config::BrokerConfig;

/// Fewest topics of a part: a name server takes no single topic from a broker that it does not know.
const SMALLEST_PART: usize = 2;

/// All topics.
pub(super) fn full(config: &BrokerConfig, topics: &TopicTable) -> Vec<Bytes> {
    let table = topics.snapshot();
    let size = config.split_registration_size.max(SMALLEST_PART);
    if !config.enable_split_registration || table.topic_config_table.len() <= size {
        return vec![encode(config, table)];
    }
    let version = table.data_version;
    let mut parts: Vec<TopicConfigTable> = Vec::new();
    for (name, topic) in table.topic_config_table {
        match parts.last_mut() {
            Some(part) if part.topic_config_table.len() < size => {
                part.topic_config_table.insert(name, topic);
            }
            _ => parts.push(TopicConfigTable {
                topic_config_table: BTreeMap::from([(name, topic)]),
                ..TopicConfigTable::default()
            }),
        }
    }
    // A name server looks at topics that it has only when the version is another than the last: so each part has its
    // own, and the last part the real one.
    for (part, before_last) in parts.iter_mut().rev().zip(0..) {
        part.data_version = DataVersion {
            counter: version.counter.wrapping_sub(before_last),
            ..version
        };
    }
    parts.into_iter().map(|part| encode(config, part)).collect()
}

/// The topics that changed, as an increment of the broker's registration.
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

/// The topics that changed, each as the route that REGISTER_TOPIC_IN_NAMESRV takes.
pub(super) fn single_topics(config: &BrokerConfig, changes: &Changes) -> Vec<(String, Bytes)> {
    let route = |topic: &TopicConfig| TopicRouteData {
        queue_datas: vec![QueueData {
            broker_name: config.broker_name.clone(),
            perm: topic.perm & allowed(config),
            read_queue_nums: topic.read_queue_nums,
            topic_sys_flag: topic.topic_sys_flag,
            write_queue_nums: topic.write_queue_nums,
        }],
        ..TopicRouteData::default()
    };
    let topics = changes.topics.iter();
    topics
        .map(|(name, topic)| (name.clone(), body::encode(&route(topic)).into()))
        .collect()
}

/// Bits that topics may have. This is how `brokerPermission` takes a broker out of service: its routes lose the bits.
const fn allowed(config: &BrokerConfig) -> i32 {
    const BOTH: i32 = perm::READ | perm::WRITE;
    if config.broker_permission & BOTH == BOTH {
        !0
    } else {
        config.broker_permission
    }
}

fn encode(config: &BrokerConfig, mut table: TopicConfigTable) -> Bytes {
    for topic in table.topic_config_table.values_mut() {
        topic.perm &= allowed(config);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::disk::RealDisk;

    #[test]
    fn parts_hold_every_topic_once_and_have_versions_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig {
            enable_split_registration: true,
            split_registration_size: 5,
            broker_permission: perm::READ,
            ..BrokerConfig::default()
        };
        let topics = TopicTable::open(&config, dir.path(), Arc::new(RealDisk::new()), 1).unwrap();
        let wanted = topics.snapshot();
        let read = |bytes: &Bytes| {
            let body: RegisterBrokerBody = body::decode(bytes).unwrap();
            body.topic_config_serialize_wrapper
        };
        let parts: Vec<_> = full(&config, &topics).iter().map(read).collect();
        assert_eq!(parts.len(), wanted.topic_config_table.len().div_ceil(5));
        let names: Vec<_> = parts
            .iter()
            .flat_map(|part| part.topic_config_table.keys())
            .collect();
        assert_eq!(names, wanted.topic_config_table.keys().collect::<Vec<_>>());
        assert_eq!(parts.last().unwrap().data_version, wanted.data_version);
        for pair in parts.windows(2) {
            assert_ne!(pair[0].data_version, pair[1].data_version);
        }
        assert_ne!(
            parts[0].data_version, wanted.data_version,
            "differs from the last time"
        );
        let all_topics = parts
            .iter()
            .flat_map(|part| part.topic_config_table.values());
        assert!(
            all_topics
                .clone()
                .all(|topic| !perm::is_writable(topic.perm))
        );

        config.enable_split_registration = false;
        let whole: Vec<_> = full(&config, &topics).iter().map(read).collect();
        assert_eq!(whole.len(), 1);
        assert_eq!(
            whole[0].topic_config_table.len(),
            wanted.topic_config_table.len()
        );
    }
}
