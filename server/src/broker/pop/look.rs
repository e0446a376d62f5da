// SPDX-License-Identifier: Apache-2.0
//! Looks at queues without taking anything: NOTIFICATION and PEEK_MESSAGE.
//!
//! Source: server.md 20.1, wire.md 6.5.

use std::sync::Arc;

use bytes::Bytes;
use kerolox_protocol::message::name;

use super::order_info::of_group;
use super::request::PopRequest;
use crate::broker::Broker;
use crate::store::{GetStatus, QueueHandle};

/// Whether there is something to pop, and the topic's queues with the maximum up to which they were looked at.
pub(super) fn look(
    broker: &Broker,
    wanted: &PopRequest,
    now_ms: i64,
) -> (bool, Vec<(Arc<QueueHandle>, i64)>) {
    let mut seen = Vec::new();
    let queues = match broker.topics.get(&wanted.topic) {
        Some(_) if wanted.queue_id >= 0 => wanted.queue_id..wanted.queue_id.saturating_add(1),
        Some(config) => 0..config.read_queue_nums,
        None => return (false, seen),
    };
    let mut found = false;
    for queue_id in queues {
        let Ok(queue) = broker.store.queue(&wanted.topic, queue_id) else {
            continue;
        };
        let max = queue.max_offset();
        found |= max > position(broker, &wanted.topic, &wanted.group, queue_id)
            && !is_blocked(broker, wanted, queue_id, now_ms);
        seen.push((queue, max));
    }
    let has_retry = || {
        retry_topics(broker, &wanted.topic, &wanted.group)
            .iter()
            .any(|topic| {
                let queues = broker.topics.get(topic).map_or(0, |c| c.read_queue_nums);
                (0..queues).any(|queue_id| {
                    broker.store.max_offset(topic, queue_id)
                        > position(broker, topic, &wanted.group, queue_id)
                })
            })
    };
    (found || has_retry(), seen)
}

fn is_blocked(broker: &Broker, wanted: &PopRequest, queue_id: i32, now_ms: i64) -> bool {
    let queue = of_group(&wanted.topic, &wanted.group, queue_id);
    wanted.is_ordered
        && broker
            .pop
            .order
            .is_blocked(&queue, wanted.attempt_id.as_deref(), 0, now_ms)
}

/// The group's retry topics of a topic that are read.
fn retry_topics(broker: &Broker, topic: &str, group: &str) -> Vec<String> {
    let config = &broker.config;
    let mut topics = Vec::new();
    if config.enable_retry_topic_v2 {
        topics.push(name::pop_retry_topic(topic, group, true));
    }
    if !config.enable_retry_topic_v2 || config.retrieve_message_from_pop_retry_topic_v1 {
        topics.push(name::pop_retry_topic(topic, group, false));
    }
    topics
}

/// Where a pop of the group would begin.
fn position(broker: &Broker, topic: &str, group: &str, queue_id: i32) -> i64 {
    let committed = broker.offsets.query(group, topic, queue_id);
    committed.unwrap_or_else(|| broker.store.min_offset(topic, queue_id))
}

/// What PEEK_MESSAGE found.
#[derive(Debug, Default)]
pub(in crate::broker) struct Peeked {
    /// Messages that the group did not take yet, those in `slices` included.
    pub(in crate::broker) rest: i64,
    pub(in crate::broker) count: usize,
    /// Whole records.
    pub(in crate::broker) slices: Vec<Bytes>,
}

/// Reads messages of a topic's queue, or of all with a negative id, and of the group's retry topic, without taking them.
pub(in crate::broker) fn peek(
    broker: &Broker,
    topic: &str,
    group: &str,
    queue_id: i32,
    max_messages: usize,
) -> Peeked {
    let mut peeked = Peeked::default();
    let draw = fastrand::i32(0..100);
    let is_v2 = broker.config.enable_retry_topic_v2;
    let retry_topic = name::pop_retry_topic(topic, group, is_v2);
    let retry_first = draw % 5 == 0;
    let read = |peeked: &mut Peeked, topic: &str, wanted: i32| {
        let queues = broker.topics.get(topic).map_or(0, |c| c.read_queue_nums);
        if wanted >= 0 {
            return peek_queue(broker, topic, group, wanted, max_messages, peeked);
        }
        for index in 0..queues {
            let queue_id = draw.wrapping_add(index).rem_euclid(queues);
            peek_queue(broker, topic, group, queue_id, max_messages, peeked);
        }
    };
    if retry_first {
        read(&mut peeked, &retry_topic, -1);
    }
    read(&mut peeked, topic, queue_id);
    if !retry_first && peeked.count < max_messages {
        read(&mut peeked, &retry_topic, -1);
    }
    peeked
}

fn peek_queue(
    broker: &Broker,
    topic: &str,
    group: &str,
    queue_id: i32,
    max_messages: usize,
    peeked: &mut Peeked,
) {
    let Some(queue) = broker.store.find_queue(topic, queue_id) else {
        return;
    };
    let offset = position(broker, topic, group, queue_id);
    peeked.rest += (queue.max_offset() - offset).max(0);
    let room = max_messages.saturating_sub(peeked.count);
    if room == 0 {
        return;
    }
    let read = |offset| {
        let store = &broker.store;
        store.get_from(&queue, offset, room, usize::MAX, &mut |_| true)
    };
    let mut result = read(offset);
    if matches!(
        result.status,
        GetStatus::OffsetTooSmall | GetStatus::OffsetOverflowBadly
    ) {
        result = read(result.next_offset);
    }
    peeked.count += result.count;
    peeked.slices.extend(result.slices);
}
