// SPDX-License-Identifier: Apache-2.0
//! RECALL_MESSAGE: takes back a timer message that was not delivered yet.
//!
//! A marker goes the way of the message, into the same slot of the wheel; there it keeps the message from being delivered.
//! Whether the message was still there is not known when this is answered. Source: server.md 12, wire.md 5.12.

use bytes::Bytes;
use kerolox_protocol::ResponseCode;
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::recall::{RecallMessageRequestHeader, RecallMessageResponseHeader};
use kerolox_protocol::message::property;
use kerolox_protocol::message::recall_handle::RecallHandle;

use super::send::{Ack, not_stored};
use crate::broker::Broker;
use crate::broker::draft::{Draft, Stored};
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Tag of the markers.
const TAG: &str = "_RECALL_TAG_";

/// RECALL_MESSAGE.
pub(in crate::broker) fn recall_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    let mut recalled = None;
    let outcome = answer(|| {
        let (stored, unique) = recall(broker, request, &request.command.header()?)?;
        let reply = success().with_header(&RecallMessageResponseHeader {
            msg_id: &unique,
            region: Some(&broker.config.region_id),
        });
        recalled = Some((stored, unique));
        Ok(reply)
    });
    match recalled {
        Some((stored, unique)) if broker.waits_for_flush() && !request.command.is_oneway() => {
            let acks = vec![Ack::recalled(request.command, unique)];
            let end = stored.end_offset;
            broker
                .flush_waiters
                .park(broker, request.session, end, acks);
            Outcome::Parked
        }
        _ => outcome,
    }
}

fn recall(
    broker: &Broker,
    request: &Request<'_>,
    header: &RecallMessageRequestHeader<'_>,
) -> Result<(Stored, String), Refusal> {
    let config = &broker.config;
    let now_ms = request.now_ms;
    if !config.recall_message_enable {
        return Err(Refusal::new(
            ResponseCode::NO_PERMISSION,
            "recall failed, this broker takes no messages back (recallMessageEnable=false)",
        ));
    }
    let starts = config.start_accept_send_request_time_stamp;
    if now_ms < starts {
        return Err(Refusal::new(
            ResponseCode::SERVICE_NOT_AVAILABLE,
            format!(
                "recall failed, the broker serves from {starts} on (startAcceptSendRequestTimeStamp)"
            ),
        ));
    }
    if !perm::is_writable(config.broker_permission)
        && !config.allow_recall_when_broker_not_writeable
    {
        return Err(Refusal::new(
            ResponseCode::SERVICE_NOT_AVAILABLE,
            format!(
                "recall failed, the broker may not be written to (brokerPermission={}, \
                 allowRecallWhenBrokerNotWriteable=false)",
                config.broker_permission
            ),
        ));
    }
    let topic = header.topic;
    if broker.topics.get(topic).is_none() {
        return Err(Refusal::new(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("recall failed, the topic[{topic}] does not exist"),
        ));
    }
    let illegal = |remark: String| Refusal::new(ResponseCode::ILLEGAL_OPERATION, remark);
    let text = RecallHandle::decode(header.recall_handle)
        .map_err(|error| illegal(format!("recall failed, {error}")))?;
    let handle = text.parts();
    if handle.topic != topic {
        let of = handle.topic;
        return Err(illegal(format!(
            "recall failed, the handle is of topic[{of}], not of topic[{topic}]"
        )));
    }
    if handle.broker_name != config.broker_name {
        return Err(illegal(format!(
            "recall failed, the handle is of broker[{}], this is broker[{}]",
            handle.broker_name, config.broker_name
        )));
    }
    let left_ms = handle.deliver_ms.saturating_sub(now_ms);
    let most_s = config.timer_max_delay_sec;
    if left_ms <= 0 || left_ms >= most_s.saturating_mul(1000) {
        return Err(illegal(format!(
            "recall failed, the message was due {} ms ago, or is due more than {most_s} s ahead (timerMaxDelaySec)",
            left_ms.saturating_neg()
        )));
    }
    let mut draft = Draft {
        born_timestamp: now_ms,
        born_host: request.session.peer(),
        body: Bytes::from_static(b"0"),
        ..Draft::new(broker, topic, 0, now_ms)
    };
    let unique = handle.unique_id.to_owned();
    let key = if config.append_topic_for_timer_delete_key {
        format!("{topic}+{unique}")
    } else {
        unique.clone()
    };
    for (name, value) in [
        (property::TAGS, TAG.to_owned()),
        (property::TIMER_DEL_UNIQKEY, key),
        (property::UNIQ_KEY, unique.clone()),
        (property::TIMER_DELIVER_MS, handle.deliver_ms.to_string()),
        (property::BORN_TIMESTAMP, now_ms.to_string()),
        (
            property::PGROUP,
            header.producer_group.unwrap_or_default().to_owned(),
        ),
    ] {
        draft.properties.set(name, value);
    }
    let draft = draft.delayed(broker, now_ms)?;
    match broker.put(&draft) {
        Ok(stored) => Ok((stored, unique)),
        Err(error) => Err(not_stored(broker, &error)),
    }
}
