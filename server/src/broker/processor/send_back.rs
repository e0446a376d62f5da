// SPDX-License-Identifier: Apache-2.0
//! Messages that are stored in another form than they were sent: retries, dead letters, delays.
//!
//! CONSUMER_SEND_MSG_BACK copies a stored message to the group's retry topic, delayed by the next level, or to its dead
//! letter topic. Sends with a delay level go to the schedule topic until they are due. Source: server.md 6.2, 6.5, 13;
//! store.md 9.1.

use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::send::{
    ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2,
};
use kerolox_protocol::message::properties::Properties;
use kerolox_protocol::message::{name, property, record};
use kerolox_protocol::{ResponseCode, version};

use super::send::{Ack, SendBatch, not_stored, trace_on};
use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Delay level of the first retry: 10 s.
const FIRST_RETRY_LEVEL: i32 = 3;

/// Prepares a send that carries broker properties, a delay level, or goes to a retry topic.
pub(super) fn prepare_rewritten(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    queue_id: i32,
    index: usize,
    batch: &mut SendBatch,
) -> Result<(), Refusal> {
    let mut properties = Properties::from_text(header.properties.unwrap_or_default());
    properties.remove(property::POP_CK);
    if broker.config.has_light_queues() {
        // Where it is in light queues is for the store to say.
        properties.remove(property::INNER_MULTI_QUEUE_OFFSET);
    }
    properties.set(property::MSG_REGION, broker.config.region_id.clone());
    properties.set(property::TRACE_ON, trace_on(&broker.config));
    properties.set(property::CLUSTER, broker.config.broker_cluster_name.clone());
    let unique = match properties.get(property::UNIQ_KEY) {
        Some(unique) => unique.to_owned(),
        None => broker.unique_id(request.now_ms),
    };
    properties.set(property::UNIQ_KEY, unique.clone());
    let mut draft = Draft {
        flag: header.flag,
        sys_flag: header.sys_flag | batch.topic_flags(),
        born_timestamp: header.born_timestamp,
        born_host: request.session.peer(),
        reconsume_times: header.reconsume_times.unwrap_or_default(),
        body: request.command.body.clone(),
        properties,
        ..Draft::new(broker, header.topic, queue_id, request.now_ms)
    };
    if let Some(group) = header.topic.strip_prefix(name::RETRY_PREFIX) {
        dead_letter_if_worn_out(broker, request, header, group, &mut draft)?;
    }
    let draft = if is_half(&draft) {
        if broker.config.reject_transaction_message {
            let remark = format!(
                "the broker[{}] sending transaction message is forbidden (rejectTransactionMessage)",
                broker.store_host
            );
            return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
        }
        draft.half()
    } else {
        draft.delayed(broker, request.now_ms)?
    };
    batch.push_draft(broker, index, queue_id, &draft, &unique)
}

/// Whether a send begins a transaction. A retry of old clients keeps the property of its original and does not.
fn is_half(draft: &Draft) -> bool {
    let is_marked = draft
        .properties
        .get(property::TRAN_MSG)
        .is_some_and(|mark| mark.eq_ignore_ascii_case("true"));
    let level: i32 = draft
        .properties
        .get(property::DELAY)
        .and_then(|level| level.parse().ok())
        .unwrap_or(0);
    is_marked && !(draft.reconsume_times > 0 && level > 0)
}

/// A consumer that sends a retry itself: too many tries go to the dead letter topic.
fn dead_letter_if_worn_out(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    group: &str,
    draft: &mut Draft,
) -> Result<(), Refusal> {
    let Some(config) = broker.groups.find(group, request.now_ms) else {
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [{group}] does not exist"),
        ));
    };
    let max = header
        .max_reconsume_times
        .filter(|_| request.command.version >= version::V3_4_9)
        .unwrap_or(config.retry_max_times);
    let worn_out = header.reconsume_times.unwrap_or_default() > max;
    if worn_out || broker.locks.is_group_locked(group, request.now_ms) {
        draft.topic = name::dlq_topic(group);
        draft.queue_id = 0;
        draft.properties.set(property::DELAY, "-1");
        broker.topics.create_on_send_back(
            &draft.topic,
            1,
            perm::READ | perm::WRITE,
            request.now_ms,
        );
    }
    Ok(())
}

/// CONSUMER_SEND_MSG_BACK: another try later, or the dead letter topic.
pub(in crate::broker) fn consumer_send_msg_back(broker: &Broker, request: &Request<'_>) -> Outcome {
    let mut end = None;
    let outcome = answer(|| {
        end = send_back(broker, request, &request.command.header()?)?;
        Ok(success())
    });
    match end {
        Some(end) if broker.waits_for_flush() && !request.command.is_oneway() => {
            let acks = vec![Ack::plain(request.command)];
            broker
                .flush_waiters
                .park(broker, request.session, end, 0, acks);
            Outcome::Parked
        }
        _ => outcome,
    }
}

/// Returns the end of the copy in the commit log; `None` if the group wants none.
fn send_back(
    broker: &Broker,
    request: &Request<'_>,
    header: &ConsumerSendMsgBackRequestHeader<'_>,
) -> Result<Option<i64>, Refusal> {
    let group = header.group;
    let Some(config) = broker.groups.find(group, request.now_ms) else {
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [{group}] does not exist"),
        ));
    };
    if !perm::is_writable(broker.config.broker_permission) {
        return Err(Refusal::new(
            ResponseCode::NO_PERMISSION,
            format!(
                "the broker[{}] sending message is forbidden",
                broker.store_host
            ),
        ));
    }
    if config.retry_queue_nums <= 0 {
        return Ok(None);
    }
    let missing = || {
        Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("look message by offset failed, {}", header.offset),
        )
    };
    let bytes = broker.store.record_at(header.offset).ok_or_else(missing)?;
    let message = record::decode(&bytes).map_err(|_| missing())?;
    let max = header
        .max_reconsume_times
        .filter(|_| request.command.version >= version::V3_4_9)
        .unwrap_or(config.retry_max_times);
    let mut properties = message.message.properties.clone();
    let origin = properties.get(property::RETRY_TOPIC);
    let origin = origin.unwrap_or(&message.message.topic).to_owned();
    if properties.get(property::RETRY_TOPIC).is_none() {
        properties.set(property::RETRY_TOPIC, message.message.topic.clone());
    }
    if properties.get(property::ORIGIN_MESSAGE_ID).is_none() {
        properties.set(property::ORIGIN_MESSAGE_ID, message.message_id());
    }
    let dead = message.reconsume_times >= max || header.delay_level < 0;
    let (topic, queues) = if dead {
        properties.remove(property::DELAY);
        (name::dlq_topic(group), 1)
    } else {
        let level = match header.delay_level {
            0 => FIRST_RETRY_LEVEL.saturating_add(message.reconsume_times),
            level => level,
        };
        properties.set(property::DELAY, level.to_string());
        (name::retry_topic(group), config.retry_queue_nums)
    };
    let kept =
        broker
            .topics
            .create_on_send_back(&topic, queues, perm::READ | perm::WRITE, request.now_ms);
    if !perm::is_writable(kept.perm) {
        return Err(Refusal::new(
            ResponseCode::NO_PERMISSION,
            format!("the topic[{topic}] sending message is forbidden"),
        ));
    }
    let queue_id = fastrand::i32(0..kept.write_queue_nums.max(1));
    let draft = Draft {
        properties,
        reconsume_times: message.reconsume_times.saturating_add(1),
        ..Draft::copy_of(&message)
    }
    .to(topic, queue_id)
    .delayed(broker, request.now_ms)?;
    let stored = broker
        .put(&draft)
        .map_err(|error| not_stored(broker, &error))?;
    broker.stats.sent_back(group, &origin);
    if dead {
        let owner = request.command.ext.get("Owner");
        broker.stats.dead_letter(owner, header.origin_topic, group);
    }
    Ok(Some(stored.end_offset))
}
