// SPDX-License-Identifier: Apache-2.0
//! Sends drafts over a raw connection, many at once, until they are all acknowledged or the broker dies.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::send::{
    ConsumerSendMsgBackRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader,
};
use kerolox_protocol::message::{batch, id};
use kerolox_tests::wire::Connection;

use super::draft::{Draft, FEW_QUEUES, GROUP};
use super::ledger::Place;

const IN_FLIGHT: usize = 32;

/// What happens to a draft.
pub(super) enum Event<'a> {
    /// It is about to go out.
    Sending { draft: &'a Draft, born_ms: i64 },
    Acknowledged {
        draft: &'a Draft,
        place: Place,
        physical_offset: i64,
    },
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

fn request(code: RequestCode, draft: &Draft, properties: &str, is_batch: bool) -> Command {
    let header = SendMessageRequestHeaderV2 {
        producer_group: "exchange_producers",
        topic: &draft.topic,
        default_topic: "TBW102",
        default_topic_queue_nums: FEW_QUEUES,
        queue_id: draft.queue_id,
        born_timestamp: now_ms(),
        flag: draft.flag,
        properties: Some(properties),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: Some(is_batch),
        ..Default::default()
    };
    Command::request(code, &header)
}

/// Sends until the drafts end and all are acknowledged, or the connection breaks; whether it broke.
pub(super) fn send(
    broker: SocketAddr,
    drafts: impl IntoIterator<Item = Draft>,
    mut on_event: impl FnMut(Event<'_>),
) -> anyhow::Result<bool> {
    let mut connection = Connection::open(broker)?;
    let mut drafts = drafts.into_iter().peekable();
    let mut waiting: HashMap<i32, Draft> = HashMap::new();
    loop {
        while waiting.len() < IN_FLIGHT
            && let Some(draft) = drafts.next()
        {
            let born_ms = now_ms();
            on_event(Event::Sending {
                draft: &draft,
                born_ms,
            });
            let text = draft.properties().to_text();
            let request = request(RequestCode::SEND_MESSAGE_V2, &draft, &text, false);
            let Ok(opaque) = connection.send(request.with_body(draft.body())) else {
                return Ok(true);
            };
            waiting.insert(opaque, draft);
        }
        if waiting.is_empty() {
            return Ok(false);
        }
        let Ok(response) = connection.receive() else {
            return Ok(true);
        };
        let draft = waiting
            .remove(&response.opaque)
            .context("answer to nothing")?;
        ensure!(
            response.response_code() == ResponseCode::SUCCESS,
            "message {} answered with {}: {:?}",
            draft.number,
            response.code,
            response.remark
        );
        let header: SendMessageResponseHeader<'_> = response.header()?;
        on_event(Event::Acknowledged {
            place: Place::new(&draft.topic, header.queue_id, header.queue_offset),
            physical_offset: physical_offset(header.msg_id)?,
            draft: &draft,
        });
    }
}

/// Sends drafts of one queue as one batch.
pub(super) fn send_batch(
    broker: SocketAddr,
    drafts: &[Draft],
    mut on_event: impl FnMut(Event<'_>),
) -> anyhow::Result<()> {
    let first = drafts.first().context("an empty batch")?;
    let mut body = Vec::new();
    let born_ms = now_ms();
    for draft in drafts {
        on_event(Event::Sending { draft, born_ms });
        let text = draft.properties().to_text();
        batch::append(&mut body, draft.flag, &draft.body(), &text)?;
    }
    let request = request(RequestCode::SEND_BATCH_MESSAGE, first, "", true).with_body(body);
    let response = Connection::open(broker)?.request_ok(request)?;
    let header: SendMessageResponseHeader<'_> = response.header()?;
    let ids: Vec<_> = header.msg_id.split(',').collect();
    ensure!(
        ids.len() == drafts.len(),
        "{} ids for a batch of {}",
        ids.len(),
        drafts.len()
    );
    for ((draft, id), offset) in drafts.iter().zip(ids).zip(header.queue_offset..) {
        on_event(Event::Acknowledged {
            place: Place::new(&draft.topic, header.queue_id, offset),
            physical_offset: physical_offset(id)?,
            draft,
        });
    }
    Ok(())
}

fn physical_offset(id: &str) -> anyhow::Result<i64> {
    let (_, offset) = id::parse_offset_id(id).with_context(|| format!("message id {id:?}"))?;
    Ok(offset)
}

/// CONSUMER_SEND_MSG_BACK of the message there; level -1 makes it a dead letter.
pub(super) fn send_back(
    connection: &mut Connection,
    topic: &str,
    physical_offset: i64,
    delay_level: i32,
) -> anyhow::Result<()> {
    let header = ConsumerSendMsgBackRequestHeader {
        offset: physical_offset,
        group: GROUP,
        delay_level,
        origin_topic: Some(topic),
        max_reconsume_times: Some(16),
        ..Default::default()
    };
    connection.request_ok(Command::request(
        RequestCode::CONSUMER_SEND_MSG_BACK,
        &header,
    ))?;
    Ok(())
}
