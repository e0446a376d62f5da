// SPDX-License-Identifier: Apache-2.0
//! Cleaning on request: CLEAN_EXPIRED_CONSUMEQUEUE, DELETE_EXPIRED_COMMITLOG, CLEAN_UNUSED_TOPIC.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::message::name;

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// CLEAN_EXPIRED_CONSUMEQUEUE: files of consume queues whose messages are gone.
pub(crate) fn clean_expired_consumequeue(broker: &Broker, _request: &Request<'_>) -> Outcome {
    answer(|| {
        broker.store.remove_expired_units().map_err(|error| {
            let remark = format!("consume queues could not be cleaned: {error}");
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        Ok(success())
    })
}

/// DELETE_EXPIRED_COMMITLOG: expired files go with the next passes of the retention, whatever the hour.
pub(crate) fn delete_expired_commitlog(broker: &Broker, _request: &Request<'_>) -> Outcome {
    broker.store.remove_expired_soon();
    Outcome::Reply(success())
}

/// CLEAN_UNUSED_TOPIC: queues of topics that do not exist, except the system's and light ones.
pub(crate) fn clean_unused_topic(broker: &Broker, _request: &Request<'_>) -> Outcome {
    answer(|| {
        for (topic, _) in broker.store.topics() {
            if name::is_system_topic(&topic) || topic.starts_with(name::LMQ_PREFIX) {
                continue;
            }
            // No topic comes into being meanwhile: its first message would go with the queue.
            let deleted = broker
                .topics
                .while_absent(&topic, || broker.store.delete_topic(&topic));
            match deleted {
                Some(Ok(flushed)) => broker.flushed(&flushed),
                Some(Err(error)) => {
                    let remark =
                        format!("the queues of topic '{topic}' could not be deleted: {error}");
                    return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
                }
                None => {}
            }
        }
        Ok(success())
    })
}
