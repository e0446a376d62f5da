// SPDX-License-Identifier: Apache-2.0
//! The pull consumer as its instance and the brokers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use kerolox_protocol::body::heartbeat::{
    ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};
use kerolox_protocol::body::queue::MessageQueue;

use super::super::push::from_where;
use super::Inner;
use crate::instance::{GroupMember, RunningInfo};
use crate::message::Queue;

/// A consumer in the table of its instance; it does not keep the consumer alive.
struct Member(Weak<Inner>);

impl Inner {
    pub(super) fn member(self: &Arc<Self>) -> Arc<dyn GroupMember> {
        Arc::new(Member(Arc::downgrade(self)))
    }

    fn subscriptions(&self) -> Vec<SubscriptionData> {
        let topics: BTreeSet<String> = self
            .queues
            .lock()
            .keys()
            .map(|queue| queue.topic.clone())
            .collect();
        let filters = self.filters.lock();
        let of = |topic: String| {
            let filter = filters.get(&topic).cloned();
            filter.unwrap_or_else(|| SubscriptionData::tags(&topic, "*", self.started_ms))
        };
        topics.into_iter().map(of).collect()
    }
}

impl GroupMember for Member {
    fn heartbeat_data(&self) -> Option<ConsumerData> {
        let inner = self.0.upgrade()?;
        Some(ConsumerData {
            consume_from_where: from_where(inner.options.consume_from),
            consume_type: ConsumeType::ConsumeActively,
            group_name: inner.options.group.clone(),
            message_model: MessageModel::Clustering,
            subscription_data_set: inner.subscriptions(),
            unit_mode: false,
        })
    }

    fn topics(&self) -> Vec<String> {
        let Some(inner) = self.0.upgrade() else {
            return Vec::new();
        };
        inner
            .subscriptions()
            .into_iter()
            .map(|subscription| subscription.topic)
            .collect()
    }

    fn wake(&self) {}

    fn reset_offsets(&self, offsets: BTreeMap<MessageQueue, i64>) {
        let Some(inner) = self.0.upgrade() else {
            return;
        };
        for (queue, offset) in offsets {
            // A queue that is not assigned is none of ours.
            drop(Inner::seek(&inner, &Queue::from(queue), offset));
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
        let properties = [
            ("PROP_CLIENT_VERSION", "V5_5_0".to_owned()),
            ("PROP_CONSUMEORDERLY", "false".to_owned()),
            ("PROP_CONSUME_TYPE", "CONSUME_ACTIVELY".to_owned()),
            (
                "PROP_CONSUMER_START_TIMESTAMP",
                inner.started_ms.to_string(),
            ),
            ("PROP_THREADPOOL_CORE_SIZE", "0".to_owned()),
        ];
        RunningInfo {
            subscription_set: inner.subscriptions(),
            properties: properties
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ..RunningInfo::default()
        }
    }
}
