// SPDX-License-Identifier: Apache-2.0
//! Reads everything back after a send run: every acknowledged number has to be there once and undamaged.

use std::collections::HashMap;

use anyhow::{Result, bail};
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::setup::Caller;
use super::{Args, payload, wire};

/// What the check found.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Verified {
    pub(super) acknowledged: u64,
    pub(super) missing: u64,
    pub(super) doubled: u64,
    pub(super) damaged: u64,
}

pub(super) async fn read_back(args: &Args, acknowledged: &[(u64, u32)]) -> Result<Verified> {
    let mut expected: HashMap<u64, u32> = HashMap::new();
    for (first, count) in acknowledged {
        for number in *first..*first + u64::from(*count) {
            expected.insert(number, 0);
        }
    }
    let mut verified = Verified {
        acknowledged: expected.len() as u64,
        ..Verified::default()
    };
    let mut caller = Caller::connect(args.broker).await?;
    for queue_id in 0..args.queues {
        let mut offset = 0;
        loop {
            let header = PullMessageRequestHeader {
                consumer_group: "bench",
                topic: &args.topic,
                queue_id,
                queue_offset: offset,
                max_msg_nums: 32,
                sys_flag: pull_flag::SUBSCRIPTION,
                subscription: Some("*"),
                expression_type: Some("TAG"),
                ..Default::default()
            };
            let answer = caller
                .call(&Command::request(RequestCode::PULL_MESSAGE, &header))
                .await?;
            let fields = answer.header::<PullMessageResponseHeader>();
            match (answer.response_code(), fields) {
                (ResponseCode::SUCCESS, Ok(fields)) => {
                    for (_, body) in wire::records(answer.body.clone())? {
                        match payload::check(&body) {
                            Some(number) => {
                                if let Some(seen) = expected.get_mut(&number) {
                                    *seen += 1;
                                }
                            }
                            None => verified.damaged += 1,
                        }
                    }
                    offset = fields.next_begin_offset;
                }
                (ResponseCode::PULL_OFFSET_MOVED, Ok(fields))
                    if fields.next_begin_offset > offset =>
                {
                    offset = fields.next_begin_offset;
                }
                (ResponseCode::PULL_NOT_FOUND | ResponseCode::PULL_OFFSET_MOVED, Ok(_)) => break,
                _ => bail!("reading back queue {queue_id} at {offset}: {answer:?}"),
            }
        }
    }
    for seen in expected.values() {
        match seen {
            0 => verified.missing += 1,
            1 => {}
            _ => verified.doubled += 1,
        }
    }
    Ok(verified)
}
