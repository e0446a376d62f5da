// SPDX-License-Identifier: Apache-2.0
//! Step "API" of the client's way: queue choice and the retry loop, the only one there is.
//!
//! Before it: [`super::outgoing`], which checked the message. After it: [`crate::instance`], which knows the route and
//! the connection.
//!
//! The deadline covers everything: the route, every attempt and the pauses between. While other brokers could be
//! asked, an attempt gets only its share of what is left, so that a broker that hangs does not use up the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerolox_protocol::header::send::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use kerolox_protocol::message::name::AUTO_CREATE_TOPIC;
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::Inner;
use super::outgoing::{self, Limits, Outgoing};
use crate::error::{Category, Error, ErrorCode, Result};
use crate::instance::{MASTER, PublishQueue, TopicRoute, broker_error, now_ms};
use crate::message::{Message, Queue, SendResult, SendStatus};

/// Pause before the same broker is asked again; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
/// What an attempt gets at least.
const SHARE: Duration = Duration::from_millis(500);

/// Answers of a broker that another attempt may change; the reference's set.
const RETRIED: [ResponseCode; 8] = [
    ResponseCode::TOPIC_NOT_EXIST,
    ResponseCode::SERVICE_NOT_AVAILABLE,
    ResponseCode::SYSTEM_ERROR,
    ResponseCode::SYSTEM_BUSY,
    ResponseCode::NO_PERMISSION,
    ResponseCode::NO_BUYER_ID,
    ResponseCode::NOT_IN_CURRENT_UNIT,
    ResponseCode::GO_AWAY,
];

impl Inner {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: self.options.max_message_bytes,
            compress_over_bytes: self.options.compress_over_bytes,
        }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<SendResult> {
        let id = self.ids.next(now_ms());
        let outgoing = outgoing::prepare("send", message, id, self.limits())?;
        self.send_with_retries("send", &outgoing).await
    }

    pub(super) async fn send_with_retries(
        &self,
        operation: &'static str,
        outgoing: &Outgoing<'_>,
    ) -> Result<SendResult> {
        let deadline = Instant::now() + self.timeout();
        let mut route = self.route(operation, outgoing.topic, deadline).await?;
        let attempts = self.options.retry_times.saturating_add(1);
        let mut last_broker: Option<Arc<str>> = None;
        let mut weaker: Option<SendResult> = None;
        let mut last_error: Option<Error> = None;
        for attempt in 0..attempts {
            if attempt > 0 {
                // It may have been refreshed meanwhile.
                route = self.instance.known_route(outgoing.topic).unwrap_or(route);
            }
            let Some(queue) = route.next_queue(last_broker.as_deref()) else {
                return Err(no_queue(operation, outgoing.topic));
            };
            let is_same_broker = last_broker.as_deref() == Some(&*queue.broker_name);
            if is_same_broker && weaker.is_none() {
                let pause = PAUSE * 2u32.saturating_pow(attempt.saturating_sub(1)).min(8);
                if Instant::now() + pause >= deadline {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let share = match attempts - attempt {
                1 => left,
                rest if route.brokers.len() > 1 => (left / rest).max(SHARE).min(left),
                _ => left,
            };
            match self.attempt(operation, outgoing, queue, share).await {
                Ok(result) => {
                    let is_good = result.status == SendStatus::SendOk
                        || !self.options.retry_another_broker_when_not_store_ok;
                    if is_good {
                        return Ok(result);
                    }
                    weaker = Some(result);
                }
                Err(error) => {
                    tracing::debug!(topic = outgoing.topic, attempt, %error, "attempt failed");
                    let is_retried = match error.broker_code() {
                        Some(code) => RETRIED.iter().any(|retried| retried.0 == code),
                        None => error.category() == Category::Connect,
                    };
                    if error.category() == Category::Connect
                        || error.broker_code() == Some(ResponseCode::TOPIC_NOT_EXIST.0)
                    {
                        self.instance.suspect_routes();
                    }
                    last_error = Some(error);
                    if !is_retried {
                        break;
                    }
                }
            }
            last_broker = Some(Arc::clone(&queue.broker_name));
        }
        match (weaker, last_error) {
            // Stored is stored, whatever became of the later attempts.
            (Some(result), _) => Ok(result),
            (None, Some(error)) => Err(error),
            (None, None) => Err(self.too_late(operation, outgoing.topic)),
        }
    }

    pub(super) async fn send_to_queue(
        &self,
        message: &Message,
        queue: &Queue,
    ) -> Result<SendResult> {
        const OPERATION: &str = "send_to_queue";
        if queue.topic != message.topic {
            return Err(Error::new(ErrorCode::InvalidQueue, OPERATION)
                .with_message(format!("the queue is of topic '{}'", queue.topic))
                .with_context("topic", &message.topic));
        }
        let id = self.ids.next(now_ms());
        let outgoing = outgoing::prepare(OPERATION, message, id, self.limits())?;
        let deadline = Instant::now() + self.timeout();
        let route = self.route(OPERATION, &message.topic, deadline).await?;
        let address = match route.master(&queue.broker_name) {
            Some(address) => address.to_owned(),
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                self.instance.fetch_route(&message.topic, left).await?;
                self.instance
                    .broker_address(&queue.broker_name, MASTER, true)
                    .ok_or_else(|| {
                        Error::new(ErrorCode::BrokerNotFound, OPERATION)
                            .with_context("topic", &message.topic)
                            .with_context("broker", &queue.broker_name)
                    })?
            }
        };
        let queue = PublishQueue {
            broker_name: queue.broker_name.as_str().into(),
            address: address.into(),
            queue_id: queue.queue_id,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.attempt(OPERATION, &outgoing, &queue, left).await
    }

    pub(super) async fn send_oneway(&self, message: &Message) -> Result<()> {
        const OPERATION: &str = "send_oneway";
        let id = self.ids.next(now_ms());
        let outgoing = outgoing::prepare(OPERATION, message, id, self.limits())?;
        let deadline = Instant::now() + self.timeout();
        let route = self.route(OPERATION, &message.topic, deadline).await?;
        let queue = route
            .next_queue(None)
            .ok_or_else(|| no_queue(OPERATION, &message.topic))?;
        let (code, header) = self.header(&outgoing, queue);
        let left = deadline.saturating_duration_since(Instant::now());
        let sent = self
            .instance
            .call_oneway(&queue.address, code, &header, &outgoing.body, left)
            .await;
        sent.map_err(|error| in_send(error, OPERATION, &outgoing, queue))
    }

    async fn route(
        &self,
        operation: &'static str,
        topic: &str,
        deadline: Instant,
    ) -> Result<Arc<TopicRoute>> {
        if let Some(route) = self.instance.known_route(topic) {
            return Ok(route);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let most = Some(self.options.default_topic_queues);
        let route = self.instance.route(topic, most, left).await;
        route.map_err(|error| error.in_operation(operation).with_context("topic", topic))
    }

    fn header<'a>(
        &'a self,
        outgoing: &'a Outgoing<'_>,
        queue: &'a PublishQueue,
    ) -> (RequestCode, SendMessageRequestHeaderV2<'a>) {
        let header = SendMessageRequestHeaderV2 {
            producer_group: &self.options.group,
            topic: outgoing.topic,
            default_topic: AUTO_CREATE_TOPIC,
            default_topic_queue_nums: self.options.default_topic_queues,
            queue_id: queue.queue_id,
            sys_flag: outgoing.sys_flag,
            born_timestamp: now_ms(),
            flag: outgoing.flag,
            properties: Some(&outgoing.properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            max_reconsume_times: None,
            batch: Some(outgoing.is_batch),
            broker_name: Some(&queue.broker_name),
        };
        let code = if outgoing.is_batch {
            RequestCode::SEND_BATCH_MESSAGE
        } else {
            RequestCode::SEND_MESSAGE_V2
        };
        (code, header)
    }

    async fn attempt(
        &self,
        operation: &'static str,
        outgoing: &Outgoing<'_>,
        queue: &PublishQueue,
        timeout: Duration,
    ) -> Result<SendResult> {
        let (code, header) = self.header(outgoing, queue);
        let response = self
            .instance
            .call(&queue.address, code, &header, &outgoing.body, timeout)
            .await;
        response
            .and_then(|response| result_of(operation, &response, outgoing, queue))
            .map_err(|error| in_send(error, operation, outgoing, queue))
    }

    fn too_late(&self, operation: &'static str, topic: &str) -> Error {
        Error::new(ErrorCode::Timeout, operation)
            .with_message(format!(
                "not sent within {} ms",
                self.options.send_timeout_ms
            ))
            .with_context("topic", topic)
    }
}

fn no_queue(operation: &'static str, topic: &str) -> Error {
    Error::new(ErrorCode::NoRoute, operation)
        .with_message("no broker of the topic has a master that may be written to")
        .with_context("topic", topic)
}

fn in_send(
    error: Error,
    operation: &'static str,
    outgoing: &Outgoing<'_>,
    queue: &PublishQueue,
) -> Error {
    error
        .in_operation(operation)
        .with_context("topic", outgoing.topic)
        .with_context("broker", &*queue.broker_name)
}

fn result_of(
    operation: &'static str,
    response: &Command,
    outgoing: &Outgoing<'_>,
    queue: &PublishQueue,
) -> Result<SendResult> {
    let status = match response.response_code() {
        ResponseCode::SUCCESS => SendStatus::SendOk,
        ResponseCode::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        ResponseCode::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        ResponseCode::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        _ => return Err(broker_error(operation, response, &queue.address)),
    };
    let header: SendMessageResponseHeader<'_> = response.header().map_err(|error| {
        Error::new(ErrorCode::Protocol, operation)
            .with_message(format!(
                "the message is stored, but the answer can not be read: {error}"
            ))
            .with_context("address", &*queue.address)
    })?;
    Ok(SendResult {
        status,
        message_id: header
            .batch_uniq_id
            .unwrap_or(&outgoing.message_id)
            .to_owned(),
        offset_message_id: header.msg_id.to_owned(),
        topic: outgoing.topic.to_owned(),
        broker_name: queue.broker_name.to_string(),
        queue_id: header.queue_id,
        queue_offset: header.queue_offset,
        transaction_id: header.transaction_id.map(str::to_owned),
        region: header.region.map(str::to_owned),
    })
}
