// SPDX-License-Identifier: Apache-2.0
//! How far groups are: QUERY_CONSUME_TIME_SPAN, QUERY_CORRECTION_OFFSET; and what they may: UPDATE_AND_GET_GROUP_FORBIDDEN.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::consumption::{
    ConsumeTimeSpans, CorrectionOffsets, GroupForbidden, QueueTimeSpan,
};
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::header::reset::{
    QueryConsumeTimeSpanRequestHeader, QueryCorrectionOffsetHeader,
    UpdateGroupForbiddenRequestHeader,
};
use kerolox_protocol::message::name;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// QUERY_CONSUME_TIME_SPAN: for each queue the times of its first, its last and the last consumed message.
pub(crate) fn query_consume_time_span(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryConsumeTimeSpanRequestHeader<'_> = request.command.header()?;
        let (group, topic) = (wanted.group, wanted.topic);
        let config = broker.topics.get(topic).ok_or_else(|| {
            let remark = format!("topic '{topic}' does not exist");
            Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        let span = |queue_id| {
            let time_at = |offset| {
                let time = broker.store.store_time_at(topic, queue_id, offset);
                time.unwrap_or(-1)
            };
            let first = broker.store.earliest_store_time(topic, queue_id);
            let min_time_stamp = first.unwrap_or(-1);
            let max = broker.store.max_offset(topic, queue_id);
            let consumed = broker.offsets.query(group, topic, queue_id).unwrap_or(-1);
            QueueTimeSpan {
                consume_time_stamp: if consumed > 0 {
                    time_at(consumed - 1)
                } else {
                    min_time_stamp
                },
                // Of a queue that was never consumed the reference counts from the year 1970.
                delay_time: match time_at(consumed.max(0)) {
                    next if consumed < max && next >= 0 => request.now_ms.saturating_sub(next),
                    _ => 0,
                },
                max_time_stamp: time_at(max - 1),
                message_queue: MessageQueue {
                    topic: topic.to_owned(),
                    broker_name: broker.config.broker_name.clone(),
                    queue_id,
                },
                min_time_stamp,
            }
        };
        let consume_time_span_set = (0..config.write_queue_nums).map(span).collect();
        Ok(success().with_body(body::encode(&ConsumeTimeSpans {
            consume_time_span_set,
        })))
    })
}

/// QUERY_CORRECTION_OFFSET: the lowest offset of each queue among the groups, or the greatest number where the compared
/// group is before it. Groups that do not count are only left out here; the reference deletes their offsets.
pub(crate) fn query_correction_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryCorrectionOffsetHeader<'_> = request.command.header()?;
        let topic = wanted.topic;
        let without: Vec<&str> = wanted
            .filter_groups
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|group| !group.is_empty())
            .collect();
        let min_of = |queue_id| broker.store.min_offset(topic, queue_id);
        let mut correction_offsets = broker.offsets.lowest_of_queues(topic, &without, min_of);
        for (queue_id, offset) in broker.offsets.queues(wanted.compare_group, topic) {
            if let Some(lowest) = correction_offsets.get_mut(&queue_id)
                && *lowest > offset
            {
                *lowest = i64::MAX;
            }
        }
        Ok(success().with_body(body::encode(&CorrectionOffsets { correction_offsets })))
    })
}

/// UPDATE_AND_GET_GROUP_FORBIDDEN: whether a group may read a topic, and lets it or not.
pub(crate) fn update_and_get_group_forbidden(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: UpdateGroupForbiddenRequestHeader<'_> = request.command.header()?;
        let (group, topic) = (wanted.group, wanted.topic);
        if let Some(is_readable) = wanted.readable {
            let invalid = |remark| Refusal::new(ResponseCode::INVALID_PARAMETER, remark);
            name::check_group_on_broker(group)
                .map_err(|error| invalid(format!("group '{group}': {error}")))?;
            let length = topic.len();
            if !(1..=name::MAX_RETRY_TOPIC_BYTES).contains(&length) {
                let allowed = name::MAX_RETRY_TOPIC_BYTES;
                let remark = format!("the topic is {length} bytes long, allowed: 1 to {allowed}");
                return Err(invalid(remark));
            }
            let groups = &broker.groups;
            groups.set_readable(group, topic, is_readable, request.now_ms);
        }
        Ok(success().with_body(body::encode(&GroupForbidden {
            group: group.to_owned(),
            readable: !broker.groups.is_read_forbidden(group, topic),
            topic: topic.to_owned(),
        })))
    })
}
