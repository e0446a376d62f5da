// SPDX-License-Identifier: Apache-2.0
//! The push consumer as its instance and the brokers see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use kerolox_protocol::body::heartbeat::{
    self, ConsumeFromWhere, ConsumeType, ConsumerData, SubscriptionData,
};
use kerolox_protocol::body::queue::{MessageQueue, QueueMap};

use super::super::{ConsumeFrom, MessageModel};
use super::Inner;
use crate::instance::{GroupMember, QueueInfo, RunningInfo};
use crate::message::Queue;

/// What heartbeats call the beginning of a new group.
pub(in crate::consumer) fn from_where(from: ConsumeFrom) -> ConsumeFromWhere {
    match from {
        ConsumeFrom::LastOffset => ConsumeFromWhere::ConsumeFromLastOffset,
        ConsumeFrom::FirstOffset => ConsumeFromWhere::ConsumeFromFirstOffset,
        ConsumeFrom::Timestamp => ConsumeFromWhere::ConsumeFromTimestamp,
    }
}

/// A consumer in the table of its instance; it does not keep the consumer alive.
pub(super) struct Member(pub(super) Weak<Inner>);

impl GroupMember for Member {
    fn heartbeat_data(&self) -> Option<ConsumerData> {
        let inner = self.0.upgrade()?;
        Some(ConsumerData {
            consume_from_where: from_where(inner.options.consume_from),
            consume_type: ConsumeType::ConsumePassively,
            group_name: inner.group().to_owned(),
            message_model: match inner.options.message_model {
                MessageModel::Clustering => heartbeat::MessageModel::Clustering,
                MessageModel::Broadcasting => heartbeat::MessageModel::Broadcasting,
            },
            subscription_data_set: inner.subscriptions.values().cloned().collect(),
            unit_mode: false,
        })
    }

    fn topics(&self) -> Vec<String> {
        self.0
            .upgrade()
            .map(|inner| inner.subscriptions.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn wake(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.changed.notify_one();
        }
    }

    fn reset_offsets(&self, offsets: BTreeMap<MessageQueue, i64>) {
        if let Some(inner) = self.0.upgrade() {
            let offsets = offsets
                .into_iter()
                .map(|(queue, offset)| (Queue::from(queue), offset));
            inner.move_offsets(offsets.collect());
        }
    }

    fn offsets(&self, topic: &str) -> BTreeMap<MessageQueue, i64> {
        let Some(inner) = self.0.upgrade() else {
            return BTreeMap::new();
        };
        let queues = inner.queues.lock();
        let of_topic = queues.iter().filter(|(queue, _)| queue.topic == topic);
        of_topic
            .filter_map(|(queue, assigned)| Some((queue.into(), assigned.queue.commit_offset()?)))
            .collect()
    }

    fn running_info(&self) -> RunningInfo {
        let Some(inner) = self.0.upgrade() else {
            return RunningInfo::default();
        };
        let subscription_set: Vec<SubscriptionData> =
            inner.subscriptions.values().cloned().collect();
        let mut mq_table = BTreeMap::new();
        for (queue, assigned) in inner.queues.lock().iter() {
            let (count, bytes, first, last) = assigned.queue.figures();
            mq_table.insert(
                MessageQueue::from(queue),
                QueueInfo {
                    cached_msg_count: count,
                    cached_msg_min_offset: first,
                    cached_msg_max_offset: last,
                    cached_msg_size_in_mib: bytes / (1024 * 1024),
                    commit_offset: assigned.queue.commit_offset().unwrap_or(-1),
                    locked: inner.uses_locks(),
                    ..QueueInfo::default()
                },
            );
        }
        let properties = [
            ("PROP_CLIENT_VERSION", "V5_5_0".to_owned()),
            ("PROP_CONSUMEORDERLY", "false".to_owned()),
            ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY".to_owned()),
            (
                "PROP_CONSUMER_START_TIMESTAMP",
                inner.started_ms.to_string(),
            ),
            ("PROP_THREADPOOL_CORE_SIZE", "0".to_owned()),
            (
                "consumeFromWhere",
                inner.options.consume_from.name().to_owned(),
            ),
            (
                "messageModel",
                inner.options.message_model.name().to_owned(),
            ),
            ("pullBatchSize", inner.options.pull_batch_size.to_string()),
            (
                "pullThresholdForQueue",
                inner.options.pull_threshold_for_queue.to_string(),
            ),
        ];
        RunningInfo {
            mq_table: QueueMap(mq_table),
            subscription_set,
            properties: properties
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ..RunningInfo::default()
        }
    }
}

impl Inner {
    pub(super) fn member(self: &Arc<Self>) -> Arc<dyn GroupMember> {
        Arc::new(Member(Arc::downgrade(self)))
    }
}
