// SPDX-License-Identifier: Apache-2.0
//! Batches: several messages of one topic in one request.

use kerolox_protocol::message::{batch, name, properties, property};

use super::Inner;
use super::outgoing::{self, Outgoing};
use crate::error::{Error, ErrorCode, Result};
use crate::instance::now_ms;
use crate::message::{Message, SendResult};

const OPERATION: &str = "send_batch";

impl Inner {
    pub(super) async fn send_batch(&self, messages: &[Message]) -> Result<SendResult> {
        let outgoing = self.batch(messages)?;
        self.send_with_retries(OPERATION, &outgoing).await
    }

    fn batch<'a>(&self, messages: &'a [Message]) -> Result<Outgoing<'a>> {
        let Some(first) = messages.first() else {
            return Err(invalid("a batch has at least one message".to_owned(), ""));
        };
        let topic = first.topic.as_str();
        if name::is_retry_topic(topic) {
            return Err(invalid(
                "a batch can not go to a retry topic".to_owned(),
                topic,
            ));
        }
        outgoing::check_topic(OPERATION, topic)?;
        let max = self.options.max_message_bytes;
        let mut body = Vec::new();
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            if message.topic != topic {
                let what = format!(
                    "a batch has one topic, not '{topic}' and '{}'",
                    message.topic
                );
                return Err(invalid(what, topic));
            }
            if message.delay_level != 0 {
                return Err(invalid("a batch can not be delayed".to_owned(), topic));
            }
            outgoing::check_size(OPERATION, topic, message.body.len(), max)?;
            let id = self.ids.next(now_ms());
            let text = outgoing::properties_text(OPERATION, message, &id)?;
            batch::append(&mut body, message.flag, &message.body, &text).map_err(|error| {
                Error::new(ErrorCode::InvalidMessage, OPERATION)
                    .with_source(error)
                    .with_context("topic", topic)
            })?;
            ids.push(id);
        }
        if body.len() > max {
            return Err(Error::new(ErrorCode::MessageTooLarge, OPERATION)
                .with_message(format!(
                    "the batch has {} bytes, allowed are {max}",
                    body.len()
                ))
                .with_hint("send fewer messages at once: batches are not split")
                .with_context("topic", topic));
        }
        let mut text = String::new();
        properties::append_item(&mut text, property::UNIQ_KEY, &self.ids.next(now_ms()));
        properties::append_item(&mut text, property::WAIT, "true");
        Ok(Outgoing {
            topic,
            properties: text,
            body: body.into(),
            flag: 0,
            sys_flag: 0,
            message_id: ids.join(","),
            is_batch: true,
        })
    }
}

fn invalid(what: String, topic: &str) -> Error {
    Error::new(ErrorCode::InvalidBatch, OPERATION)
        .with_message(what)
        .with_context("topic", topic)
}
