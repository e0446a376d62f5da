// SPDX-License-Identifier: Apache-2.0
//! Looks into consume queues: QUERY_CONSUME_QUEUE, GET_ALL_DELAY_OFFSET.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::stats::{ConsumeQueueData, QueryConsumeQueueResponse};
use kerolox_protocol::header::stats::QueryConsumeQueueRequestHeader;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};
use crate::store::QueueUnit;

/// Most units of an answer: clients take frames of 16 MiB.
const MAX_UNITS: usize = 100_000;

/// QUERY_CONSUME_QUEUE: units of a queue, and how a group filters them.
pub(crate) fn query_consume_queue(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QueryConsumeQueueRequestHeader<'_> = request.command.header()?;
        let (topic, queue_id, index) = (wanted.topic, wanted.queue_id, wanted.index);
        let queue = broker.store.find_queue(topic, queue_id).ok_or_else(|| {
            let remark = format!("{queue_id}@{topic} is not exist!");
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let mut found = QueryConsumeQueueResponse {
            max_queue_index: queue.max_offset(),
            min_queue_index: queue.min_offset(),
            ..QueryConsumeQueueResponse::default()
        };
        if let Some(group) = wanted.consumer_group.filter(|group| !group.is_empty()) {
            let subscription = broker.clients.known_subscription(group, topic);
            found.filter_data = Some(match &subscription {
                // A filter by tags has no further data.
                Some(_) => "null".to_owned(),
                None => format!("{group}@{topic} is not online!"),
            });
            found.subscription_data = subscription.map(|data| data.as_ref().clone());
        }
        if !(found.min_queue_index..found.max_queue_index).contains(&index) {
            let remark = format!("Index {index} of {queue_id}@{topic} is not exist!");
            return Ok(success().with_remark(remark));
        }
        let count = usize::try_from(wanted.count).unwrap_or(0).min(MAX_UNITS);
        let units = broker.store.units(&queue, index, count);
        found.queue_data = Some(units.into_iter().map(data).collect());
        Ok(success().with_body(body::encode(&found)))
    })
}

fn data(unit: QueueUnit) -> ConsumeQueueData {
    let extension = unit.ext.map(|(tags_code, store_time)| {
        format!(r#"{{"msgStoreTime":{store_time},"tagsCode":{tags_code}}}"#)
    });
    let is_lost = unit.is_extended && extension.is_none();
    ConsumeQueueData {
        msg: is_lost.then(|| format!("Cq extend not exist!addr: {}", unit.tags_code)),
        extend_data_json: extension,
        physic_offset: unit.physical_offset,
        physic_size: unit.size,
        tags_code: unit.tags_code,
        ..ConsumeQueueData::default()
    }
}

/// GET_ALL_DELAY_OFFSET: how far each delay level was delivered.
pub(crate) fn get_all_delay_offset(broker: &Broker, _request: &Request<'_>) -> Outcome {
    Outcome::Reply(success().with_body(broker.schedule.offsets_json()))
}
