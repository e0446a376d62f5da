// SPDX-License-Identifier: Apache-2.0
//! Step "processor" of the data's way for pulls: PULL_MESSAGE and LITE_PULL_MESSAGE.
//!
//! Before it: [`super::super::dispatch`]. After it: [`crate::store`], whose slices of the mapped log go to the socket
//! without a copy. A pull that finds nothing and may wait is parked in [`super::super::long_poll`] as a [`HeldPull`].
//! Source: server.md 7, wire.md 6.

use std::sync::Arc;

use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::body::heartbeat::{MessageModel, SubscriptionData};
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::command::ResponseHead;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::{Command, ResponseCode, SerializeType};

use super::{malformed, reply};
use crate::broker::Broker;
use crate::broker::stats::Get;
use crate::net::{Replies, Request, Session};
use crate::store::{GetResult, GetStatus, QueueHandle};

/// Values of the response field `forbiddenType`.
mod forbidden {
    pub(super) const BROKER: i32 = 1;
    pub(super) const GROUP: i32 = 2;
    pub(super) const TOPIC: i32 = 3;
    pub(super) const BROADCASTING: i32 = 4;
    pub(super) const SUBSCRIPTION: i32 = 5;
}

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
    filter: Option<Arc<SubscriptionData>>,
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
    let queue = if may_wait {
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
        pull.answer(result, replies);
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

struct Checked {
    filter: Option<Arc<SubscriptionData>>,
    topic_sys_flag: i32,
    group: Arc<SubscriptionGroupConfig>,
}

/// The checks of server.md 7.1, in their order.
fn check(
    broker: &Broker,
    request: &Request<'_>,
    header: &PullMessageRequestHeader<'_>,
) -> Result<Checked, Box<Command>> {
    let forbid = |kind: i32, remark: String| {
        let fields = PullMessageResponseHeader {
            forbidden_type: Some(kind),
            ..Default::default()
        };
        Box::new(reply(ResponseCode::NO_PERMISSION, remark).with_header(&fields))
    };
    let refuse = |code, remark: String| Box::new(reply(code, remark));
    let (group, topic) = (header.consumer_group, header.topic);
    if !perm::is_readable(broker.config.broker_permission) {
        let remark = format!(
            "the broker[{}] pulling message is forbidden",
            broker.store_host
        );
        return Err(forbid(forbidden::BROKER, remark));
    }
    let Some(group_config) = broker.groups.find(group, request.now_ms) else {
        let remark = format!("subscription group [{group}] does not exist");
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if !group_config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(forbid(forbidden::GROUP, remark));
    }
    let Some(topic_config) = broker.topics.get(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    if !perm::is_readable(topic_config.perm) {
        let remark = format!("the topic[{topic}] pulling message is forbidden");
        return Err(forbid(forbidden::TOPIC, remark));
    }
    let queues = topic_config.read_queue_nums;
    if !(0..queues).contains(&header.queue_id) {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}] consumer:[{}]",
            header.queue_id,
            request.session.peer_text()
        );
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    let filter = if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        let expression = header.subscription.unwrap_or("*");
        check_type(header.expression_type)?;
        Arc::new(SubscriptionData::tags(
            topic,
            expression,
            header.sub_version,
        ))
    } else {
        registered(broker, header, &forbid)?
    };
    check_type(Some(&filter.expression_type))?;
    Ok(Checked {
        filter: Some(filter).filter(|filter| !filter.code_set.is_empty()),
        topic_sys_flag: topic_config.topic_sys_flag,
        group: group_config,
    })
}

/// The subscription of the group's heartbeats.
fn registered(
    broker: &Broker,
    header: &PullMessageRequestHeader<'_>,
    forbid: &dyn Fn(i32, String) -> Box<Command>,
) -> Result<Arc<SubscriptionData>, Box<Command>> {
    let (group, topic) = (header.consumer_group, header.topic);
    if !broker.clients.group_known(group) {
        let remark =
            format!("the consumer's group info not exist, group: {group}; send a heartbeat first");
        return Err(Box::new(reply(
            ResponseCode::SUBSCRIPTION_NOT_EXIST,
            remark,
        )));
    }
    let broadcasting = broker.clients.message_model(group) == Some(MessageModel::Broadcasting);
    let allowed = broker
        .groups
        .get(group)
        .is_none_or(|group| group.consume_broadcast_enable);
    if broadcasting && !allowed {
        let remark = format!("the consumer group[{group}] can not consume by broadcast way");
        return Err(forbid(forbidden::BROADCASTING, remark));
    }
    if broker.groups.is_read_forbidden(group, topic) {
        let remark = format!("the consumer group[{group}] is forbidden for topic[{topic}]");
        return Err(forbid(forbidden::SUBSCRIPTION, remark));
    }
    let Some(subscription) = broker.clients.subscription(group, topic) else {
        let remark =
            format!("the consumer's subscription not exist, group: {group}, topic: {topic}");
        return Err(Box::new(reply(
            ResponseCode::SUBSCRIPTION_NOT_EXIST,
            remark,
        )));
    };
    if subscription.sub_version < header.sub_version {
        let remark = format!(
            "the consumer's subscription is not latest: the broker has version {}, the pull {}",
            subscription.sub_version, header.sub_version
        );
        return Err(Box::new(reply(
            ResponseCode::SUBSCRIPTION_NOT_LATEST,
            remark,
        )));
    }
    Ok(subscription)
}

fn check_type(expression_type: Option<&str>) -> Result<(), Box<Command>> {
    match expression_type {
        None | Some("" | "TAG") => Ok(()),
        Some(other) => Err(Box::new(reply(
            ResponseCode::SYSTEM_ERROR,
            format!("The broker does not support consumer to filter message by {other}"),
        ))),
    }
}

impl HeldPull {
    /// Reads from where the last look ended.
    pub(in crate::broker) fn read(&self, broker: &Broker) -> GetResult {
        let started_ms = broker.clock.now_ms();
        let mut matches = |code| {
            self.filter
                .as_ref()
                .is_none_or(|filter| filter.matches_tags_code(code))
        };
        let result = broker.store.get_from(
            &self.queue,
            self.scanned,
            self.max_messages,
            self.max_bytes,
            &mut matches,
        );
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
    pub(in crate::broker) fn answer(&self, result: GetResult, out: &mut Replies) {
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
            GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall => {
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
            suggest_which_broker_id: 0,
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
}
