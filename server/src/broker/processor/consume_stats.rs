// SPDX-License-Identifier: Apache-2.0
//! How far groups are: GET_CONSUME_STATS, GET_BROKER_CONSUME_STATS, QUERY_CONSUME_TIME_SPAN, QUERY_CORRECTION_OFFSET.

use std::collections::{BTreeMap, BTreeSet};

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::body::stats::{
    ConsumeOffset, ConsumeStats, ConsumeStatsList, QueryConsumeTimeSpanResponse,
    QueryCorrectionOffsetResponse, QueueTimeSpan,
};
use kerolox_protocol::header::stats::{
    GetBrokerConsumeStatsRequestHeader, GetConsumeStatsRequestHeader,
    QueryConsumeTimeSpanRequestHeader, QueryCorrectionOffsetRequestHeader,
};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

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
    broker.clients.subscription(group, topic).is_some() || !broker.clients.has_subscriptions(group)
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

/// QUERY_CONSUME_TIME_SPAN: store times of the first, the last and the last consumed message of each queue.
pub(crate) fn query_consume_time_span(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryConsumeTimeSpanRequestHeader<'_> = request.command.header()?;
        let (topic, group) = (wanted.topic, wanted.group);
        let config = broker.topics.get(topic).ok_or_else(|| {
            let remark = format!("topic '{topic}' does not exist on this broker");
            Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        let store = &broker.store;
        let spans = (0..config.write_queue_nums).map(|queue_id| {
            let time_at = |offset| store.store_time_at(topic, queue_id, offset);
            let first = store.earliest_store_time(topic, queue_id);
            let end = store.max_offset(topic, queue_id);
            let committed = broker.offsets.query(group, topic, queue_id).unwrap_or(-1);
            let consumed = if committed > 0 {
                time_at(committed - 1)
            } else {
                first
            };
            let next = (committed < end).then(|| time_at(committed.max(0)));
            QueueTimeSpan {
                consume_time_stamp: consumed.unwrap_or(-1),
                delay_time: next
                    .flatten()
                    .map_or(0, |next| request.now_ms.saturating_sub(next)),
                max_time_stamp: time_at(end - 1).unwrap_or(-1),
                message_queue: queue(broker, topic, queue_id),
                min_time_stamp: first.unwrap_or(-1),
            }
        });
        let consume_time_span_set = spans.collect();
        let body = QueryConsumeTimeSpanResponse {
            consume_time_span_set,
        };
        Ok(success().with_body(body::encode(&body)))
    })
}

/// QUERY_CORRECTION_OFFSET: the lowest offsets of all groups in a topic; the highest number where the group to compare with
/// is behind them.
///
/// Groups to leave out are left out. (The reference deletes their offsets.)
pub(crate) fn query_correction_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryCorrectionOffsetRequestHeader<'_> = request.command.header()?;
        let topic = wanted.topic;
        let left_out: Vec<&str> = wanted.filter_groups.unwrap_or("").split(',').collect();
        let mut correction_offsets: BTreeMap<i32, i64> = BTreeMap::new();
        for group in broker.offsets.groups_of(topic) {
            if left_out.contains(&group.as_str()) {
                continue;
            }
            for (queue_id, offset) in broker.offsets.queues_of(&group, topic) {
                if offset >= broker.store.min_offset(topic, queue_id) {
                    let lowest = correction_offsets.entry(queue_id).or_insert(offset);
                    *lowest = offset.min(*lowest);
                }
            }
        }
        for (queue_id, offset) in broker.offsets.queues_of(wanted.compare_group, topic) {
            if let Some(lowest) = correction_offsets.get_mut(&queue_id)
                && *lowest > offset
            {
                *lowest = i64::MAX;
            }
        }
        let body = QueryCorrectionOffsetResponse { correction_offsets };
        Ok(success().with_body(body::encode(&body)))
    })
}
