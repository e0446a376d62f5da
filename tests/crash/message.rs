// SPDX-License-Identifier: Apache-2.0
//! Numbered, checksummed messages: everything about a message follows from its number, so that what is read back can be
//! compared whole, and nothing has to be remembered but which numbers were acknowledged and where.

use std::sync::LazyLock;

use kerolox_protocol::code::RequestCode;
use kerolox_protocol::command::Command;
use kerolox_protocol::header::send::SendMessageRequestHeaderV2;
use kerolox_protocol::message::properties::Properties;
use kerolox_protocol::message::{Message, batch, name, property};

/// Topics that are sent to; delayed messages lie in the last one before they are delivered to theirs.
pub(crate) const TOPICS: [&str; 4] = ["crash-a", "crash-b", "crash-c", name::SCHEDULE_TOPIC];
/// Index of the topic of delayed messages.
pub(crate) const SCHEDULE: usize = 3;
/// Queues of each topic that is sent to.
pub(crate) const QUEUES: i32 = 4;
/// Tags that messages have.
pub(crate) const TAGS: [&str; 5] = ["red", "green", "blue", "black", "white"];
/// Numbers of a request: its messages have `request * STRIDE` and the following.
pub(crate) const STRIDE: u64 = 16;

/// Longest body but for the long ones.
const SHORT: usize = 900;
const LONG: usize = 60_000;
/// Bytes that bodies are cut from.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..))
        .take(2 * LONG)
        .collect()
});

/// Index of a topic in [`TOPICS`], and a queue.
pub(crate) type Queue = (usize, i32);

/// What a request sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    /// That many messages in one request.
    Batch(u64),
    /// With that delay level.
    Delayed(i32),
}

/// Where a request's messages go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) queue: Queue,
}

impl Plan {
    /// The plan of a request.
    pub(crate) fn of(request: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(request);
        let queue = (random.usize(..SCHEDULE), random.i32(0..QUEUES));
        // Few are delayed: as the reference's, our broker notes every 10 s how far it delivered, which no round lives for,
        // so each round delivers those of all rounds again.
        let kind = match random.u8(..64) {
            0 => Kind::Delayed(random.i32(1..=2)),
            1..=9 => Kind::Batch(random.u64(2..=STRIDE)),
            _ => Kind::Single,
        };
        Self { kind, queue }
    }

    /// The queue that its messages are stored in first, and to whose offsets the acknowledgement refers.
    pub(crate) fn stored_in(&self) -> Queue {
        match self.kind {
            Kind::Delayed(level) => (SCHEDULE, level - 1),
            Kind::Single | Kind::Batch(_) => self.queue,
        }
    }

    /// How many messages it has.
    pub(crate) fn count(&self) -> u64 {
        match self.kind {
            Kind::Batch(count) => count,
            Kind::Single | Kind::Delayed(_) => 1,
        }
    }
}

/// The tag of a number.
pub(crate) fn tag(number: u64) -> &'static str {
    TAGS[usize::try_from(number % TAGS.len() as u64).unwrap_or_default()]
}

/// The key of a number.
pub(crate) fn key(number: u64) -> String {
    format!("key-{number}")
}

/// A body that says its number and carries a checksum of the rest; its length follows from the number.
fn body(number: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number ^ 0x5EED);
    let longest = if random.u8(..50) == 0 { LONG } else { SHORT };
    let (from, length) = (random.usize(..LONG), random.usize(20..longest));
    let mut body = number.to_be_bytes().to_vec();
    body.extend_from_slice(&NOISE[from..from + length]);
    let checksum = crc32fast::hash(&body);
    body.extend(checksum.to_be_bytes());
    body
}

/// The message of a number.
pub(crate) fn message(number: u64) -> Message {
    let (topic, _) = Plan::of(number / STRIDE).queue;
    Message {
        topic: TOPICS[topic].to_owned(),
        flag: i32::try_from(number % 1_000_000_007).unwrap_or_default(),
        body: body(number).into(),
        properties: Properties::from_iter([
            (property::KEYS, key(number)),
            (property::TAGS, tag(number).to_owned()),
        ]),
    }
}

/// The request that sends.
pub(crate) fn request(request: u64) -> anyhow::Result<Command> {
    let plan = Plan::of(request);
    let first = request * STRIDE;
    let mut message = message(first);
    if let Kind::Batch(count) = plan.kind {
        let batch: Vec<_> = (first..first + count).map(self::message).collect();
        message.body = batch::encode(&batch)?.into();
        (message.flag, message.properties) = (0, Properties::new());
    }
    if let Kind::Delayed(level) = plan.kind {
        message.properties.set(property::DELAY, level.to_string());
    }
    let is_batch = matches!(plan.kind, Kind::Batch(_));
    Ok(send(message, plan.queue.1, is_batch))
}

/// The request that sends a message, or a batch of which the message has the body, to a queue of its topic.
pub(crate) fn send(message: Message, queue_id: i32, is_batch: bool) -> Command {
    let text = message.properties.to_text();
    let header = SendMessageRequestHeaderV2 {
        producer_group: "crash_producers",
        topic: &message.topic,
        default_topic: name::AUTO_CREATE_TOPIC,
        default_topic_queue_nums: QUEUES,
        queue_id,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: message.flag,
        properties: Some(&text),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: Some(is_batch),
        broker_name: None,
    };
    let code = if is_batch {
        RequestCode::SEND_BATCH_MESSAGE
    } else {
        RequestCode::SEND_MESSAGE_V2
    };
    Command::request(code, &header).with_body(message.body)
}

/// The number of a message that is whole: body, flag, key and tag are what was sent.
pub(crate) fn number(found: &Message) -> Option<u64> {
    let (content, checksum) = found.body.split_last_chunk::<4>()?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let number = u64::from_be_bytes(*content.first_chunk::<8>()?);
    let sent = message(number);
    let has_same = |name| found.properties.get(name) == sent.properties.get(name);
    let is_whole = found.body == sent.body
        && found.flag == sent.flag
        && has_same(property::KEYS)
        && has_same(property::TAGS);
    is_whole.then_some(number)
}
