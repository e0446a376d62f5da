// SPDX-License-Identifier: Apache-2.0
//! How the members of a group share queues: the list of members and the locks of ordered consumption.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::group::ConsumerList;
use kerolox_protocol::body::lock::{LockBatchRequest, LockBatchResponse};
use kerolox_protocol::body::stats::QuerySubscriptionResponse;
use kerolox_protocol::body::topic::{GroupList, TopicList};
use kerolox_protocol::header::admin::{GroupRequestHeader, TopicRequestHeader};
use kerolox_protocol::header::heartbeat::ConsumerGroupRequestHeader;
use kerolox_protocol::header::stats::QuerySubscriptionByConsumerRequestHeader;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// GET_CONSUMER_LIST_BY_GROUP; a group without members is an error, not an empty list.
pub(crate) fn get_consumer_list_by_group(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ConsumerGroupRequestHeader<'_> = request.command.header()?;
        let consumer_id_list = broker.clients.consumer_ids(wanted.consumer_group);
        if consumer_id_list.is_empty() {
            let remark = format!(
                "no consumer for group '{}' is online",
                wanted.consumer_group
            );
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        Ok(success().with_body(body::encode(&ConsumerList { consumer_id_list })))
    })
}

/// QUERY_TOPIC_CONSUME_BY_WHO: groups that subscribe to a topic now or committed an offset of it.
pub(crate) fn query_topic_consume_by_who(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: TopicRequestHeader<'_> = request.command.header()?;
        let mut group_list = broker.clients.groups_of(wanted.topic);
        group_list.extend(broker.offsets.groups_of(wanted.topic));
        group_list.sort_unstable();
        group_list.dedup();
        Ok(success().with_body(body::encode(&GroupList { group_list })))
    })
}

/// QUERY_TOPICS_BY_CONSUMER: topics that a group committed an offset of.
pub(crate) fn query_topics_by_consumer(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GroupRequestHeader<'_> = request.command.header()?;
        let list = TopicList {
            broker_addr: Some(broker.store_host.to_string()),
            topic_list: broker.offsets.topics_of(wanted.group),
        };
        Ok(success().with_body(body::encode(&list)))
    })
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER: what a connected group wants of a topic.
pub(crate) fn query_subscription_by_consumer(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: QuerySubscriptionByConsumerRequestHeader<'_> = request.command.header()?;
        let topic = wanted.topic;
        let known = |topic| broker.clients.known_subscription(wanted.group, topic);
        let found = topic.and_then(known);
        let answer = QuerySubscriptionResponse {
            group: wanted.group.to_owned(),
            subscription_data: found.map(|data| data.as_ref().clone()),
            topic: topic.map(str::to_owned),
        };
        Ok(success().with_body(body::encode(&answer)))
    })
}

/// LOCK_BATCH_MQ: takes or renews locks and answers with those held now.
pub(crate) fn lock_batch_mq(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted = read(request)?;
        let (group, client_id) = (&wanted.consumer_group, &wanted.client_id);
        let lock_ok_mq_set = broker
            .locks
            .lock(group, client_id, &wanted.mq_set, request.now_ms);
        Ok(success().with_body(body::encode(&LockBatchResponse { lock_ok_mq_set })))
    })
}

/// UNLOCK_BATCH_MQ.
pub(crate) fn unlock_batch_mq(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let unwanted = read(request)?;
        broker.locks.unlock(
            &unwanted.consumer_group,
            &unwanted.client_id,
            &unwanted.mq_set,
        );
        Ok(success())
    })
}

fn read(request: &Request<'_>) -> Result<LockBatchRequest, Refusal> {
    let wanted: LockBatchRequest = body::decode(&request.command.body)?;
    for (name, value) in [
        ("consumerGroup", &wanted.consumer_group),
        ("clientId", &wanted.client_id),
    ] {
        if value.is_empty() {
            let remark = format!("{name} is missing in the lock request");
            return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
        }
    }
    Ok(wanted)
}
