// SPDX-License-Identifier: Apache-2.0
//! The topics that every broker has. Source: server.md 4.

use kerolox_protocol::body::topic::{TopicConfig, perm};
use kerolox_protocol::message::name;

use crate::config::BrokerConfig;

const READ_WRITE: i32 = perm::READ | perm::WRITE;

/// The system's topics with their queues and permissions.
pub(super) fn topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    let cluster = &config.broker_cluster_name;
    let broker = &config.broker_name;
    let named = |enabled: bool| perm::INHERIT | if enabled { READ_WRITE } else { 0 };
    let mut topics = vec![
        TopicConfig::new(name::SELF_TEST_TOPIC, 1, READ_WRITE),
        TopicConfig::new(name::BENCHMARK_TOPIC, 1024, READ_WRITE),
        TopicConfig::new(cluster, 16, named(config.cluster_topic_enable)),
        TopicConfig::new(broker, 1, named(config.broker_topic_enable)),
        TopicConfig::new(name::OFFSET_MOVED_EVENT, 1, READ_WRITE),
        TopicConfig::new(name::SCHEDULE_TOPIC, schedule_queues(config), READ_WRITE),
        TopicConfig::new(format!("{cluster}_REPLY_TOPIC"), 1, READ_WRITE),
        TopicConfig::new(
            format!("rmq_sys_REVIVE_LOG_{cluster}"),
            config.revive_queue_num,
            READ_WRITE,
        ),
        TopicConfig::new(
            format!("rmq_sys_SYNC_BROKER_MEMBER_{broker}"),
            1,
            perm::INHERIT,
        ),
        TopicConfig::new(name::HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(name::OP_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(name::ROCKSDB_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(name::ROCKSDB_OP_HALF_TOPIC, 1, READ_WRITE),
        TopicConfig::new(name::TIMER_TOPIC, 1, READ_WRITE),
    ];
    if config.auto_create_topic_enable {
        let queues = config.default_topic_queue_nums;
        topics.push(TopicConfig::new(
            name::AUTO_CREATE_TOPIC,
            queues,
            READ_WRITE | perm::INHERIT,
        ));
    }
    if config.trace_topic_enable {
        topics.push(TopicConfig::new(
            &config.msg_trace_topic_name,
            1,
            READ_WRITE,
        ));
    }
    topics
}

/// The reference has 18 whatever the levels are; more levels need more.
fn schedule_queues(config: &BrokerConfig) -> i32 {
    let levels = config.delay_levels_ms().len();
    i32::try_from(levels).unwrap_or(i32::MAX).max(18)
}
