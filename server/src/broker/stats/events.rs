// SPDX-License-Identifier: Apache-2.0
//! Counters of what happens seldom, by kind and key.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use super::series::{Count, Due, Series, Windows};

/// A kind of event with the reference's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::broker) enum Event {
    /// A message that a group sent back; `topic@group`.
    SentBack,
    /// A message that a group sent back and that became a dead letter; `owner@topic@group@SEND_BACK_TO_DLQ`.
    DeadLetter,
    /// A heartbeat of a consumer group, milliseconds that it took; the cluster.
    ConsumerRegistered,
    /// A heartbeat of a producer group, milliseconds that it took; the cluster.
    ProducerRegistered,
    /// Something happened to a connection; `CONNECT`, `EXCEPTION`, `IDLE` or `CLOSE`.
    Connection,
}

impl Event {
    const ALL: [Self; 5] = [
        Self::SentBack,
        Self::DeadLetter,
        Self::ConsumerRegistered,
        Self::ProducerRegistered,
        Self::Connection,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::SentBack => "SNDBCK_PUT_NUMS",
            Self::DeadLetter => "SNDBCK2DLQ_TIMES",
            Self::ConsumerRegistered => "CONSUMER_REGISTER_TIME",
            Self::ProducerRegistered => "PRODUCER_REGISTER_TIME",
            Self::Connection => "CHANNEL_ACTIVITY",
        }
    }
}

/// Most keys of a kind, and their longest, bytes: parts of them are what clients say. What is beyond is not counted.
const MOST_KEYS: usize = 1 << 16;
const LONGEST_KEY: usize = 1024;

#[derive(Debug, Default)]
struct Entry {
    count: Count,
    series: Series,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<BTreeMap<Event, HashMap<String, Entry>>>);

impl Events {
    pub(super) fn add(&self, event: Event, key: &str, value: u64) {
        let mut events = self.0.lock();
        let keys = events.entry(event).or_default();
        let is_full = keys.len() >= MOST_KEYS || key.len() > LONGEST_KEY;
        let entry = match keys.get_mut(key) {
            Some(entry) => entry,
            None if is_full => return,
            None => keys.entry(key.to_owned()).or_default(),
        };
        entry.count.value += value;
        entry.count.times += 1;
    }

    pub(super) fn sample(&self, due: Due) {
        let mut events = self.0.lock();
        for entry in events.values_mut().flat_map(HashMap::values_mut) {
            entry.series.sample(entry.count, due);
        }
    }

    pub(super) fn windows(&self, name: &str, key: &str) -> Option<Windows> {
        let event = Event::ALL.into_iter().find(|event| event.name() == name)?;
        let events = self.0.lock();
        events
            .get(&event)?
            .get(key)
            .map(|entry| entry.series.windows())
    }

    /// A topic or a group is gone, and with it the keys of which `is_gone` says so.
    pub(super) fn forget(&self, is_gone: impl Fn(&str, &str) -> bool) {
        let mut events = self.0.lock();
        for (event, before_topic) in [(Event::SentBack, 0), (Event::DeadLetter, 1)] {
            if let Some(keys) = events.get_mut(&event) {
                keys.retain(|key, _| {
                    let mut parts = key.split('@').skip(before_topic);
                    let (topic, group) = (parts.next(), parts.next());
                    !is_gone(topic.unwrap_or_default(), group.unwrap_or_default())
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_clients_make_up_are_bounded() {
        let events = Events::default();
        events.add(Event::DeadLetter, &"x".repeat(LONGEST_KEY + 1), 1);
        for number in 0..=MOST_KEYS {
            events.add(Event::DeadLetter, &format!("{number}@t@g"), 1);
        }
        let keys = &events.0.lock()[&Event::DeadLetter];
        assert_eq!(keys.len(), MOST_KEYS);
        assert!(keys.contains_key("0@t@g") && keys.keys().all(|key| key.len() < 100));
    }
}
