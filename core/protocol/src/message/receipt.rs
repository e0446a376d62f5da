// SPDX-License-Identifier: Apache-2.0
//! The receipt of a popped message (`extraInfo`, `POP_CK`), and the texts that answers to pops carry.
//!
//! A receipt is `startOffset popTime invisibleTime reviveQueue retry broker queue offset`, joined by single spaces.
//! Source: wire.md 6.5.

use std::fmt::{self, Write as _};

use thiserror::Error;

use super::name;

/// Revive queue of ordered pops: they have no check points.
pub const ORDERED: i32 = 999;

/// Which topic a popped message lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryMark {
    /// The topic that was popped.
    #[default]
    Normal,
    /// The group's retry topic of it, named with `_`.
    RetryV1,
    /// The same, named with `+`.
    RetryV2,
}

impl RetryMark {
    /// The mark of the topic that a message lies in.
    pub fn of_topic(topic: &str) -> Self {
        if !name::is_retry_topic(topic) {
            Self::Normal
        } else if topic.contains('+') {
            Self::RetryV2
        } else {
            Self::RetryV1
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Normal),
            "1" => Some(Self::RetryV1),
            "2" => Some(Self::RetryV2),
            _ => None,
        }
    }

    /// The wire form.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "0",
            Self::RetryV1 => "1",
            Self::RetryV2 => "2",
        }
    }

    /// The topic that messages with this mark lie in when `topic` was popped.
    pub fn real_topic(self, topic: &str, group: &str) -> String {
        match self {
            Self::Normal => topic.to_owned(),
            Self::RetryV1 => name::pop_retry_topic(topic, group, false),
            Self::RetryV2 => name::pop_retry_topic(topic, group, true),
        }
    }
}

/// What identifies a popped message to its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// First offset of the check point.
    pub start_offset: i64,
    /// When it was popped, milliseconds since the epoch.
    pub pop_time: i64,
    /// How long it is hidden, milliseconds.
    pub invisible_time: i64,
    /// Queue of the revive topic, or [`ORDERED`].
    pub revive_queue_id: i32,
    /// Which topic it lies in.
    pub retry: RetryMark,
    /// Broker that holds it.
    pub broker_name: &'a str,
    /// Queue; old senders leave it out.
    pub queue_id: Option<i32>,
    /// Queue offset; old senders leave it out.
    pub queue_offset: Option<i64>,
}

/// Why a text is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the receipt '{text}' has no valid {field}; expected are 8 fields: start offset, pop time, invisible time, revive queue, 0 to 2, broker name, queue, offset"
)]
pub struct ReceiptError {
    /// The text, shortened.
    text: String,
    /// What is missing or malformed.
    field: &'static str,
}

impl<'a> Receipt<'a> {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`ReceiptError`]: a field of the first six is missing, or one is malformed.
    pub fn parse(text: &'a str) -> Result<Self, ReceiptError> {
        let mut parts = text.split(' ');
        let error = |field| ReceiptError {
            text: text.chars().take(128).collect(),
            field,
        };
        let mut number = |field| -> Result<i64, ReceiptError> {
            let part = parts.next().and_then(|part| part.parse().ok());
            part.ok_or_else(|| error(field))
        };
        let start_offset = number("start offset")?;
        let pop_time = number("pop time")?;
        let invisible_time = number("invisible time")?;
        let revive_queue_id = number("revive queue")?;
        let revive_queue_id = i32::try_from(revive_queue_id).map_err(|_| error("revive queue"))?;
        let retry = parts.next().and_then(RetryMark::parse);
        let retry = retry.ok_or_else(|| error("retry mark"))?;
        let broker_name = parts.next().ok_or_else(|| error("broker name"))?;
        let queue_id = parts.next().map(str::parse).transpose();
        let queue_offset = parts.next().map(str::parse).transpose();
        Ok(Self {
            start_offset,
            pop_time,
            invisible_time,
            revive_queue_id,
            retry,
            broker_name,
            queue_id: queue_id.map_err(|_| error("queue"))?,
            queue_offset: queue_offset.map_err(|_| error("offset"))?,
        })
    }
}

impl fmt::Display for Receipt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {}",
            self.start_offset,
            self.pop_time,
            self.invisible_time,
            self.revive_queue_id,
            self.retry.text(),
            self.broker_name
        )?;
        if let Some(queue_id) = self.queue_id {
            write!(f, " {queue_id}")?;
        }
        match self.queue_offset {
            Some(offset) => write!(f, " {offset}"),
            None => Ok(()),
        }
    }
}

/// Adds a queue to `startOffsetInfo`.
pub fn push_start_offset(text: &mut String, mark: RetryMark, queue_id: i32, start_offset: i64) {
    separate(text);
    push(
        text,
        format_args!("{} {queue_id} {start_offset}", mark.text()),
    );
}

/// Adds a queue to `msgOffsetInfo`.
pub fn push_offsets(text: &mut String, mark: RetryMark, queue_id: i32, offsets: &[i64]) {
    separate(text);
    push(text, format_args!("{} {queue_id} ", mark.text()));
    for (index, offset) in offsets.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push(text, format_args!("{offset}"));
    }
}

/// Adds to `orderCountInfo` how often all messages of a queue were handed out before, at least.
pub fn push_queue_count(text: &mut String, mark: RetryMark, queue_id: i32, count: i32) {
    separate(text);
    push(text, format_args!("{} {queue_id} {count}", mark.text()));
}

/// Adds to `orderCountInfo` how often one message was handed out before.
pub fn push_message_count(
    text: &mut String,
    mark: RetryMark,
    queue_id: i32,
    queue_offset: i64,
    count: i32,
) {
    separate(text);
    push(
        text,
        format_args!("{} qo{queue_id}%{queue_offset} {count}", mark.text()),
    );
}

fn separate(text: &mut String) {
    if !text.is_empty() {
        text.push(';');
    }
}

fn push(text: &mut String, piece: fmt::Arguments<'_>) {
    // Writing to a text has no way to fail.
    let _infallible = text.write_fmt(piece);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_round_trip_and_say_what_is_wrong() {
        let text = "100 1700000000000 60000 2 0 broker-a 3 101";
        let receipt = Receipt::parse(text).unwrap();
        assert_eq!(receipt.to_string(), text);
        assert_eq!(
            (receipt.queue_id, receipt.queue_offset),
            (Some(3), Some(101))
        );
        let old = "100 1700000000000 60000 999 1 broker-a";
        assert_eq!(Receipt::parse(old).unwrap().to_string(), old);
        for (bad, field) in [
            ("", "start offset"),
            ("1 2", "invisible time"),
            ("1 2 3 99999999999 0 b", "revive queue"),
            ("1 2 3 4 5 b", "retry mark"),
            ("1 2 3 4 0", "broker name"),
            ("1 2 3 4 0 b x", "queue"),
            ("1 2 3 4 0 b 1 y", "offset"),
        ] {
            assert_eq!(Receipt::parse(bad).unwrap_err().field, field, "{bad}");
        }
    }

    #[test]
    fn answers_list_queues() {
        let (mut start, mut offsets, mut counts) = (String::new(), String::new(), String::new());
        push_start_offset(&mut start, RetryMark::Normal, 1, 7);
        push_start_offset(&mut start, RetryMark::of_topic("%RETRY%g_t"), 0, 3);
        push_offsets(&mut offsets, RetryMark::Normal, 1, &[7, 8]);
        push_offsets(&mut offsets, RetryMark::of_topic("%RETRY%g+t"), 0, &[3]);
        push_message_count(&mut counts, RetryMark::Normal, 1, 7, 2);
        push_queue_count(&mut counts, RetryMark::Normal, 1, 0);
        assert_eq!(start, "0 1 7;1 0 3");
        assert_eq!(offsets, "0 1 7,8;2 0 3");
        assert_eq!(counts, "0 qo1%7 2;0 1 0");
    }
}
