// SPDX-License-Identifier: Apache-2.0
//! Reads queues over a raw connection.

use anyhow::{Context, ensure};
use kerolox_protocol::code::{RequestCode, ResponseCode};
use kerolox_protocol::command::Command;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::message::{MessageExt, record};
use kerolox_tests::wire::Connection;

const READERS: &str = "exchange_readers";

/// Passes every message of a queue from `offset` on that the tag (`*` for any) lets through to `visit`; returns the end.
pub(crate) fn read_queue(
    connection: &mut Connection,
    (topic, queue_id): (&str, i32),
    mut offset: i64,
    tag: &str,
    mut visit: impl FnMut(MessageExt) -> anyhow::Result<()>,
) -> anyhow::Result<i64> {
    loop {
        let header = PullMessageRequestHeader {
            consumer_group: READERS,
            topic,
            queue_id,
            queue_offset: offset,
            max_msg_nums: 32,
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some(tag),
            expression_type: Some("TAG"),
            ..Default::default()
        };
        let response = connection
            .request(Command::request(RequestCode::PULL_MESSAGE, &header))
            .with_context(|| format!("pull of {topic} queue {queue_id} at {offset}"))?;
        let code = response.response_code();
        let what = || {
            let remark = &response.remark;
            format!("pull of {topic} queue {queue_id} at {offset}: {code:?} {remark:?}")
        };
        ensure!(
            [
                ResponseCode::SUCCESS,
                ResponseCode::PULL_NOT_FOUND,
                ResponseCode::PULL_RETRY_IMMEDIATELY,
                ResponseCode::PULL_OFFSET_MOVED,
            ]
            .contains(&code),
            "{}",
            what()
        );
        let answer: PullMessageResponseHeader = response.header()?;
        ensure!(
            answer.min_offset == 0,
            "{}: minimum {}",
            what(),
            answer.min_offset
        );
        let next = answer.next_begin_offset;
        if code == ResponseCode::SUCCESS {
            for message in record::decode_all(response.body) {
                visit(message)?;
            }
        } else if offset == answer.max_offset {
            return Ok(offset);
        }
        ensure!(
            next > offset,
            "pull of {topic} queue {queue_id}: {offset}, then {next}"
        );
        offset = next;
    }
}
