// SPDX-License-Identifier: Apache-2.0
//! What was sent, what was acknowledged, where it was seen, and who had the directory open when.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use kerolox_protocol::message::{MessageExt, property};
use kerolox_tests::cluster::Kind;

use super::draft::{DELAYED, Draft, GROUP, delay_ms};
use super::send::Event;

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) offset: i64,
}

impl Place {
    pub(super) fn new(topic: &str, queue_id: i32, offset: i64) -> Self {
        Self {
            topic: topic.to_owned(),
            queue_id,
            offset,
        }
    }
}

/// What lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) physical_offset: i64,
    /// Known once it was read.
    pub(super) store_ms: Option<i64>,
}

/// A broker's run on the directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) kind: Kind,
    pub(super) began_ms: i64,
    pub(super) was_killed: bool,
}

/// A message that is to be delivered later.
#[derive(Clone, Copy, Debug)]
struct Delayed {
    due_ms: i64,
    is_acknowledged: bool,
    /// Of the record that waits.
    physical_offset: Option<i64>,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// All numbers that went out to a queue directly, and whether they were acknowledged or seen.
    sent: BTreeMap<u64, bool>,
    pub(super) placed: BTreeMap<Place, Stored>,
    /// Store times of the copies of a number, by topic.
    copies: BTreeMap<(String, u64), Vec<i64>>,
    /// By the topic that it is to appear in and its number.
    delayed: BTreeMap<(String, u64), Delayed>,
    dead: BTreeSet<u64>,
    pub(super) phases: Vec<Phase>,
}

pub(super) fn retry_topic() -> String {
    format!("%RETRY%{GROUP}")
}

pub(super) fn dead_letter_topic() -> String {
    format!("%DLQ%{GROUP}")
}

/// Whether messages may still arrive there while nobody sends.
pub(super) fn is_delayed_topic(topic: &str) -> bool {
    topic == DELAYED || topic == retry_topic()
}

impl Ledger {
    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Sending { draft, born_ms } => match draft.delay_level {
                Some(level) => self.note_delayed(&draft.topic, draft.number, *born_ms, level),
                None => drop(self.sent.insert(draft.number, false)),
            },
            Event::Acknowledged {
                draft,
                place,
                physical_offset,
            } => {
                if draft.delay_level.is_some() {
                    self.acknowledge_delayed(&draft.topic, draft.number, Some(*physical_offset));
                    return;
                }
                self.sent.insert(draft.number, true);
                let stored = Stored {
                    number: draft.number,
                    physical_offset: *physical_offset,
                    store_ms: None,
                };
                self.placed.insert(place.clone(), stored);
            }
        }
    }

    fn note_delayed(&mut self, topic: &str, number: u64, born_ms: i64, level: usize) {
        let delayed = Delayed {
            due_ms: born_ms + delay_ms(level),
            is_acknowledged: false,
            physical_offset: None,
        };
        self.delayed.insert((topic.to_owned(), number), delayed);
    }

    fn acknowledge_delayed(&mut self, topic: &str, number: u64, physical_offset: Option<i64>) {
        if let Some(delayed) = self.delayed.get_mut(&(topic.to_owned(), number)) {
            delayed.is_acknowledged = true;
            delayed.physical_offset = physical_offset;
        }
    }

    /// A message was sent back for a further try after a delay.
    pub(super) fn note_retry(&mut self, number: u64, born_ms: i64, level: usize) {
        let topic = retry_topic();
        self.note_delayed(&topic, number, born_ms, level);
        self.acknowledge_delayed(&topic, number, None);
    }

    pub(super) fn was_retried(&self, number: u64) -> bool {
        self.delayed.contains_key(&(retry_topic(), number))
    }

    /// A message was sent back for good.
    pub(super) fn note_dead(&mut self, number: u64) {
        self.dead.insert(number);
    }

    /// A message was read where it says it is.
    pub(super) fn saw(&mut self, place: Place, message: &MessageExt) -> anyhow::Result<()> {
        let draft = Draft::of_message(message)?;
        ensure!(
            message.message.topic == place.topic
                && (message.queue_id, message.queue_offset) == (place.queue_id, place.offset),
            "message {} at {place:?} says {} queue {} offset {}",
            draft.number,
            message.message.topic,
            message.queue_id,
            message.queue_offset
        );
        let found = Stored {
            number: draft.number,
            physical_offset: message.physical_offset,
            store_ms: Some(message.store_timestamp),
        };
        if let Some(known) = self.placed.get_mut(&place) {
            let mut expected = *known;
            expected.store_ms = expected.store_ms.or(found.store_ms);
            ensure!(
                found == expected,
                "at {place:?} there was {known:?}, now there is {found:?}"
            );
            *known = found;
            return Ok(());
        }
        self.adopt(&place, &draft, message)
            .with_context(|| format!("nobody acknowledged {found:?} at {place:?}"))?;
        self.placed.insert(place, found);
        Ok(())
    }

    /// A message at a place that nobody knew: it has to be one that the broker did not get round to acknowledge before
    /// it was killed, or one that was delivered later.
    fn adopt(&mut self, place: &Place, draft: &Draft, message: &MessageExt) -> anyhow::Result<()> {
        let number = draft.number;
        if place.topic == dead_letter_topic() {
            ensure!(
                self.dead.remove(&number),
                "never sent back for good, or there twice"
            );
            return check_sent_back(draft, message);
        }
        let key = (place.topic.clone(), number);
        let Some(delayed) = self.delayed.get(&key) else {
            ensure!(draft.topic == place.topic, "it belongs to {}", draft.topic);
            let was_known = self.sent.insert(number, true).context("never sent")?;
            ensure!(!was_known, "it is there twice");
            return Ok(());
        };
        ensure!(
            message.store_timestamp >= delayed.due_ms,
            "due at {}, delivered at {}",
            delayed.due_ms,
            message.store_timestamp
        );
        if place.topic == retry_topic() {
            check_sent_back(draft, message)?;
        }
        // How far the deliveries came is written now and then: only a kill may bring one twice.
        let copies = self.copies.entry(key).or_default();
        for earlier in &*copies {
            let phase = self
                .phases
                .iter()
                .rfind(|phase| phase.began_ms <= *earlier)
                .context("delivered before the first phase")?;
            ensure!(
                phase.was_killed,
                "delivered at {earlier} and again at {}, though {} had been stopped in order",
                message.store_timestamp,
                phase.kind.name()
            );
        }
        copies.push(message.store_timestamp);
        Ok(())
    }

    /// Acknowledged places of a queue from `end` on.
    pub(super) fn missing(&self, topic: &str, queue_id: i32, end: i64) -> Vec<(&Place, &Stored)> {
        let range = Place::new(topic, queue_id, end)..=Place::new(topic, queue_id, i64::MAX);
        self.placed.range(range).take(5).collect()
    }

    /// Offset after the last message of a queue that is known.
    pub(super) fn end(&self, topic: &str, queue_id: i32) -> i64 {
        let queue = Place::new(topic, queue_id, 0)..=Place::new(topic, queue_id, i64::MAX);
        let last = self.placed.range(queue).next_back();
        last.map_or(0, |(place, _)| place.offset + 1)
    }

    /// Acknowledged messages that were due at that time and did not come.
    pub(super) fn overdue(&self, now_ms: i64) -> Vec<&(String, u64)> {
        let waiting = self.delayed.iter().filter(|(key, delayed)| {
            delayed.is_acknowledged && delayed.due_ms <= now_ms && !self.copies.contains_key(*key)
        });
        waiting.map(|(key, _)| key).collect()
    }

    /// Acknowledged messages that did not come yet.
    pub(super) fn pending(&self) -> usize {
        self.overdue(i64::MAX).len()
    }

    /// Deliveries beyond the first of each message.
    pub(super) fn repeated(&self) -> usize {
        self.copies.values().map(|copies| copies.len() - 1).sum()
    }

    /// Dead letters that did not come.
    pub(super) fn missing_dead(&self) -> &BTreeSet<u64> {
        &self.dead
    }

    /// Numbers and offsets of acknowledged records in the schedule topic.
    pub(super) fn scheduled(&self) -> impl Iterator<Item = (u64, i64)> {
        self.delayed
            .iter()
            .filter_map(|((_, number), delayed)| Some((*number, delayed.physical_offset?)))
    }
}

fn check_sent_back(draft: &Draft, message: &MessageExt) -> anyhow::Result<()> {
    let origin = message.message.properties.get(property::RETRY_TOPIC);
    ensure!(
        origin == Some(&draft.topic) && message.reconsume_times == 1,
        "sent back from {:?}, it says {origin:?}, {} times",
        draft.topic,
        message.reconsume_times
    );
    Ok(())
}
