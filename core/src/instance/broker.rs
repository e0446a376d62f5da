// SPDX-License-Identifier: Apache-2.0
//! What consumers ask of brokers: messages, offsets, members, locks.

use std::time::Duration;

use bytes::Bytes;
use kerolox_protocol::body::group::ConsumerList;
use kerolox_protocol::body::lock::{LockBatchRequest, LockBatchResponse};
use kerolox_protocol::body::queue::MessageQueue;
use kerolox_protocol::header::heartbeat::ConsumerGroupRequestHeader;
use kerolox_protocol::header::offset::{
    OffsetResponseHeader, QueryConsumerOffsetRequestHeader, QueueRequestHeader,
    SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::header::send::ConsumerSendMsgBackRequestHeader;
use kerolox_protocol::header::{Header, NoHeader};
use kerolox_protocol::{Command, RequestCode, ResponseCode, body};

use super::Instance;
use crate::error::{Error, ErrorCode, Result};
use crate::message::Queue;

/// Deadline of questions about offsets, members and locks.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes that one pull asks for.
const PULL_BYTES: i32 = 256 * 1024;

/// The error that a response stands for.
pub(crate) fn broker_error(operation: &'static str, response: &Command, address: &str) -> Error {
    Error::from_response(operation, response.code, response.remark.as_deref())
        .with_context("address", address)
}

/// The error for a response that lacks its header fields.
fn malformed(operation: &'static str, address: &str, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::Protocol, operation)
        .with_message(format!("the answer can not be read: {error}"))
        .with_context("address", address)
}

/// One pull.
#[derive(Clone, Debug)]
pub(crate) struct PullRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a Queue,
    pub(crate) offset: i64,
    pub(crate) max_messages: i32,
    /// Stored by the broker on the way.
    pub(crate) commit_offset: Option<i64>,
    /// How long the broker may hold the request until there are messages.
    pub(crate) hold: Duration,
    /// The expression, if the broker shall not use what the group's heartbeat said.
    pub(crate) expression: Option<&'a str>,
    pub(crate) subscription_version: i64,
    /// Ask as a reader that does not belong to a rebalanced group.
    pub(crate) is_lite: bool,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullStatus {
    /// There are messages.
    Found,
    /// There is nothing new, or nothing that matches.
    NoNew,
    /// The offset lies outside the queue.
    OffsetMoved,
}

/// Answer of a pull.
#[derive(Clone, Debug)]
pub(crate) struct PullAnswer {
    pub(crate) status: PullStatus,
    pub(crate) next_offset: i64,
    pub(crate) min_offset: i64,
    pub(crate) max_offset: i64,
    /// Member of the broker to pull from next.
    pub(crate) suggested_broker: i64,
    /// To be added to the offsets of the messages (static topics).
    pub(crate) offset_delta: i64,
    pub(crate) body: Bytes,
}

/// A message to be delivered again later.
#[derive(Clone, Debug)]
pub(crate) struct SendBack<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue: &'a Queue,
    pub(crate) physical_offset: i64,
    pub(crate) message_id: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) max_reconsume_times: i32,
}

impl Instance {
    /// Pulls messages from the broker member at `address`.
    pub(crate) async fn pull(
        &self,
        address: &str,
        pull: &PullRequest<'_>,
        timeout: Duration,
    ) -> Result<PullAnswer> {
        let mut sys_flag = 0;
        if pull.commit_offset.is_some() {
            sys_flag |= pull_flag::COMMIT_OFFSET;
        }
        if !pull.hold.is_zero() {
            sys_flag |= pull_flag::SUSPEND;
        }
        if pull.expression.is_some() {
            sys_flag |= pull_flag::SUBSCRIPTION;
        }
        if pull.is_lite {
            sys_flag |= pull_flag::LITE_PULL;
        }
        let header = PullMessageRequestHeader {
            consumer_group: pull.group,
            topic: &pull.queue.topic,
            queue_id: pull.queue.queue_id,
            queue_offset: pull.offset,
            max_msg_nums: pull.max_messages,
            sys_flag,
            commit_offset: pull.commit_offset.unwrap_or(0),
            suspend_timeout_millis: i64::try_from(pull.hold.as_millis()).unwrap_or(i64::MAX),
            subscription: pull.expression,
            sub_version: pull.subscription_version,
            expression_type: Some("TAG"),
            max_msg_bytes: Some(PULL_BYTES.max(pull.max_messages.saturating_mul(8192))),
            broker_name: Some(&pull.queue.broker_name),
            ..PullMessageRequestHeader::default()
        };
        let code = if pull.is_lite {
            RequestCode::LITE_PULL_MESSAGE
        } else {
            RequestCode::PULL_MESSAGE
        };
        let response = self
            .call(address, code, &header, &Bytes::new(), timeout)
            .await?;
        let status = match response.response_code() {
            ResponseCode::SUCCESS => PullStatus::Found,
            ResponseCode::PULL_NOT_FOUND | ResponseCode::PULL_RETRY_IMMEDIATELY => {
                PullStatus::NoNew
            }
            ResponseCode::PULL_OFFSET_MOVED => PullStatus::OffsetMoved,
            _ => {
                return Err(in_queue(
                    broker_error("pull", &response, address),
                    pull.queue,
                ));
            }
        };
        let header: PullMessageResponseHeader = response
            .header()
            .map_err(|error| malformed("pull", address, error))?;
        Ok(PullAnswer {
            status,
            next_offset: header.next_begin_offset,
            min_offset: header.min_offset,
            max_offset: header.max_offset,
            suggested_broker: header.suggest_which_broker_id,
            offset_delta: header.offset_delta.unwrap_or(0),
            body: response.body,
        })
    }

    /// The stored offset of a group, if there is one. Unless `only_stored`, brokers answer 0 for a queue that is so
    /// young that its first message can still be read.
    pub(crate) async fn stored_offset(
        &self,
        group: &str,
        queue: &Queue,
        only_stored: bool,
    ) -> Result<Option<i64>> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            set_zero_if_not_found: only_stored.then_some(false),
            broker_name: Some(&queue.broker_name),
        };
        let code = RequestCode::QUERY_CONSUMER_OFFSET;
        match self.offset_of("query offset", queue, code, &header).await {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores the offset of a group. `wait` for the broker's answer, else the request is one-way.
    pub(crate) async fn store_offset(
        &self,
        group: &str,
        queue: &Queue,
        offset: i64,
        wait: bool,
    ) -> Result<()> {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: Some(queue.queue_id),
            commit_offset: Some(offset),
            broker_name: Some(&queue.broker_name),
        };
        let code = RequestCode::UPDATE_CONSUMER_OFFSET;
        let address = self.queue_address(queue, TIMEOUT).await?;
        if !wait {
            return self
                .call_oneway(&address, code, &header, &Bytes::new(), TIMEOUT)
                .await;
        }
        let response = self
            .call(&address, code, &header, &Bytes::new(), TIMEOUT)
            .await?;
        if response.code == ResponseCode::SUCCESS.0 {
            return Ok(());
        }
        Err(in_queue(
            broker_error("store offset", &response, &address),
            queue,
        ))
    }

    /// Offset that the next message of a queue will get.
    pub(crate) async fn max_offset(&self, queue: &Queue) -> Result<i64> {
        self.offset_of(
            "max offset",
            queue,
            RequestCode::GET_MAX_OFFSET,
            &of_queue(queue),
        )
        .await
    }

    /// Offset of the first message of a queue.
    pub(crate) async fn min_offset(&self, queue: &Queue) -> Result<i64> {
        self.offset_of(
            "min offset",
            queue,
            RequestCode::GET_MIN_OFFSET,
            &of_queue(queue),
        )
        .await
    }

    /// Offset of the first message that was stored at or after a time.
    pub(crate) async fn offset_by_time(&self, queue: &Queue, timestamp_ms: i64) -> Result<i64> {
        let header = SearchOffsetRequestHeader {
            topic: &queue.topic,
            queue_id: queue.queue_id,
            timestamp: timestamp_ms,
            boundary_type: Some("LOWER"),
            broker_name: Some(&queue.broker_name),
        };
        let code = RequestCode::SEARCH_OFFSET_BY_TIMESTAMP;
        self.offset_of("offset by time", queue, code, &header).await
    }

    async fn offset_of<'h>(
        &self,
        operation: &'static str,
        queue: &Queue,
        code: RequestCode,
        header: &impl Header<'h>,
    ) -> Result<i64> {
        let address = self.queue_address(queue, TIMEOUT).await?;
        let response = self
            .call(&address, code, header, &Bytes::new(), TIMEOUT)
            .await?;
        if response.code != ResponseCode::SUCCESS.0 {
            return Err(in_queue(
                broker_error(operation, &response, &address),
                queue,
            ));
        }
        let header: OffsetResponseHeader = response
            .header()
            .map_err(|error| malformed(operation, &address, error))?;
        Ok(header.offset)
    }

    /// Client ids of the members of a group, sorted as every client sorts them; `None` if the broker knows none.
    pub(crate) async fn group_members(
        &self,
        address: &str,
        group: &str,
    ) -> Result<Option<Vec<String>>> {
        let header = ConsumerGroupRequestHeader {
            consumer_group: group,
        };
        let code = RequestCode::GET_CONSUMER_LIST_BY_GROUP;
        let response = self
            .call(address, code, &header, &Bytes::new(), TIMEOUT)
            .await?;
        match response.response_code() {
            ResponseCode::SUCCESS => {}
            ResponseCode::SYSTEM_ERROR => return Ok(None),
            _ => return Err(broker_error("list members", &response, address)),
        }
        let list: ConsumerList = body::decode(&response.body)
            .map_err(|error| malformed("list members", address, error))?;
        let mut ids = list.consumer_id_list;
        // As Java sorts strings: by UTF-16 code units.
        ids.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
        Ok(Some(ids).filter(|ids| !ids.is_empty()))
    }

    /// Locks queues of one broker for this client; the ones that it holds now.
    pub(crate) async fn lock_queues(
        &self,
        address: &str,
        group: &str,
        queues: &[Queue],
    ) -> Result<Vec<Queue>> {
        let body = self.lock_body(group, queues);
        let code = RequestCode::LOCK_BATCH_MQ;
        let response = self.call(address, code, &NoHeader, &body, TIMEOUT).await?;
        if response.code != ResponseCode::SUCCESS.0 {
            return Err(broker_error("lock queues", &response, address));
        }
        let locked: LockBatchResponse = body::decode(&response.body)
            .map_err(|error| malformed("lock queues", address, error))?;
        Ok(locked.lock_ok_mq_set.into_iter().map(Queue::from).collect())
    }

    /// Gives up the locks of queues of one broker.
    pub(crate) async fn unlock_queues(
        &self,
        address: &str,
        group: &str,
        queues: &[Queue],
    ) -> Result<()> {
        let body = self.lock_body(group, queues);
        let code = RequestCode::UNLOCK_BATCH_MQ;
        let response = self.call(address, code, &NoHeader, &body, TIMEOUT).await?;
        if response.code == ResponseCode::SUCCESS.0 {
            return Ok(());
        }
        Err(broker_error("unlock queues", &response, address))
    }

    fn lock_body(&self, group: &str, queues: &[Queue]) -> Bytes {
        let request = LockBatchRequest {
            client_id: self.client_id.clone(),
            consumer_group: group.to_owned(),
            mq_set: queues.iter().map(MessageQueue::from).collect(),
            only_this_broker: false,
        };
        body::encode(&request).into()
    }

    /// Has a message delivered to its group again later.
    pub(crate) async fn send_back(&self, back: &SendBack<'_>) -> Result<()> {
        let header = ConsumerSendMsgBackRequestHeader {
            offset: back.physical_offset,
            group: back.group,
            delay_level: 0,
            origin_msg_id: Some(back.message_id),
            origin_topic: Some(back.topic),
            unit_mode: Some(false),
            max_reconsume_times: Some(back.max_reconsume_times),
            broker_name: Some(&back.queue.broker_name),
        };
        let code = RequestCode::CONSUMER_SEND_MSG_BACK;
        let address = self.queue_address(back.queue, TIMEOUT).await?;
        let response = self
            .call(&address, code, &header, &Bytes::new(), TIMEOUT)
            .await?;
        if response.code == ResponseCode::SUCCESS.0 {
            return Ok(());
        }
        Err(in_queue(
            broker_error("send back", &response, &address),
            back.queue,
        ))
    }
}

fn of_queue(queue: &Queue) -> QueueRequestHeader<'_> {
    QueueRequestHeader {
        topic: &queue.topic,
        queue_id: queue.queue_id,
        committed: None,
        broker_name: Some(&queue.broker_name),
    }
}

fn in_queue(error: Error, queue: &Queue) -> Error {
    error.with_context("queue", queue.to_string())
}

impl From<&Queue> for MessageQueue {
    fn from(queue: &Queue) -> Self {
        Self {
            topic: queue.topic.clone(),
            broker_name: queue.broker_name.clone(),
            queue_id: queue.queue_id,
        }
    }
}

impl From<MessageQueue> for Queue {
    fn from(queue: MessageQueue) -> Self {
        Self {
            topic: queue.topic,
            broker_name: queue.broker_name,
            queue_id: queue.queue_id,
        }
    }
}
