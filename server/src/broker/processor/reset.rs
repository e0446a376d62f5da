// SPDX-License-Identifier: Apache-2.0
//! Offsets of groups set from outside: INVOKE_BROKER_TO_RESET_OFFSET and CLONE_GROUP_OFFSET.

use std::collections::BTreeMap;

use kerolox_protocol::body;
use kerolox_protocol::body::consumption::{QueueOffsetEntries, QueueOffsetEntry};
use kerolox_protocol::body::offset::QueueOffsets;
use kerolox_protocol::body::queue::{MessageQueue, QueueMap};
use kerolox_protocol::body::topic::TopicConfig;
use kerolox_protocol::header::reset::{CloneGroupOffsetRequestHeader, ResetOffsetRequestHeader};
use kerolox_protocol::message::name;
use kerolox_protocol::{Command, LanguageCode, RequestCode, ResponseCode};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};
use crate::store::Boundary;

/// INVOKE_BROKER_TO_RESET_OFFSET: here (`useServerSideResetOffset`), or by telling the clients.
pub(crate) fn reset_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ResetOffsetRequestHeader<'_> = request.command.header()?;
        let topic = broker.topics.get(wanted.topic).ok_or_else(|| {
            let remark = format!(
                "topic '{}' does not exist, no offset is reset",
                wanted.topic
            );
            Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        let offsets = if broker.config.use_server_side_reset_offset {
            reset_here(broker, &wanted, &topic)?
        } else {
            let is_cpp = request.command.language == LanguageCode::Cpp;
            tell_clients(broker, &wanted, &topic, is_cpp)?
        };
        let offset_table = by_queue(broker, wanted.topic, &offsets);
        Ok(success().with_body(body::encode(&QueueOffsets { offset_table })))
    })
}

fn by_queue(broker: &Broker, topic: &str, offsets: &BTreeMap<i32, i64>) -> QueueMap<i64> {
    let entries = offsets.iter().map(|(queue_id, offset)| {
        let queue = MessageQueue {
            topic: topic.to_owned(),
            broker_name: broker.config.broker_name.clone(),
            queue_id: *queue_id,
        };
        (queue, *offset)
    });
    QueueMap(entries.collect())
}

/// The first offset at or after a time; the end for a negative one.
fn offset_at(broker: &Broker, topic: &str, queue_id: i32, timestamp: i64) -> i64 {
    if timestamp < 0 {
        return broker.store.max_offset(topic, queue_id);
    }
    let store = &broker.store;
    store
        .offset_by_time(topic, queue_id, timestamp, Boundary::Lower)
        .max(0)
}

fn reset_here(
    broker: &Broker,
    wanted: &ResetOffsetRequestHeader<'_>,
    config: &TopicConfig,
) -> Result<BTreeMap<i32, i64>, Refusal> {
    let (group, topic) = (wanted.group, wanted.topic);
    if broker.groups.get(group).is_none() {
        let remark = format!("consumer group '{group}' does not exist, no offset is reset");
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            remark,
        ));
    }
    let queue_id = wanted.queue_id.unwrap_or(-1);
    let at_time = |queue_id| offset_at(broker, topic, queue_id, wanted.timestamp);
    let offsets: BTreeMap<i32, i64> = if queue_id < 0 {
        (0..config.read_queue_nums)
            .map(|queue_id| (queue_id, at_time(queue_id)))
            .collect()
    } else {
        if queue_id >= config.read_queue_nums {
            let remark = format!(
                "queueId is {queue_id}, topic '{topic}' has {} queues",
                config.read_queue_nums
            );
            return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
        }
        let offset = match wanted.offset.filter(|offset| *offset != -1) {
            Some(offset) => in_range(broker, topic, queue_id, offset)?,
            None => at_time(queue_id),
        };
        BTreeMap::from([(queue_id, offset)])
    };
    if offsets.is_empty() {
        let remark = format!("topic '{topic}' has no queues to reset");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    for (queue_id, offset) in &offsets {
        broker.offsets.reset(group, topic, *queue_id, *offset);
        // A pull that waits learns of it now.
        if let Some(queue) = broker.store.find_queue(topic, *queue_id) {
            broker.arrived(&queue);
        }
    }
    tracing::info!(group, topic, ?offsets, "offsets are reset");
    Ok(offsets)
}

fn in_range(broker: &Broker, topic: &str, queue_id: i32, offset: i64) -> Result<i64, Refusal> {
    let (min, max) = (
        broker.store.min_offset(topic, queue_id),
        broker.store.max_offset(topic, queue_id),
    );
    if offset < min.max(0) || offset > max.saturating_add(1) {
        let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    Ok(offset)
}

/// Computes the offsets and sends them to every member of the group.
fn tell_clients(
    broker: &Broker,
    wanted: &ResetOffsetRequestHeader<'_>,
    config: &TopicConfig,
    is_cpp: bool,
) -> Result<BTreeMap<i32, i64>, Refusal> {
    let (group, topic) = (wanted.group, wanted.topic);
    let mut offsets = BTreeMap::new();
    for queue_id in 0..config.write_queue_nums {
        let consumed = broker.offsets.query(group, topic, queue_id).ok_or_else(|| {
            let remark = format!(
                "consumer group '{group}' committed no offset of topic '{topic}' queue {queue_id}"
            );
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let timestamp = wanted.timestamp;
        let at_time = if timestamp == -1 {
            broker.store.max_offset(topic, queue_id)
        } else {
            offset_at(broker, topic, queue_id, timestamp.max(0))
        };
        let is_force = wanted.is_force == Some(true);
        let offset = if is_force {
            at_time
        } else {
            at_time.min(consumed)
        };
        offsets.insert(queue_id, offset);
    }
    let sessions = broker.clients.consumer_sessions(group);
    if sessions.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {}",
            wanted.timestamp
        );
        return Err(Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    }
    let header = ResetOffsetRequestHeader {
        topic,
        group,
        queue_id: Some(-1),
        offset: None,
        timestamp: wanted.timestamp,
        is_force: Some(false),
    };
    let table = by_queue(broker, topic, &offsets);
    let body = if is_cpp {
        let entries = table.0.into_iter().map(|(queue, offset)| QueueOffsetEntry {
            broker_name: queue.broker_name,
            offset,
            queue_id: queue.queue_id,
            topic: queue.topic,
        });
        let offset_table = entries.collect();
        body::encode(&QueueOffsetEntries { offset_table })
    } else {
        body::encode(&QueueOffsets {
            offset_table: table,
        })
    };
    let notice = Command::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &header)
        .with_body(body)
        .oneway();
    for session in sessions {
        session.send(&notice);
    }
    Ok(offsets)
}

/// CLONE_GROUP_OFFSET: gives a group the offsets of another one, of one topic or of all.
pub(crate) fn clone_group_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: CloneGroupOffsetRequestHeader<'_> = request.command.header()?;
        let (from, to) = (wanted.src_group, wanted.dest_group);
        name::check_group_on_broker(to).map_err(|error| {
            let remark = format!("destGroup '{to}': {error}");
            Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
        })?;
        let topics = match wanted
            .topic
            .map(str::trim)
            .filter(|topic| !topic.is_empty())
        {
            Some(topic) => vec![topic.to_owned()],
            None => broker.offsets.topics_of(from),
        };
        for topic in topics {
            let is_offline = wanted.offline == Some(true);
            // While the group is online only what it subscribes to counts.
            let is_left = !is_offline
                && broker.clients.group_known(from)
                && broker.clients.known_subscription(from, &topic).is_none();
            if is_left || broker.topics.get(&topic).is_none() {
                tracing::warn!(
                    from,
                    to,
                    topic,
                    "offsets are not cloned: no such topic or subscription"
                );
                continue;
            }
            broker.offsets.copy(from, to, &topic);
        }
        Ok(success())
    })
}
