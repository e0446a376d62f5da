// SPDX-License-Identifier: Apache-2.0
//! How far groups are: GET_CONSUME_STATS, GET_BROKER_CONSUME_STATS.

use std::collections::{BTreeMap, BTreeSet};

use kerolox_protocol::body;
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::body::stats::{ConsumeOffset, ConsumeStats, ConsumeStatsList};
use kerolox_protocol::header::stats::{
    GetBrokerConsumeStatsRequestHeader, GetConsumeStatsRequestHeader,
};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{answer, success};

/// GET_CONSUME_STATS: offsets of a group in the topics that were asked for, or in all that it committed offsets of and, if
/// it is connected, still subscribes to.
pub(crate) fn get_consume_stats(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetConsumeStatsRequestHeader<'_> = request.command.header()?;
        let group = wanted.consumer_group;
        let named = |text: Option<&'_ str>| {
            let names = text.unwrap_or("").split(';').map(str::trim);
            let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
            names.collect::<BTreeSet<_>>()
        };
        let mut topics = named(wanted.topic_list);
        if topics.is_empty() {
            topics = match wanted
                .topic
                .map(str::trim)
                .filter(|topic| !topic.is_empty())
            {
                Some(topic) => BTreeSet::from([topic.to_owned()]),
                None => broker.offsets.topics_of(group).into_iter().collect(),
            };
            topics.retain(|topic| is_subscribed(broker, group, topic));
        }
        let mut all = ConsumeStats::default();
        for topic in topics {
            let Some(config) = broker.topics.get(&topic) else {
                continue;
            };
            let stats = stats_of(broker, group, &topic, config.read_queue_nums);
            all.consume_tps += stats.consume_tps;
            all.offset_table.0.extend(stats.offset_table.0);
        }
        Ok(success().with_body(body::encode(&all)))
    })
}

/// Whether a group reads a topic as far as is known: one that is not connected is believed.
fn is_subscribed(broker: &Broker, group: &str, topic: &str) -> bool {
    broker.clients.known_subscription(group, topic).is_some()
        || !broker.clients.has_subscriptions(group)
}

fn stats_of(broker: &Broker, group: &str, topic: &str, queues: i32) -> ConsumeStats {
    let mut stats = ConsumeStats {
        consume_tps: broker.stats.group_get_tps(group, topic),
        ..ConsumeStats::default()
    };
    for queue_id in 0..queues {
        let committed = broker.offsets.query(group, topic, queue_id);
        let consumer_offset = committed.unwrap_or(0).max(0);
        let pulled = broker.stats.pull_offset(group, topic, queue_id);
        let last = broker
            .store
            .store_time_at(topic, queue_id, consumer_offset - 1);
        let offset = ConsumeOffset {
            broker_offset: broker.store.max_offset(topic, queue_id),
            consumer_offset,
            last_timestamp: last.unwrap_or(0),
            pull_offset: pulled.unwrap_or(0).max(consumer_offset),
        };
        let queue = queue(broker, topic, queue_id);
        stats.offset_table.0.insert(queue, offset);
    }
    stats
}

fn queue(broker: &Broker, topic: &str, queue_id: i32) -> MessageQueue {
    MessageQueue {
        topic: topic.to_owned(),
        broker_name: broker.config.broker_name.clone(),
        queue_id,
    }
}

/// GET_BROKER_CONSUME_STATS: the same of all groups.
pub(crate) fn get_broker_consume_stats(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetBrokerConsumeStatsRequestHeader = request.command.header()?;
        let mut all = ConsumeStatsList {
            broker_addr: broker.store_host.to_string(),
            ..ConsumeStatsList::default()
        };
        for group in broker.groups.names() {
            let mut of_group = Vec::new();
            for topic in broker.offsets.topics_of(&group) {
                let Some(config) = broker.topics.get(&topic) else {
                    continue;
                };
                let is_wanted = !wanted.is_order || config.order;
                if !is_wanted || !is_subscribed(broker, &group, &topic) {
                    continue;
                }
                let stats = stats_of(broker, &group, &topic, config.write_queue_nums);
                all.total_diff = all.total_diff.saturating_add(stats.total_diff());
                all.total_inflight_diff = all
                    .total_inflight_diff
                    .saturating_add(stats.inflight_diff());
                of_group.push(stats);
            }
            all.consume_stats_list
                .push(BTreeMap::from([(group, of_group)]));
        }
        Ok(success().with_body(body::encode(&all)))
    })
}
