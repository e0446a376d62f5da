// SPDX-License-Identifier: Apache-2.0
//! From the records of a pull to messages: decode, unwrap, decompress, filter.

use bytes::Bytes;
use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::message::{MessageExt, batch, property, record};

use super::subscription;
use crate::instance::PullAnswer;
use crate::message::{Queue, ReceivedMessage};

/// No body gets longer than this when it is decompressed.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// What a pull brought.
pub(super) struct Pulled {
    /// The wanted messages, in the order of their offsets.
    pub(super) messages: Vec<MessageExt>,
    /// Where to pull next.
    pub(super) next_offset: i64,
}

/// Reads the records of an answer to a pull at `offset`. A record that can not be read is reported and skipped; the
/// ones behind it are pulled again.
pub(super) fn decode(
    answer: &PullAnswer,
    queue: &Queue,
    offset: i64,
    wanted: &SubscriptionData,
) -> Pulled {
    let body: Bytes = answer.body.clone();
    let length = body.len();
    let records = record::decode_all(body);
    let decoded: usize = records
        .iter()
        .map(|message| usize::try_from(message.store_size).unwrap_or(0))
        .sum();
    let mut next_offset = answer.next_offset;
    if decoded < length {
        let last = records
            .last()
            .map(|message| message.queue_offset + answer.offset_delta);
        next_offset = last.map_or(offset, |last| last) + 1;
        tracing::error!(%queue, offset = next_offset - i64::from(last.is_none()), "a record can not be read");
    }
    let mut messages = Vec::with_capacity(records.len());
    for mut message in records {
        message.queue_offset += answer.offset_delta;
        let at = message.queue_offset;
        match batch::unwrap_inner(message) {
            Ok(unwrapped) => messages.extend(unwrapped),
            Err(error) => {
                tracing::error!(%queue, offset = at, %error, "an inner batch can not be read");
            }
        }
    }
    messages.retain_mut(|message| {
        // An inner batch may begin before the offset that was asked for.
        if message.queue_offset < offset || !subscription::wants(wanted, message.message.tag()) {
            return false;
        }
        match message.decompress(MAX_BODY_BYTES) {
            Ok(()) => true,
            Err(error) => {
                let offset = message.queue_offset;
                tracing::error!(%queue, offset, %error, "a damaged body is not delivered");
                false
            }
        }
    });
    Pulled {
        messages,
        next_offset,
    }
}

/// A message as applications see it. One from a retry topic has its original topic again.
pub(super) fn to_received(
    message: &MessageExt,
    queue: &Queue,
    local_retries: i32,
) -> ReceivedMessage {
    let properties = &message.message.properties;
    let retry_topic = properties.get(property::RETRY_TOPIC);
    ReceivedMessage {
        topic: retry_topic.unwrap_or(&message.message.topic).to_owned(),
        body: message.message.body.clone(),
        tag: message.message.tag().map(str::to_owned),
        keys: message.message.keys().map(str::to_owned).collect(),
        properties: properties
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        message_id: message.message_id(),
        offset_message_id: message.offset_message_id(),
        broker_name: queue.broker_name.clone(),
        queue_id: message.queue_id,
        queue_offset: message.queue_offset,
        reconsume_times: message.reconsume_times + local_retries,
        born_timestamp_ms: message.born_timestamp,
        store_timestamp_ms: message.store_timestamp,
        born_host: message.born_host.to_string(),
        store_host: message.store_host.to_string(),
        flag: message.message.flag,
        physical_offset: message.physical_offset,
    }
}
