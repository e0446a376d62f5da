// SPDX-License-Identifier: Apache-2.0
//! From the application's message to what goes on the wire: checks, properties, unique id, compression.
//!
//! Everything that can be known to fail is refused here, before anything is sent, and says what is allowed.

use bytes::Bytes;
use kerolox_protocol::message::compression::{self, CompressionType};
use kerolox_protocol::message::properties::{self, MAX_TEXT_BYTES};
use kerolox_protocol::message::{name, property};

use crate::error::{Error, ErrorCode, Result};
use crate::message::Message;

/// Level of the compression; the reference's.
const COMPRESSION_LEVEL: u32 = 5;

/// A message as it goes on the wire.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) properties: String,
    pub(super) body: Bytes,
    pub(super) flag: i32,
    pub(super) sys_flag: i32,
    pub(super) message_id: String,
    pub(super) is_batch: bool,
}

/// What outgoing messages are checked against.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_message_bytes: usize,
    pub(super) compress_over_bytes: usize,
}

pub(super) fn check_topic(operation: &'static str, topic: &str) -> Result<()> {
    let invalid = |what: String| {
        Err(Error::new(ErrorCode::InvalidTopic, operation)
            .with_message(what)
            .with_context("topic", topic))
    };
    match name::check_topic(topic) {
        Err(error) => invalid(format!("the topic name '{topic}' is not allowed: {error}")),
        Ok(()) if !name::is_send_allowed(topic) => invalid(format!(
            "'{topic}' is a system topic that nobody may send to"
        )),
        Ok(()) => Ok(()),
    }
}

pub(super) fn check_size(
    operation: &'static str,
    topic: &str,
    size: usize,
    max: usize,
) -> Result<()> {
    if size == 0 {
        return Err(Error::new(ErrorCode::EmptyBody, operation).with_context("topic", topic));
    }
    if size > max {
        return Err(Error::new(ErrorCode::MessageTooLarge, operation)
            .with_message(format!(
                "the message body has {size} bytes, allowed are {max}"
            ))
            .with_context("topic", topic));
    }
    Ok(())
}

fn invalid(operation: &'static str, topic: &str, what: String) -> Error {
    Error::new(ErrorCode::InvalidMessage, operation)
        .with_message(what)
        .with_context("topic", topic)
}

/// Checks a message and adds what every message carries.
pub(super) fn prepare<'a>(
    operation: &'static str,
    message: &'a Message,
    message_id: String,
    limits: Limits,
) -> Result<Outgoing<'a>> {
    check_topic(operation, &message.topic)?;
    check_size(
        operation,
        &message.topic,
        message.body.len(),
        limits.max_message_bytes,
    )?;
    let properties = properties_text(operation, message, &message_id)?;
    let (body, sys_flag) = compressed(message, limits.compress_over_bytes);
    Ok(Outgoing {
        topic: &message.topic,
        properties,
        body,
        flag: message.flag,
        sys_flag,
        message_id,
        is_batch: false,
    })
}

/// Checks tag, keys and properties and writes them, with the unique id, as the protocol's text.
pub(super) fn properties_text(
    operation: &'static str,
    message: &Message,
    message_id: &str,
) -> Result<String> {
    let fail = |what: String| Err(invalid(operation, &message.topic, what));
    let mut text = String::with_capacity(96);
    for (name, value) in &message.properties {
        if property::is_reserved(name) {
            return fail(format!("the property name '{name}' is reserved"));
        }
        if !properties::is_legal(name) || !properties::is_legal(value) {
            return fail(format!(
                "the property '{}' is empty or contains U+0001 or U+0002",
                name.escape_debug()
            ));
        }
        properties::append_item(&mut text, name, value);
    }
    let Some(known) = message
        .keys
        .iter()
        .find(|key| !properties::is_legal(key) || key.contains(' '))
    else {
        return finish(operation, message, message_id, text);
    };
    fail(format!(
        "the key '{}' is empty or contains a space, U+0001 or U+0002",
        known.escape_debug()
    ))
}

fn finish(
    operation: &'static str,
    message: &Message,
    message_id: &str,
    mut text: String,
) -> Result<String> {
    if !message.keys.is_empty() {
        properties::append_item(&mut text, property::KEYS, &message.keys.join(" "));
    }
    if let Some(tag) = &message.tag {
        if !properties::is_legal(tag) {
            let what = format!(
                "the tag '{}' is empty or contains U+0001 or U+0002",
                tag.escape_debug()
            );
            return Err(invalid(operation, &message.topic, what));
        }
        properties::append_item(&mut text, property::TAGS, tag);
    }
    if message.delay_level != 0 {
        if message.delay_level < 0 {
            let what = format!("delay_level is {}, allowed is 0 to 18", message.delay_level);
            return Err(invalid(operation, &message.topic, what));
        }
        properties::append_item(&mut text, property::DELAY, &message.delay_level.to_string());
    }
    properties::append_item(&mut text, property::UNIQ_KEY, message_id);
    properties::append_item(&mut text, property::WAIT, "true");
    if text.len() > MAX_TEXT_BYTES {
        let what = format!(
            "properties, tag and keys have {} bytes as text, allowed are {MAX_TEXT_BYTES}",
            text.len()
        );
        return Err(invalid(operation, &message.topic, what));
    }
    Ok(text)
}

/// The body, compressed if it is long enough and gets shorter by it.
fn compressed(message: &Message, over_bytes: usize) -> (Bytes, i32) {
    if message.body.len() >= over_bytes {
        match compression::compress(CompressionType::Zlib, COMPRESSION_LEVEL, &message.body) {
            Ok(short) if short.len() < message.body.len() => {
                return (short.into(), CompressionType::Zlib.sys_flag());
            }
            Ok(_not_shorter) => {}
            Err(error) => tracing::warn!(topic = message.topic, %error, "sent uncompressed"),
        }
    }
    (message.body.clone(), 0)
}

#[cfg(test)]
mod tests;
