// SPDX-License-Identifier: Apache-2.0
//! What is sent: everything about a message follows from its number.

use anyhow::{Context, ensure};
use bytes::Bytes;
use kerolox_protocol::message::{MessageExt, Properties, property};
use kerolox_tests::numbered;

/// Numbers of one phase (a broker's run from start to stop or kill).
pub(super) const PHASE: u64 = 1_000_000;
/// From here on in a phase the numbers of its batch.
pub(super) const BATCHED: u64 = 900_000;
/// `messageDelayLevel` of both brokers.
pub(super) const DELAY_LEVELS: &str = "1s 3s 8s 20s 1m";
const DELAYS_MS: [i64; 5] = [1_000, 3_000, 8_000, 20_000, 60_000];

pub(super) const MANY: &str = "exchange_many";
pub(super) const MANY_QUEUES: i32 = 4;
/// Comes into being with its first message.
pub(super) const FEW: &str = "exchange_few";
pub(super) const FEW_QUEUES: i32 = 2;
pub(super) const DELAYED: &str = "exchange_delayed";
pub(super) const DELAYED_QUEUES: i32 = 2;
/// The group that sends back.
pub(super) const GROUP: &str = "exchange_group";
pub(super) const TAGS: [Option<&str>; 3] = [Some("red"), None, Some("größer")];

/// Milliseconds of a delay level.
pub(super) fn delay_ms(level: usize) -> i64 {
    DELAYS_MS[level - 1]
}

/// The topic that a phase creates.
pub(super) fn topic_of_phase(phase: u64) -> String {
    format!("exchange_made_in_{phase}")
}

/// A message before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) number: u64,
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) flag: i32,
    pub(super) delay_level: Option<usize>,
}

impl Draft {
    pub(super) fn of(number: u64) -> Self {
        let (phase, index) = (number / PHASE, number % PHASE);
        let queue_of = |queues: i32| i32::try_from(index % 7).unwrap_or(0) % queues;
        let mut delay_level = None;
        let (topic, queue_id) = match index % 20 {
            _ if index >= BATCHED => {
                let queue = i32::try_from(phase % 4).unwrap_or(0);
                (MANY.to_owned(), queue)
            }
            0..=11 => (MANY.to_owned(), queue_of(MANY_QUEUES)),
            12..=16 => (FEW.to_owned(), queue_of(FEW_QUEUES)),
            17 => (topic_of_phase(phase), 0),
            _ => {
                let turn = usize::try_from(index / 20).unwrap_or(0);
                // The longest only early on: all have to come before the test ends.
                let is_longest = phase < 8 && turn == 0;
                delay_level = Some(if is_longest { 5 } else { 1 + turn % 4 });
                (DELAYED.to_owned(), queue_of(DELAYED_QUEUES))
            }
        };
        Self {
            number,
            topic,
            queue_id,
            flag: i32::try_from(index % 5).unwrap_or(0),
            delay_level,
        }
    }

    pub(super) fn body(&self) -> Bytes {
        let mut body = numbered::body(self.number);
        if self.is_large() {
            body.extend(std::iter::repeat_n(b'x', 30_000));
        }
        body.into()
    }

    /// A few large bodies leave gaps of different lengths at the ends of files.
    fn is_large(&self) -> bool {
        self.number % 50 == 7
    }

    pub(super) fn unique_key(&self) -> String {
        format!("{:032X}", self.number)
    }

    /// A key of its own and one that it shares with its neighbours.
    pub(super) fn keys(&self) -> [String; 2] {
        [
            format!("k{}", self.number),
            format!("shared{}", self.number / 8),
        ]
    }

    pub(super) fn tag(&self) -> Option<&'static str> {
        TAGS[usize::try_from(self.number % 3).unwrap_or(0)]
    }

    pub(super) fn properties(&self) -> Properties {
        let mut properties = Properties::new();
        properties.set(property::UNIQ_KEY, self.unique_key());
        properties.set(property::KEYS, self.keys().join(" "));
        if let Some(tag) = self.tag() {
            properties.set(property::TAGS, tag);
        }
        if let Some(level) = self.delay_level {
            properties.set(property::DELAY, level.to_string());
        }
        properties.set(property::WAIT, "true");
        properties.set("remark", "Fünf €, 𝄞");
        properties
    }

    /// The draft that a stored message was made from; its content has to be as it was sent.
    pub(super) fn of_message(message: &MessageExt) -> anyhow::Result<Self> {
        let body = &message.message.body;
        let number = body
            .first_chunk::<8>()
            .map(|number| u64::from_be_bytes(*number))
            .context("a body of less than 8 bytes")?;
        let draft = Self::of(number);
        ensure!(
            *body == draft.body(),
            "message {number} has another body than was sent"
        );
        ensure!(
            message.message.flag == draft.flag,
            "message {number} has flag {}",
            message.message.flag
        );
        let properties = &message.message.properties;
        let mut sent = draft.properties();
        if message.message.topic != draft.topic || draft.delay_level.is_some() {
            // The official broker sets it to "false" in what it copies.
            sent.remove(property::WAIT);
        }
        for (name, sent) in sent.iter() {
            ensure!(
                properties.get(name) == Some(sent),
                "message {number} has {name} {:?}, {sent:?} was sent",
                properties.get(name)
            );
        }
        Ok(draft)
    }
}
