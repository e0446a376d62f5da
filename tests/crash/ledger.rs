// SPDX-License-Identifier: Apache-2.0
//! Numbered, checksummed messages: sending them over a raw connection, and reading a topic back against what was
//! acknowledged.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::header::send::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use kerolox_protocol::message::record;
use kerolox_tests::numbered::{body, number};
use kerolox_tests::wire::Connection;

/// How many requests a sender has on the way.
const IN_FLIGHT: usize = 32;

/// Queue and offset.
pub(crate) type Place = (i32, i64);

/// Sends numbers from `from` on, step `step`, to the queues of a topic in turn until the connection breaks, and
/// passes on what the broker acknowledged.
pub(crate) fn send_until_broken(
    broker: SocketAddr,
    topic: &str,
    queues: i32,
    from: u64,
    step: u64,
    mut acknowledged: impl FnMut(u64, Place),
) -> anyhow::Result<()> {
    let mut connection = Connection::open(broker)?;
    let mut waiting = BTreeMap::new();
    let mut next = from;
    loop {
        while waiting.len() < IN_FLIGHT {
            let queue_id = i32::try_from(next % u64::try_from(queues)?)?;
            let header = SendMessageRequestHeaderV2 {
                producer_group: "crash_producers",
                topic,
                default_topic: "TBW102",
                default_topic_queue_nums: queues,
                queue_id,
                sys_flag: 0,
                born_timestamp: 1_700_000_000_000,
                flag: 0,
                properties: None,
                reconsume_times: Some(0),
                unit_mode: Some(false),
                max_reconsume_times: None,
                batch: Some(false),
                broker_name: None,
            };
            let request =
                Command::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(body(next));
            let Ok(opaque) = connection.send(request) else {
                return Ok(());
            };
            waiting.insert(opaque, next);
            next += step;
        }
        let Ok(response) = connection.receive() else {
            return Ok(());
        };
        let sent = waiting
            .remove(&response.opaque)
            .context("answer to nothing")?;
        ensure!(
            response.response_code() == ResponseCode::SUCCESS,
            "message {sent} answered with {}: {:?}",
            response.code,
            response.remark
        );
        let header: SendMessageResponseHeader<'_> = response.header()?;
        acknowledged(sent, (header.queue_id, header.queue_offset));
    }
}

/// Everything in a topic, by place; every record is undamaged, every queue without gaps.
pub(crate) fn read_back(
    broker: SocketAddr,
    topic: &str,
    queues: i32,
) -> anyhow::Result<BTreeMap<Place, u64>> {
    let mut connection = Connection::open(broker)?;
    let mut found = BTreeMap::new();
    for queue_id in 0..queues {
        let mut offset = 0;
        loop {
            let header = PullMessageRequestHeader {
                consumer_group: "crash_readers",
                topic,
                queue_id,
                queue_offset: offset,
                max_msg_nums: 32,
                sys_flag: pull_flag::SUBSCRIPTION,
                commit_offset: 0,
                suspend_timeout_millis: 0,
                subscription: Some("*"),
                sub_version: 0,
                expression_type: Some("TAG"),
                max_msg_bytes: None,
                request_source: None,
                proxy_forward_client_id: None,
                broker_name: None,
            };
            let response =
                connection.request(Command::request(RequestCode::PULL_MESSAGE, &header))?;
            let answer: PullMessageResponseHeader = response.header()?;
            ensure!(
                answer.min_offset == 0,
                "queue {queue_id} begins at {}",
                answer.min_offset
            );
            if response.response_code() != ResponseCode::SUCCESS {
                // 19 "nothing new" at the end of a queue, 21 "offset moved" in an empty one.
                ensure!(
                    matches!(response.code, 19 | 21) && offset == answer.max_offset,
                    "queue {queue_id} at {offset} of {}: {} {:?}",
                    answer.max_offset,
                    response.code,
                    response.remark
                );
                break;
            }
            for message in record::decode_all(response.body) {
                ensure!(
                    message.queue_id == queue_id && message.queue_offset == offset,
                    "expected offset {offset} of queue {queue_id}, got {} of {}",
                    message.queue_offset,
                    message.queue_id
                );
                let number = number(&message.message.body)
                    .with_context(|| format!("damaged body at {offset} of queue {queue_id}"))?;
                found.insert((queue_id, offset), number);
                offset += 1;
            }
            ensure!(
                answer.next_begin_offset == offset,
                "next begin offset of queue {queue_id}"
            );
        }
    }
    let distinct: HashSet<_> = found.values().collect();
    ensure!(distinct.len() == found.len(), "a message is there twice");
    Ok(found)
}
