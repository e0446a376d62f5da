// SPDX-License-Identifier: Apache-2.0
//! Questions of administrators that a consumer has to answer: GET_CONSUMER_RUNNING_INFO, CONSUME_MESSAGE_DIRECTLY,
//! INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
//!
//! The first two are forwarded to one member of a group and answered as it answers; the last asks every member and
//! collects. Source: wire.md 2.2, 2.5.

use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::consumer_status::ConsumerStatus;
use kerolox_protocol::header::client_query::{
    ConsumeMessageDirectlyRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader,
};
use kerolox_protocol::message::id;
use kerolox_protocol::{Command, RequestCode, ResponseCode, command, version};
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::broker::calls::{Answer, TIMEOUT_MS, Waiting};
use crate::broker::clients::Member;
use crate::net::{Caller, Outcome, Request};
use crate::refusal::{Refusal, success};
/// Milliseconds that each member has to report its offsets.
const STATUS_TIMEOUT_MS: i64 = 5_000;

/// A request that a consumer answers in the broker's place.
#[derive(Debug)]
pub(in crate::broker) struct Forwarded {
    caller: Caller,
    group: String,
    client_id: String,
}

impl Forwarded {
    pub(in crate::broker) fn end(self, answer: &Answer<'_>) {
        let Self {
            caller,
            group,
            client_id,
        } = self;
        let who = format!("consumer '{client_id}' of group '{group}'");
        caller.answer(match answer {
            Answer::Came(answer) => {
                let mut reply =
                    Command::response(answer.response_code()).with_body(answer.body.clone());
                reply.remark.clone_from(&answer.remark);
                reply.ext = answer.ext.clone();
                reply
            }
            Answer::TimedOut => Refusal::new(
                ResponseCode::CONSUME_MSG_TIMEOUT,
                format!("{who} did not answer within {TIMEOUT_MS} ms"),
            )
            .into_reply(),
            Answer::Failed(error) => Refusal::new(
                ResponseCode::SYSTEM_ERROR,
                format!("{who} was not asked: {error}"),
            )
            .into_reply(),
        });
    }
}

/// GET_CONSUMER_RUNNING_INFO: the member's own report of its queues and settings.
pub(in crate::broker) fn get_consumer_running_info(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    parked(|| {
        let wanted: GetConsumerRunningInfoRequestHeader<'_> = request.command.header()?;
        let code = RequestCode::GET_CONSUMER_RUNNING_INFO;
        let mut forward = command::request(code).with_body(request.command.body.clone());
        forward.ext = request.command.ext.clone();
        ask(
            broker,
            request,
            wanted.consumer_group,
            wanted.client_id,
            forward,
        )
    })
}

/// CONSUME_MESSAGE_DIRECTLY: a member consumes a stored message now and reports how that went.
pub(in crate::broker) fn consume_message_directly(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    parked(|| {
        let wanted: ConsumeMessageDirectlyRequestHeader<'_> = request.command.header()?;
        let msg_id = wanted.msg_id.unwrap_or_default();
        let (_, offset) = id::parse_offset_id(msg_id).ok_or_else(|| {
            let expected = "an offset message id of 32 hexadecimal digits";
            let remark = format!("the header field msgId is '{msg_id}', expected {expected}");
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let record = broker.store.record_at(offset).ok_or_else(|| {
            let remark = format!("no message with id {msg_id} at commit-log offset {offset}");
            Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
        })?;
        let code = RequestCode::CONSUME_MESSAGE_DIRECTLY;
        let mut forward = command::request(code).with_body(record);
        forward.ext = request.command.ext.clone();
        forward.ext.set("brokerName", &broker.config.broker_name);
        if let Some(topic) = wanted.topic.and_then(|topic| broker.topics.get(topic)) {
            let flags = topic.topic_sys_flag.to_string();
            forward.ext.set("topicSysFlag", &flags);
        }
        if let Some(group) = broker.groups.find(wanted.consumer_group, request.now_ms) {
            let flags = group.group_sys_flag.to_string();
            forward.ext.set("groupSysFlag", &flags);
        }
        let client_id = wanted.client_id.unwrap_or_default();
        ask(broker, request, wanted.consumer_group, client_id, forward)
    })
}

/// Sends `forward` to a member of a group; its answer becomes the caller's.
fn ask(
    broker: &Broker,
    request: &Request<'_>,
    group: &str,
    client_id: &str,
    forward: Command,
) -> Result<(), Refusal> {
    let member = broker.clients.member(group, client_id).ok_or_else(|| {
        let remark = format!("The Consumer <{group}> <{client_id}> not online");
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    not_older(&member, version::V3_1_8_SNAPSHOT)?;
    let forwarded = Forwarded {
        caller: Caller::of(request),
        group: group.to_owned(),
        client_id: client_id.to_owned(),
    };
    let deadline_ms = request.now_ms.saturating_add(TIMEOUT_MS);
    let waiting = Waiting::Forwarded(forwarded);
    broker.call_client(&member.session, forward, deadline_ms, waiting);
    Ok(())
}

/// The offsets of a group's members, put together as they come.
#[derive(Debug)]
pub(in crate::broker) struct StatusQuery {
    caller: Caller,
    state: Mutex<StatusState>,
}

#[derive(Debug)]
struct StatusState {
    /// Members that were not heard of yet.
    open: usize,
    collected: ConsumerStatus,
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS: which offset each member of a group has come to.
pub(in crate::broker) fn get_consumer_status(broker: &Broker, request: &Request<'_>) -> Outcome {
    parked(|| {
        let wanted: GetConsumerStatusRequestHeader<'_> = request.command.header()?;
        let view = broker.clients.consumer_group(wanted.group);
        let mut members = view.map(|view| view.members).unwrap_or_default();
        if members.is_empty() {
            let remark = format!(
                "No Any Consumer online in the consumer group: [{}]",
                wanted.group
            );
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        for member in &members {
            not_older(member, version::V3_0_7_SNAPSHOT)?;
        }
        if let Some(client) = wanted
            .client_addr
            .filter(|client| !client.trim().is_empty())
        {
            members.retain(|member| member.client_id == client);
            members.truncate(1);
        }
        let query = Arc::new(StatusQuery {
            caller: Caller::of(request),
            state: Mutex::new(StatusState {
                open: members.len(),
                collected: ConsumerStatus::default(),
            }),
        });
        if members.is_empty() {
            query.answer();
        }
        let ask = Command::request(
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT,
            &GetConsumerStatusRequestHeader {
                client_addr: None,
                ..wanted
            },
        );
        let deadline_ms = request.now_ms.saturating_add(STATUS_TIMEOUT_MS);
        for member in members {
            let waiting = Waiting::Status(Arc::clone(&query), member.client_id);
            broker.call_client(&member.session, ask.clone(), deadline_ms, waiting);
        }
        Ok(())
    })
}

impl StatusQuery {
    /// One member answered, or will not: its absence shows in the answer.
    pub(in crate::broker) fn end(&self, client_id: &str, answer: &Answer<'_>) {
        let mut state = self.state.lock();
        if let Answer::Came(answer) = answer
            && answer.response_code() == ResponseCode::SUCCESS
            && let Ok(status) = body::decode::<ConsumerStatus>(&answer.body)
        {
            let table = status.message_queue_table;
            let tables = &mut state.collected.consumer_table;
            tables.insert(client_id.to_owned(), table);
        } else {
            tracing::warn!(client_id, ?answer, "a consumer did not report its offsets");
        }
        state.open = state.open.saturating_sub(1);
        let is_complete = state.open == 0;
        drop(state);
        if is_complete {
            self.answer();
        }
    }

    fn answer(&self) {
        let collected = std::mem::take(&mut self.state.lock().collected);
        self.caller
            .answer(success().with_body(body::encode(&collected)));
    }
}

/// Refuses what a client does not know.
fn not_older(member: &Member, oldest: i32) -> Result<(), Refusal> {
    if member.version >= oldest {
        return Ok(());
    }
    let remark = format!(
        "consumer '{}' has version {}, too low to answer this; upgrade it",
        member.client_id,
        version::description(member.version)
    );
    Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark))
}

/// Runs a processor whose answer comes later unless it refuses.
fn parked(process: impl FnOnce() -> Result<(), Refusal>) -> Outcome {
    match process() {
        Ok(()) => Outcome::Parked,
        Err(refusal) => Outcome::Reply(refusal.into_reply()),
    }
}
