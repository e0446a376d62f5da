// SPDX-License-Identifier: Apache-2.0
//! Offsets: what groups committed, and where queues begin and end.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::offset::{TopicOffset, TopicStatsTable};
use kerolox_protocol::body::queue::{MessageQueue, QueueMap};
use kerolox_protocol::header::admin::TopicRequestHeader;
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueueRequestHeader,
    SearchOffsetRequestHeader, TimestampResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use kerolox_protocol::message::RecordView;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};
use crate::store::Boundary;

/// QUERY_CONSUMER_OFFSET. A group that never committed starts a young queue at 0; otherwise it has to choose itself.
pub(crate) fn query_consumer_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryConsumerOffsetRequestHeader<'_> = request.command.header()?;
        let (group, topic, queue_id) = (wanted.consumer_group, wanted.topic, wanted.queue_id);
        let committed = broker.offsets.query(group, topic, queue_id);
        let offset = committed.or_else(|| {
            let may_be_zero = wanted.set_zero_if_not_found != Some(false);
            (may_be_zero && is_young(broker, topic, queue_id)).then_some(0)
        });
        match offset {
            Some(offset) => Ok(success().with_header(&OffsetResponseHeader { offset })),
            None => Err(Refusal::new(
                ResponseCode::QUERY_NOT_FOUND,
                format!("group '{group}' committed no offset of topic '{topic}' queue {queue_id}"),
            )),
        }
    })
}

/// Whether the queue's first message ever is still there and likely in memory.
pub(in crate::broker) fn is_young(broker: &Broker, topic: &str, queue_id: i32) -> bool {
    if broker.store.min_offset(topic, queue_id) > 0 || broker.store.max_offset(topic, queue_id) <= 0
    {
        return false;
    }
    let first = broker.store.get(topic, queue_id, 0, 1, 1, &mut |_| true);
    let position = first
        .slices
        .first()
        .and_then(|record| RecordView::parse(record).ok());
    let Some(position) = position.map(|record| record.physical_offset) else {
        return false;
    };
    let ratio = broker.store.options().access_message_in_memory_max_ratio;
    let memory = rustix::system::sysinfo();
    let bytes = memory
        .totalram
        .saturating_mul(u64::from(memory.mem_unit.max(1)));
    let resident = i64::try_from(bytes / 100 * ratio.min(100)).unwrap_or(i64::MAX);
    position >= broker.store.commit_log_max().saturating_sub(resident)
}

/// UPDATE_CONSUMER_OFFSET: the offset is kept as it comes.
pub(crate) fn update_consumer_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let commit: UpdateConsumerOffsetRequestHeader<'_> = request.command.header()?;
        let (group, topic) = (commit.consumer_group, commit.topic);
        // Unlike a pull or a heartbeat this makes no group.
        if broker.groups.get(group).is_none() {
            let remark = format!("consumer group '{group}' does not exist");
            return Err(Refusal::new(
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
                remark,
            ));
        }
        if broker.topics.get(topic).is_none() {
            let remark = format!("topic '{topic}' does not exist");
            return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark));
        }
        let invalid = |remark: String| Refusal::new(ResponseCode::INVALID_PARAMETER, remark);
        let queue_id = commit
            .queue_id
            .ok_or_else(|| invalid("the header field queueId is missing".into()))?;
        let offset = commit
            .commit_offset
            .ok_or_else(|| invalid("the header field commitOffset is missing".into()))?;
        if queue_id < 0 {
            return Err(invalid(format!("queueId is {queue_id}, allowed: from 0")));
        }
        let client = request.session.peer();
        if broker
            .offsets
            .commit(client, group, topic, queue_id, offset)
        {
            Ok(success())
        } else {
            Ok(success().with_remark("Offset has been previously reset"))
        }
    })
}

/// GET_ALL_CONSUMER_OFFSET.
pub(crate) fn get_all_consumer_offset(broker: &Broker, _request: &Request<'_>) -> Outcome {
    Outcome::Reply(success().with_body(body::encode(&broker.offsets.snapshot())))
}

/// SEARCH_OFFSET_BY_TIMESTAMP.
pub(crate) fn search_offset_by_timestamp(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: SearchOffsetRequestHeader<'_> = request.command.header()?;
        let boundary = match wanted.boundary_type {
            Some(text) if text.eq_ignore_ascii_case("UPPER") => Boundary::Upper,
            _ => Boundary::Lower,
        };
        let (topic, queue_id) = (wanted.topic, wanted.queue_id);
        let offset = broker
            .store
            .offset_by_time(topic, queue_id, wanted.timestamp, boundary);
        Ok(success().with_header(&OffsetResponseHeader { offset }))
    })
}

/// GET_MAX_OFFSET.
pub(crate) fn get_max_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let queue: QueueRequestHeader<'_> = request.command.header()?;
        let offset = broker.store.max_offset(queue.topic, queue.queue_id);
        Ok(success().with_header(&OffsetResponseHeader { offset }))
    })
}

/// GET_MIN_OFFSET.
pub(crate) fn get_min_offset(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let queue: QueueRequestHeader<'_> = request.command.header()?;
        let offset = broker.store.min_offset(queue.topic, queue.queue_id);
        Ok(success().with_header(&OffsetResponseHeader { offset }))
    })
}

/// GET_EARLIEST_MSG_STORETIME; -1 if the queue is empty.
pub(crate) fn get_earliest_msg_storetime(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let queue: QueueRequestHeader<'_> = request.command.header()?;
        let timestamp = broker
            .store
            .earliest_store_time(queue.topic, queue.queue_id)
            .unwrap_or(-1);
        Ok(success().with_header(&TimestampResponseHeader { timestamp }))
    })
}

/// GET_TOPIC_STATS_INFO: first and last offset of each queue.
pub(crate) fn get_topic_stats_info(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: TopicRequestHeader<'_> = request.command.header()?;
        let topic = wanted.topic;
        let config = broker.topics.get(topic).ok_or_else(|| {
            let remark = format!("topic '{topic}' does not exist");
            Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark)
        })?;
        let mut offset_table = QueueMap::default();
        for queue_id in 0..config.read_queue_nums.max(config.write_queue_nums) {
            let queue = MessageQueue {
                topic: topic.to_owned(),
                broker_name: broker.config.broker_name.clone(),
                queue_id,
            };
            let max_offset = broker.store.max_offset(topic, queue_id);
            let last = broker.store.store_time_at(topic, queue_id, max_offset - 1);
            let stats = TopicOffset {
                last_update_timestamp: last.unwrap_or(0),
                max_offset,
                min_offset: broker.store.min_offset(topic, queue_id),
            };
            offset_table.0.insert(queue, stats);
        }
        Ok(success().with_body(body::encode(&TopicStatsTable {
            offset_table,
            topic_put_tps: broker.stats.topic_put_tps(&broker.store, topic),
        })))
    })
}
