// SPDX-License-Identifier: Apache-2.0
//! SEND_REPLY_MESSAGE and SEND_REPLY_MESSAGE_V2: the answer of a consumer to a message that asked for one.
//!
//! The reply is pushed to the client that asked, named by its property REPLY_TO_CLIENT; whoever replies is answered
//! when that client took it. With `storeReplyMessageEnable` it is stored, too, whether the push went well or not.
//! Source: server.md 6.6.

use std::sync::Arc;

use kerolox_protocol::header::reply::ReplyMessageRequestHeader;
use kerolox_protocol::header::send::{
    SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use kerolox_protocol::message::properties::Properties;
use kerolox_protocol::message::{id, property};
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::send::{Ack, Place, refuse, trace_on};
use super::send_checks;
use crate::broker::Broker;
use crate::broker::calls::{Answer, TIMEOUT_MS, Waiting};
use crate::broker::draft::Draft;
use crate::net::{Caller, Outcome, Request, Session};
use crate::refusal::Refusal;

/// A reply whose receiver was told.
#[derive(Debug)]
pub(in crate::broker) struct Pushed {
    caller: Caller,
    receiver: String,
    /// What is stored.
    draft: Draft,
}

/// SEND_REPLY_MESSAGE and SEND_REPLY_MESSAGE_V2.
pub(in crate::broker) fn send_reply_message(broker: &Broker, request: &Request<'_>) -> Outcome {
    match prepare(broker, request) {
        Ok(()) => Outcome::Parked,
        Err(refusal) => Outcome::Reply(refuse(broker, refusal)),
    }
}

fn prepare(broker: &Broker, request: &Request<'_>) -> Result<(), Refusal> {
    let command = request.command;
    let is_long = command.request_code() == RequestCode::SEND_REPLY_MESSAGE;
    let header: SendMessageRequestHeaderV2<'_> = if is_long {
        command
            .header::<SendMessageRequestHeader<'_>>()
            .map(Into::into)
    } else {
        command.header()
    }?;
    send_checks::accepting(broker, request)?;
    let topic = send_checks::topic(broker, request, &header)?.config;
    let queue_id = send_checks::queue_id(&topic, &header, request)?;
    let mut properties = Properties::from_text(header.properties.unwrap_or_default());
    properties.set(property::MSG_REGION, broker.config.region_id.clone());
    properties.set(property::TRACE_ON, trace_on(&broker.config));
    let receiver = properties.get(property::REPLY_TO_CLIENT).map(str::to_owned);
    let draft = Draft {
        flag: header.flag,
        sys_flag: header.sys_flag,
        born_timestamp: header.born_timestamp,
        born_host: request.session.peer(),
        reconsume_times: header.reconsume_times.unwrap_or_default(),
        body: command.body.clone(),
        properties,
        ..Draft::new(broker, header.topic, queue_id, request.now_ms)
    };
    let session = receiver
        .as_deref()
        .and_then(|id| broker.clients.producer_named(id));
    let pushed = Pushed {
        caller: Caller::of(request),
        receiver: receiver.unwrap_or_default(),
        draft,
    };
    match session {
        Some(session) => push(broker, request, &header, &session, pushed),
        None => {
            let remark = if pushed.receiver.is_empty() {
                let name = property::REPLY_TO_CLIENT;
                format!("reply message properties[{name}] is null, it names the client that asked")
            } else {
                let receiver = &pushed.receiver;
                format!("push reply message fail, channel of <{receiver}> not found.")
            };
            pushed.finish(broker, Err(remark));
        }
    }
    Ok(())
}

/// Sends the reply to who asked.
fn push(
    broker: &Broker,
    request: &Request<'_>,
    header: &SendMessageRequestHeaderV2<'_>,
    session: &Session,
    pushed: Pushed,
) {
    let mut properties = pushed.draft.properties.clone();
    properties.set(property::PUSH_REPLY_TIME, request.now_ms.to_string());
    let properties = properties.to_text();
    let born_host = request.session.peer().to_string();
    let store_host = broker.store_host.to_string();
    let notice = Command::request(
        RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT,
        &ReplyMessageRequestHeader {
            producer_group: header.producer_group,
            topic: header.topic,
            default_topic: header.default_topic,
            default_topic_queue_nums: header.default_topic_queue_nums,
            queue_id: header.queue_id,
            sys_flag: header.sys_flag,
            born_timestamp: header.born_timestamp,
            flag: header.flag,
            properties: Some(&properties),
            reconsume_times: header.reconsume_times,
            unit_mode: header.unit_mode,
            born_host: &born_host,
            store_host: &store_host,
            store_timestamp: request.now_ms,
        },
    )
    .with_body(pushed.draft.body.clone());
    let deadline_ms = request.now_ms.saturating_add(TIMEOUT_MS);
    let waiting = Waiting::Reply(Box::new(pushed));
    broker.call_client(session, notice, deadline_ms, waiting);
}

impl Pushed {
    /// The receiver answered, or did not.
    pub(in crate::broker) fn end(self, broker: &Broker, answer: &Answer<'_>) {
        let receiver = &self.receiver;
        let result = match answer {
            Answer::Came(answer) if answer.response_code() == ResponseCode::SUCCESS => Ok(()),
            Answer::Came(answer) => Err(format!(
                "push reply message to {receiver} fail, it answered {}: {}",
                answer.code,
                answer.remark.as_deref().unwrap_or_default()
            )),
            Answer::TimedOut => Err(format!(
                "push reply message to {receiver} fail, it did not answer within {TIMEOUT_MS} ms"
            )),
            Answer::Failed(error) => Err(format!("push reply message to {receiver} fail: {error}")),
        };
        self.finish(broker, result);
    }

    /// Stores the reply if wanted and answers who replied.
    fn finish(self, broker: &Broker, result: Result<(), String>) {
        let mut place = Place {
            msg_id: "0".to_owned(),
            queue_id: self.draft.queue_id,
            queue_offset: 0,
            transaction_id: None,
            recall_handle: None,
        };
        let mut end_offset = None;
        if broker.config.store_reply_message_enable {
            match broker.put(&self.draft) {
                Ok(stored) => {
                    place.msg_id = id::offset_id(broker.store_host, stored.physical_offset);
                    place.queue_offset = stored.queue_offset;
                    end_offset = Some(stored.end_offset);
                }
                Err(error) => {
                    tracing::warn!(topic = self.draft.topic, %error, "a reply was not stored");
                }
            }
        }
        match (result, end_offset) {
            (Ok(()), Some(end_offset)) if broker.waits_for_flush() && !self.caller.is_oneway() => {
                let session: &Arc<Session> = self.caller.session();
                let acks = vec![Ack::placed(&self.caller, place)];
                let bytes = self.draft.body.len();
                broker
                    .flush_waiters
                    .park(broker, session, end_offset, bytes, acks);
            }
            (result, _) => {
                let code = match result {
                    Ok(()) => ResponseCode::SUCCESS,
                    Err(_) => ResponseCode::SYSTEM_ERROR,
                };
                let mut answer = Command::response(code).with_header(&SendMessageResponseHeader {
                    msg_id: &place.msg_id,
                    queue_id: place.queue_id,
                    queue_offset: place.queue_offset,
                    region: Some(&broker.config.region_id),
                    trace_on: Some(trace_on(&broker.config)),
                    ..Default::default()
                });
                answer.remark = result.err();
                self.caller.answer(answer);
            }
        }
    }
}
