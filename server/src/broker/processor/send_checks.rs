// SPDX-License-Identifier: Apache-2.0
//! What is checked of every send before its message is looked at: the time, the topic, the queue.
//!
//! Source: server.md 4, 6.2.

use std::sync::Arc;

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body::topic::{TopicConfig, perm};
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_protocol::message::{name, properties, property, sys_flag};

use crate::broker::Broker;
use crate::net::Request;
use crate::refusal::Refusal;

/// Bit of a topic that belongs to a unit.
const UNIT: i32 = 1;
/// Bit of a retry topic whose group subscribes across units.
const UNIT_SUBSCRIPTION: i32 = 2;

/// The topic of a send.
pub(super) struct Target {
    pub(super) config: Arc<TopicConfig>,
    /// This send made it.
    pub(super) is_new: bool,
}

/// Refuses sends before `startAcceptSendRequestTimeStamp`.
pub(super) fn accepting(broker: &Broker, request: &Request<'_>) -> Result<(), Refusal> {
    let from_ms = broker.config.start_accept_send_request_time_stamp;
    if request.now_ms >= from_ms {
        return Ok(());
    }
    let remark = format!(
        "broker unable to service, until {from_ms} ms since the epoch (startAcceptSendRequestTimeStamp), now it is {}",
        request.now_ms
    );
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// Refuses a send while too many bytes are stored and not acknowledged: the disk does not keep up, and no client has
/// to wait for its turn any longer than for an answer.
pub(super) fn admitted(broker: &Broker) -> Result<(), Refusal> {
    let in_flight = broker.flush_waiters.in_flight();
    let most = broker.config.send_bytes_in_flight_max;
    if in_flight <= most {
        return Ok(());
    }
    let remark = format!(
        "[PC_SYNCHRONIZED]broker busy, {in_flight} bytes of messages wait for the disk, at most {most} may \
         (sendBytesInFlightMax); send again later or to another broker"
    );
    Err(Refusal::new(ResponseCode::SYSTEM_BUSY, remark))
}

/// The topic of a send: known, or created from its default topic.
pub(super) fn topic(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
) -> Result<Target, Refusal> {
    let known = broker.topics.get(header.topic);
    let is_ordered = known.as_ref().is_some_and(|topic| topic.order);
    if is_ordered && !perm::is_writable(broker.config.broker_permission) {
        return Err(Refusal::new(
            ResponseCode::NO_PERMISSION,
            format!(
                "the broker[{}] sending message is forbidden, its brokerPermission is {}",
                broker.store_host,
                perm::text(broker.config.broker_permission)
            ),
        ));
    }
    if known.is_none() {
        name::check_topic(header.topic)
            .map_err(|error| Refusal::new(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
    }
    if !name::is_send_allowed(header.topic) {
        return Err(Refusal::new(
            ResponseCode::NO_PERMISSION,
            format!("Sending message to topic[{}] is forbidden.", header.topic),
        ));
    }
    if let Some(config) = known {
        let is_new = false;
        return Ok(Target { config, is_new });
    }
    let sys_flag = match header.unit_mode {
        Some(true) if name::is_retry_topic(header.topic) => UNIT_SUBSCRIPTION,
        Some(true) => UNIT,
        _ => 0,
    };
    let created = broker.topics.create_on_send(
        header.topic,
        header.default_topic,
        header.default_topic_queue_nums,
        sys_flag,
        request.now_ms,
    );
    match created {
        Ok(config) => Ok(Target {
            config,
            is_new: true,
        }),
        Err(remark) => Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)),
    }
}

/// Bits that messages of a topic get besides those of the producer.
pub(super) fn message_flags(topic: &TopicConfig) -> i32 {
    if topic.topic_filter_type == "MULTI_TAG" {
        sys_flag::MULTI_TAGS
    } else {
        0
    }
}

/// Whether messages of a topic are kept by key (`cleanup.policy=COMPACTION`).
pub(super) fn needs_keys(topic: &TopicConfig) -> bool {
    let policy = topic.attributes.get("cleanup.policy");
    policy.is_some_and(|policy| policy == "COMPACTION")
}

/// Refuses a message without keys.
pub(super) fn has_keys(topic: &str, properties: &str) -> Result<(), Refusal> {
    let keys = properties::find(properties, property::KEYS);
    if keys.is_some_and(|keys| !keys.trim().is_empty()) {
        return Ok(());
    }
    let remark = format!(
        "Required message key is missing: topic '{topic}' has cleanup.policy=COMPACTION, set {}",
        property::KEYS
    );
    Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark))
}

/// The queue of a send; below 0 the broker chooses one.
pub(super) fn queue_id(
    topic: &TopicConfig,
    header: &SendMessageRequestHeaderV2<'_>,
    request: &Request<'_>,
) -> Result<i32, Refusal> {
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    match header.queue_id {
        id if id >= queues => Err(Refusal::new(
            ResponseCode::INVALID_PARAMETER,
            format!(
                "request queueId[{id}] is illegal, topic {} has {queues} queues; Producer: {}",
                header.topic,
                request.session.peer_text()
            ),
        )),
        id if id < 0 => Ok(fastrand::i32(0..topic.write_queue_nums.max(1))),
        id => Ok(id),
    }
}
