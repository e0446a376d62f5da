// SPDX-License-Identifier: Apache-2.0
//! Step "processor" for pops: POP_MESSAGE, PEEK_MESSAGE, NOTIFICATION, POLLING_INFO, acknowledgements, and who pops.
//!
//! The checks stand here, the work is done in [`super::super::pop`]. Source: server.md 20, wire.md 6.5.

use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::assignment::{
    QueryAssignmentRequest, QueryAssignmentResponse, SetRequestModeRequest,
};
use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::body::pop::BatchAckRequest;
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::pop::{
    AckMessageRequestHeader, NotificationRequestHeader, PeekMessageRequestHeader,
    PollingInfoRequestHeader, PollingInfoResponseHeader, PopMessageRequestHeader,
    PopMessageResponseHeader,
};
use kerolox_protocol::message::name;
use kerolox_protocol::{ResponseCode, header};

use super::send::Ack;
use crate::broker::Broker;
use crate::broker::pop::{self, Assignment, Caller, PopRequest};
use crate::broker::read_filter::ReadFilter;
use crate::net::{Outcome, Replies, Request};
use crate::refusal::{Refusal, answer, success};
use crate::store::GetStatus;

/// Most messages of a pop.
const MAX_MESSAGES: i32 = 32;
/// A pop that comes later than this after its time was up is not looked at, milliseconds.
const LATE_MS: i64 = 500;

/// POP_MESSAGE: answers or parks it.
pub(in crate::broker) fn pop_message(
    broker: &Broker,
    request: &Request<'_>,
    replies: &mut Replies,
) {
    let wanted = request
        .command
        .header()
        .map_err(Refusal::from)
        .and_then(|header| check_pop(broker, request, &header));
    match wanted {
        Ok(wanted) => pop::serve(broker, wanted, request.now_ms, replies),
        Err(refusal) => {
            let answer = pop::with_empty_header(refusal.into_reply());
            replies.push(request.command, answer);
        }
    }
}

fn check_pop(
    broker: &Broker,
    request: &Request<'_>,
    header: &PopMessageRequestHeader<'_>,
) -> Result<PopRequest, Refusal> {
    let deadline_ms = deadline_ms(request, header.born_time, header.poll_time);
    if request.now_ms.saturating_sub(deadline_ms) > LATE_MS {
        let remark = format!(
            "the broker[{}] pop message is timeout too much: bornTime {} and pollTime {} ended before {}, the broker's \
             time; are the clocks set?",
            broker.store_host,
            header.born_time.unwrap_or(0),
            header.poll_time,
            request.now_ms
        );
        return Err(Refusal::new(ResponseCode::POLLING_TIMEOUT, remark));
    }
    check_broker(broker, "pop")?;
    if header.max_msg_nums > MAX_MESSAGES {
        let remark = format!(
            "the broker[{}] pop message's num is greater than {MAX_MESSAGES}: maxMsgNums is {}",
            broker.store_host, header.max_msg_nums
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    if !broker.config.timer_wheel_enable {
        let remark = format!(
            "the broker[{}] pop message is forbidden because timerWheelEnable is false",
            broker.store_host
        );
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    check_place(
        broker,
        request,
        header.topic,
        header.queue_id,
        header.consumer_group,
    )?;
    pop::check_invisible_time(broker, header.invisible_time)?;
    Ok(PopRequest {
        session: Arc::clone(request.session),
        serialize_type: request.command.serialize_type,
        opaque: request.command.opaque,
        is_oneway: request.command.is_oneway(),
        topic: header.topic.to_owned(),
        group: header.consumer_group.to_owned(),
        queue_id: header.queue_id.max(-1),
        deadline_ms,
        may_wait: header.poll_time > 0 && !request.command.is_oneway(),
        is_ordered: header.order == Some(true),
        attempt_id: header.attempt_id.map(str::to_owned),
        is_notice: false,
        max_messages: usize::try_from(header.max_msg_nums).unwrap_or(0),
        invisible_ms: header.invisible_time,
        init_mode: header.init_mode,
        filter: filter(broker, header)?,
    })
}

/// When a request is answered at the latest.
fn deadline_ms(request: &Request<'_>, born_time: Option<i64>, poll_time: i64) -> i64 {
    let born_ms = born_time
        .filter(|born| *born != 0)
        .unwrap_or(request.now_ms);
    born_ms.saturating_add(poll_time)
}

/// What is popped. Unlike a pull's an expression needs no `enablePropertyFilter`, as at the reference.
fn filter(broker: &Broker, header: &PopMessageRequestHeader<'_>) -> Result<ReadFilter, Refusal> {
    let expression = header.exp.unwrap_or_default();
    let kind = header.exp_type.filter(|kind| !kind.is_empty());
    match kind {
        _ if expression.is_empty() => Ok(ReadFilter::All),
        None | Some("TAG") => {
            let tags = SubscriptionData::tags(header.topic, expression, 0);
            Ok(ReadFilter::by_tags(Arc::new(tags)))
        }
        Some(kind) => {
            let compiled = broker.filters.compile(kind, expression).map_err(|error| {
                let remark = format!(
                    "parse the consumer's subscription failed, group: {}, topic: {}: {error}",
                    header.consumer_group, header.topic
                );
                Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark)
            })?;
            Ok(ReadFilter::Expression(compiled))
        }
    }
}

fn check_broker(broker: &Broker, what: &str) -> Result<(), Refusal> {
    if perm::is_readable(broker.config.broker_permission) {
        return Ok(());
    }
    let remark = format!(
        "the broker[{}] {what} message is forbidden",
        broker.store_host
    );
    Err(Refusal::new(ResponseCode::NO_PERMISSION, remark))
}

/// The checks of topic, queue and group that all pops share, in their order.
fn check_place(
    broker: &Broker,
    request: &Request<'_>,
    topic: &str,
    queue_id: i32,
    group: &str,
) -> Result<(), Refusal> {
    let Some(config) = broker.topics.get(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    if !perm::is_readable(config.perm) {
        let remark = format!("the topic[{topic}] peeking message is forbidden");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    if queue_id >= config.read_queue_nums {
        let remark = format!(
            "queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{}] consumer:[{}]",
            config.read_queue_nums,
            request.session.peer_text()
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
    }
    let Some(config) = broker.groups.find(group, request.now_ms) else {
        let remark = format!("subscription group [{group}] does not exist");
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            remark,
        ));
    };
    if !config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(())
}

/// NOTIFICATION: says whether there is something to pop, or waits for it.
pub(in crate::broker) fn notification(
    broker: &Broker,
    request: &Request<'_>,
    replies: &mut Replies,
) {
    let wanted = || -> Result<PopRequest, Refusal> {
        let header: NotificationRequestHeader<'_> = request.command.header()?;
        check_broker(broker, "peeking")?;
        check_place(
            broker,
            request,
            header.topic,
            header.queue_id,
            header.consumer_group,
        )?;
        Ok(PopRequest {
            session: Arc::clone(request.session),
            serialize_type: request.command.serialize_type,
            opaque: request.command.opaque,
            is_oneway: request.command.is_oneway(),
            topic: header.topic.to_owned(),
            group: header.consumer_group.to_owned(),
            queue_id: header.queue_id.max(-1),
            deadline_ms: deadline_ms(request, header.born_time, header.poll_time),
            may_wait: header.poll_time > 0 && !request.command.is_oneway(),
            is_ordered: header.order == Some(true),
            attempt_id: header.attempt_id.map(str::to_owned),
            is_notice: true,
            max_messages: 0,
            invisible_ms: 0,
            init_mode: header::pop::init_mode::MIN,
            filter: ReadFilter::All,
        })
    };
    match wanted() {
        Ok(wanted) => pop::serve(broker, wanted, request.now_ms, replies),
        Err(refusal) => replies.push(request.command, refusal.into_reply()),
    }
}

/// PEEK_MESSAGE: messages that a pop would get, without taking them.
pub(in crate::broker) fn peek_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let header: PeekMessageRequestHeader<'_> = request.command.header()?;
        check_broker(broker, "peeking")?;
        check_place(
            broker,
            request,
            header.topic,
            header.queue_id,
            header.consumer_group,
        )?;
        let max = usize::try_from(header.max_msg_nums.min(MAX_MESSAGES)).unwrap_or(0);
        let peeked = pop::peek(
            broker,
            header.topic,
            header.consumer_group,
            header.queue_id,
            max,
        );
        let (code, status) = if peeked.count > 0 {
            (ResponseCode::SUCCESS, GetStatus::Found)
        } else {
            (ResponseCode::PULL_NOT_FOUND, GetStatus::NoMessageInQueue)
        };
        let fields = PopMessageResponseHeader {
            rest_num: peeked.rest,
            ..PopMessageResponseHeader::default()
        };
        let reply = super::reply(code, status.name()).with_header(&fields);
        Ok(reply.with_body(peeked.slices.concat()))
    })
}

/// POLLING_INFO: how many pops wait.
pub(in crate::broker) fn polling_info(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let header: PollingInfoRequestHeader<'_> = request.command.header()?;
        check_broker(broker, "peeking")?;
        let (topic, group) = (header.topic, header.consumer_group);
        check_place(broker, request, topic, header.queue_id, group)?;
        let waiting = broker.pop.waiting(topic, group, header.queue_id);
        let polling_num = i32::try_from(waiting).unwrap_or(i32::MAX);
        Ok(success().with_header(&PollingInfoResponseHeader { polling_num }))
    })
}

fn caller(request: &Request<'_>) -> Caller {
    Caller {
        peer: request.session.peer(),
        now_ms: request.now_ms,
    }
}

/// ACK_MESSAGE.
pub(in crate::broker) fn ack_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    let done = || {
        let header: AckMessageRequestHeader<'_> = request.command.header()?;
        pop::acknowledge(broker, &header, caller(request))
    };
    acknowledged(broker, request, done())
}

/// BATCH_ACK_MESSAGE.
pub(in crate::broker) fn batch_ack_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    let done = || {
        let nothing = || {
            let remark = "the body names no messages to acknowledge; expected is {\"brokerName\":..,\"acks\":[..]}";
            Refusal::new(ResponseCode::NO_MESSAGE, remark)
        };
        if request.command.body.is_empty() {
            return Err(nothing());
        }
        let batch: BatchAckRequest = body::decode(&request.command.body)?;
        if batch.acks.is_empty() {
            return Err(nothing());
        }
        let mut end = None;
        for ack in &batch.acks {
            let broker_name = batch.broker_name.as_deref();
            let stored = pop::acknowledge_batch(broker, ack, broker_name, caller(request))?;
            end = stored.or(end);
        }
        Ok(end)
    };
    acknowledged(broker, request, done())
}

/// Answers at once, or when what was stored is on disk.
fn acknowledged(
    broker: &Broker,
    request: &Request<'_>,
    done: Result<Option<i64>, Refusal>,
) -> Outcome {
    match done {
        Ok(Some(end)) if broker.waits_for_flush() && !request.command.is_oneway() => {
            let acks = vec![Ack::plain(request.command)];
            broker
                .flush_waiters
                .park(broker, request.session, end, 0, acks);
            Outcome::Parked
        }
        done => answer(|| done.map(|_| success())),
    }
}

/// CHANGE_MESSAGE_INVISIBLETIME.
pub(in crate::broker) fn change_invisible_time(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let header = request.command.header()?;
        let changed = pop::change_invisible(broker, &header, caller(request))?;
        Ok(success().with_header(&changed))
    })
}

/// QUERY_ASSIGNMENT: the queues of a client.
pub(in crate::broker) fn query_assignment(broker: &Broker, request: &Request<'_>) -> Outcome {
    let read = || -> Result<QueryAssignmentRequest, Refusal> {
        let wanted: QueryAssignmentRequest = body::decode(&request.command.body)?;
        for (name, value) in [
            ("topic", &wanted.topic),
            ("consumerGroup", &wanted.consumer_group),
            ("clientId", &wanted.client_id),
        ] {
            if value.is_empty() {
                let remark = format!("{name} is missing in the assignment query");
                return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
            }
        }
        if wanted.message_model.is_none() {
            let remark = "messageModel is missing in the assignment query, allowed: CLUSTERING, BROADCASTING";
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        Ok(wanted)
    };
    let wanted = match read() {
        Ok(wanted) => wanted,
        Err(refusal) => return Outcome::Reply(refusal.into_reply()),
    };
    let assigned = match pop::assign(broker, &wanted, request.now_ms) {
        Assignment::Answer(assigned) => assigned,
        Assignment::NeedsRoute if broker.routes.wait(request, wanted) => return Outcome::Parked,
        Assignment::NeedsRoute => QueryAssignmentResponse::default(),
    };
    Outcome::Reply(success().with_body(body::encode(&assigned)))
}

/// SET_MESSAGE_REQUEST_MODE: whether a group pulls or pops a topic.
pub(in crate::broker) fn set_message_request_mode(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    answer(|| {
        let mode: SetRequestModeRequest = body::decode(&request.command.body)?;
        if name::is_retry_topic(&mode.topic) {
            let remark = format!("retry topic is not allowed to set mode: '{}'", mode.topic);
            return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
        }
        if broker.topics.get(&mode.topic).is_none() {
            let remark = format!("topic[{}] not exist", mode.topic);
            return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark));
        }
        if broker
            .groups
            .find(&mode.consumer_group, request.now_ms)
            .is_none()
        {
            let remark = format!(
                "subscription group '{}' does not exist",
                mode.consumer_group
            );
            return Err(Refusal::new(
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
                remark,
            ));
        }
        broker.pop.modes.set(mode);
        Ok(success())
    })
}

/// GET_ALL_MESSAGE_REQUEST_MODE.
pub(in crate::broker) fn get_all_message_request_mode(
    broker: &Broker,
    _request: &Request<'_>,
) -> Outcome {
    Outcome::Reply(success().with_body(body::encode(&broker.pop.modes.snapshot())))
}
