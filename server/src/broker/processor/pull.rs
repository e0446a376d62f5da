// SPDX-License-Identifier: Apache-2.0
//! Step "processor" of the data's way for pulls: PULL_MESSAGE and LITE_PULL_MESSAGE.
//!
//! Before it: [`super::super::dispatch`]. After it: [`crate::store`], whose slices of the mapped log go to the socket
//! without a copy. A pull that finds nothing and may wait is parked in [`super::super::long_poll`] as a [`HeldPull`].
//! Source: server.md 7, wire.md 6.

mod checks;

use std::sync::Arc;

use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::command::ResponseHead;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::{ResponseCode, SerializeType};

use super::{malformed, reply};
use crate::broker::Broker;
pub(super) use checks::property_filter;
use checks::{Checked, check};

use crate::broker::read_filter::ReadFilter;
use crate::broker::stats::Get;
use crate::net::{Replies, Request, Session};
use crate::store::{GetResult, GetStatus, QueueHandle};

/// What a pull reads and how it is answered; plain data, so that it can wait.
#[derive(Debug)]
pub(in crate::broker) struct HeldPull {
    pub(in crate::broker) session: Arc<Session>,
    pub(in crate::broker) queue: Arc<QueueHandle>,
    /// Who pulls.
    pub(in crate::broker) group: Arc<SubscriptionGroupConfig>,
    /// When it is answered at the latest, milliseconds since the epoch.
    pub(in crate::broker) deadline_ms: i64,
    serialize_type: SerializeType,
    opaque: i32,
    /// Offset that the client asked for.
    offset: i64,
    /// Everything before this offset was looked at and does not match.
    pub(in crate::broker) scanned: i64,
    max_messages: usize,
    max_bytes: usize,
    filter: ReadFilter,
    topic_sys_flag: i32,
}

/// Answers a pull or parks it.
pub(in crate::broker) fn handle(broker: &Broker, request: &Request<'_>, replies: &mut Replies) {
    let header = match request.command.header::<PullMessageRequestHeader<'_>>() {
        Ok(header) => header,
        Err(error) => return replies.push(request.command, malformed(&error)),
    };
    let checked = match check(broker, request, &header) {
        Ok(checked) => checked,
        Err(answer) => return replies.push(request.command, *answer),
    };
    if header.sys_flag & pull_flag::COMMIT_OFFSET != 0 {
        broker.offsets.commit(
            request.session.peer(),
            header.consumer_group,
            header.topic,
            header.queue_id,
            header.commit_offset,
        );
    }
    let Checked {
        filter,
        topic_sys_flag,
        group,
    } = checked;
    let may_wait = header.sys_flag & pull_flag::SUSPEND != 0 && !request.command.is_oneway();
    // A pull waits on the queue's handle, so one that may wait makes it.
    let queue = if may_wait || broker.offsets.has_resets() {
        broker.store.queue(header.topic, header.queue_id).ok()
    } else {
        broker.store.find_queue(header.topic, header.queue_id)
    };
    let Some(queue) = queue else {
        let code = if header.queue_offset == 0 {
            ResponseCode::PULL_NOT_FOUND
        } else {
            ResponseCode::PULL_OFFSET_MOVED
        };
        let fields = PullMessageResponseHeader {
            topic_sys_flag: Some(topic_sys_flag),
            group_sys_flag: Some(group.group_sys_flag),
            ..PullMessageResponseHeader::default()
        };
        let answer = reply(code, GetStatus::NoMatchedLogicQueue.name()).with_header(&fields);
        return replies.push(request.command, answer);
    };
    let config = &broker.config;
    let pull = HeldPull {
        session: Arc::clone(request.session),
        queue,
        group,
        deadline_ms: request.now_ms + hold_ms(broker, header.suspend_timeout_millis),
        serialize_type: request.command.serialize_type,
        opaque: request.command.opaque,
        offset: header.queue_offset,
        scanned: header.queue_offset,
        max_messages: limit(
            Some(header.max_msg_nums),
            config.max_transfer_count_on_message_in_memory,
        ),
        max_bytes: limit(
            header.max_msg_bytes,
            config.max_transfer_bytes_on_message_in_memory,
        ),
        filter,
        topic_sys_flag,
    };
    let result = pull.read(broker);
    if may_wait && pull.can_wait(&result) {
        broker.long_poll.park(broker, pull);
    } else if !request.command.is_oneway() {
        pull.answer(broker, result, replies);
    }
}

/// The smaller of what the client wants and what the broker allows, at least one.
fn limit(wanted: Option<i32>, allowed: usize) -> usize {
    wanted
        .and_then(|wanted| usize::try_from(wanted).ok())
        .unwrap_or(allowed)
        .clamp(1, allowed.max(1))
}

fn hold_ms(broker: &Broker, wanted: i64) -> i64 {
    if broker.config.long_polling_enable {
        wanted.clamp(0, MAX_HOLD_MS)
    } else {
        broker.config.short_polling_time_mills
    }
}

/// Longest hold of a pull; clients give up after 30 s by default.
const MAX_HOLD_MS: i64 = 60_000;

impl HeldPull {
    /// Reads from where the last look ended. A reset of the group's offset comes before everything else, once.
    pub(in crate::broker) fn read(&self, broker: &Broker) -> GetResult {
        let (group, topic) = (&self.group.group_name, self.queue.topic());
        if let Some(offset) = broker
            .offsets
            .take_reset(group, topic, self.queue.queue_id())
        {
            let (min, max) = (self.queue.min_offset(), self.queue.max_offset());
            return GetResult::empty(GetStatus::OffsetReset, offset, min, max);
        }
        let started_ms = broker.clock.now_ms();
        let result = self.filter.with(broker, group, topic, |filter| {
            broker.store.get_filtered(
                &self.queue,
                self.scanned,
                self.max_messages,
                self.max_bytes,
                filter,
            )
        });
        let took_ms = broker.clock.now_ms().saturating_sub(started_ms);
        let get = Get {
            messages: result.count as u64,
            bytes: result.bytes as u64,
            ms: u64::try_from(took_ms).unwrap_or(0),
            next_offset: result.next_offset,
        };
        let (queue, group) = (&self.queue, &self.group.group_name);
        broker
            .stats
            .got(group, queue.topic(), queue.queue_id(), get);
        result
    }

    /// Whether there is simply nothing yet.
    pub(in crate::broker) fn can_wait(&self, result: &GetResult) -> bool {
        match result.status {
            GetStatus::OffsetOverflowOne | GetStatus::OffsetFoundNull => true,
            GetStatus::NoMessageInQueue | GetStatus::NoMatchedLogicQueue => self.offset == 0,
            _ => false,
        }
    }

    /// Writes the answer.
    pub(in crate::broker) fn answer(&self, broker: &Broker, result: GetResult, out: &mut Replies) {
        let code = match result.status {
            GetStatus::Found => ResponseCode::SUCCESS,
            // Messages were looked at in vain while the pull waited: the client need not see them again.
            _ if self.can_wait(&result) && self.scanned > self.offset => {
                ResponseCode::PULL_RETRY_IMMEDIATELY
            }
            GetStatus::NoMatchedMessage | GetStatus::MessageWasRemoving => {
                ResponseCode::PULL_RETRY_IMMEDIATELY
            }
            GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue if self.offset != 0 => {
                ResponseCode::PULL_OFFSET_MOVED
            }
            GetStatus::NoMatchedLogicQueue
            | GetStatus::NoMessageInQueue
            | GetStatus::OffsetFoundNull
            | GetStatus::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
            GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall | GetStatus::OffsetReset => {
                ResponseCode::PULL_OFFSET_MOVED
            }
        };
        let head = ResponseHead {
            serialize_type: self.serialize_type,
            code,
            opaque: self.opaque,
            remark: Some(result.status.name()),
        };
        let header = PullMessageResponseHeader {
            suggest_which_broker_id: self.suggested_broker(broker, &result),
            next_begin_offset: result.next_offset,
            min_offset: result.min_offset,
            max_offset: result.max_offset,
            offset_delta: None,
            topic_sys_flag: Some(self.topic_sys_flag),
            group_sys_flag: Some(self.group.group_sys_flag),
            forbidden_type: None,
        };
        out.response(&head, &header, result.bytes);
        for slice in result.slices {
            out.body(slice);
        }
    }

    /// Where the client should read next.
    fn suggested_broker(&self, broker: &Broker, result: &GetResult) -> i64 {
        if !broker.config.slave_read_enable {
            0
        } else if result.is_behind {
            self.group.which_broker_when_consume_slowly
        } else {
            self.group.broker_id
        }
    }
}
