// SPDX-License-Identifier: Apache-2.0
//! Reads everything back through pulls.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::message::record;
use kerolox_tests::wire::Connection;

use crate::ledger::{Copy, Found};
use crate::message::{self, QUEUES, Queue, SCHEDULE, TOPICS};

/// Levels that messages are delayed by, and so queues of the topic of delayed messages.
const LEVELS: i32 = 2;

/// A request for messages of a queue that match a tag or `*`, from an offset on.
pub(crate) fn pull(topic: &str, queue_id: i32, queue_offset: i64, tag: &str) -> Command {
    let header = PullMessageRequestHeader {
        consumer_group: "crash_readers",
        topic,
        queue_id,
        queue_offset,
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_millis: 0,
        subscription: Some(tag),
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
        request_source: None,
        proxy_forward_client_id: None,
        broker_name: None,
    };
    Command::request(RequestCode::PULL_MESSAGE, &header)
}

/// Everything in all topics.
///
/// # Errors
/// A pull fails, or what the broker says about a queue contradicts what it gives.
pub(crate) fn read_all(broker: SocketAddr) -> anyhow::Result<Found> {
    let mut connection = Connection::open(broker)?;
    let mut found = Found::new();
    for (topic, name) in TOPICS.iter().enumerate() {
        let queues = if topic == SCHEDULE { LEVELS } else { QUEUES };
        for queue_id in 0..queues {
            let queue = (topic, queue_id);
            let copies = read(&mut connection, queue, "*")
                .with_context(|| format!("reading {name} queue {queue_id}"))?;
            found.insert(queue, copies);
        }
    }
    Ok(found)
}

/// What a queue has with a tag, or all of it with `*`.
///
/// # Errors
/// As [`read_all`].
pub(crate) fn read(
    connection: &mut Connection,
    (topic, queue_id): Queue,
    tag: &str,
) -> anyhow::Result<Vec<Copy>> {
    let mut copies = Vec::new();
    let mut offset = 0;
    loop {
        let response = connection.request(pull(TOPICS[topic], queue_id, offset, tag))?;
        let answer: PullMessageResponseHeader = response.header()?;
        let (code, next) = (response.response_code(), answer.next_begin_offset);
        ensure!(answer.min_offset == 0, "it begins at {}", answer.min_offset);
        match code {
            ResponseCode::SUCCESS => {}
            // Nothing in this stretch has the tag.
            ResponseCode::PULL_RETRY_IMMEDIATELY if tag != "*" && next > offset => {
                offset = next;
                continue;
            }
            // The end of a queue, or an empty one.
            ResponseCode::PULL_NOT_FOUND | ResponseCode::PULL_OFFSET_MOVED
                if offset == answer.max_offset =>
            {
                return Ok(copies);
            }
            _ => anyhow::bail!("at {offset}: {} {:?}, {answer:?}", code.0, response.remark),
        }
        let asked = offset;
        let mut decoded = 0;
        let length = response.body.len();
        for message in record::decode_all(response.body) {
            ensure!(
                message.queue_id == queue_id,
                "a message at {} says queue {}",
                message.queue_offset,
                message.queue_id
            );
            decoded += usize::try_from(message.store_size)?;
            offset = message.queue_offset + 1;
            copies.push(Copy {
                offset: message.queue_offset,
                number: message::number(&message.message),
            });
        }
        if decoded < length {
            // The rest is no record.
            copies.push(Copy {
                offset,
                number: None,
            });
            offset = next;
        }
        // Of messages with a tag, those without it may follow.
        ensure!(
            next > asked && next >= offset && (tag != "*" || next == offset),
            "from {asked} to {offset}, but then comes {next}"
        );
        offset = next;
    }
}
