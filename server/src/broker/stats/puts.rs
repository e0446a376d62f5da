// SPDX-License-Identifier: Apache-2.0
//! What was put into topics: the store counts per queue, this adds up per topic and remembers.

use std::collections::{BTreeMap, HashMap};

use kerolox_protocol::message::name;

use super::series::{Count, Due, Series, Windows};
use crate::store::{MessageStore, Puts, QueueHandle};

/// A counter of the store that starts again when its topic is deleted and made anew.
#[derive(Debug, Default)]
struct Followed {
    before: Puts,
    last: Puts,
}

impl Followed {
    fn follow(&mut self, now: Puts) -> Puts {
        if now.calls < self.last.calls {
            self.before = self.before.plus(self.last);
        }
        self.last = now;
        self.sum()
    }

    const fn sum(&self) -> Puts {
        self.before.plus(self.last)
    }
}

#[derive(Debug, Default)]
struct Entry {
    puts: Followed,
    nums: Series,
    size: Series,
}

impl Entry {
    fn sample(&mut self, due: Due) {
        let puts = self.puts.sum();
        self.nums.sample(nums(puts), due);
        self.size.sample(size(puts), due);
    }
}

fn nums(puts: Puts) -> Count {
    Count {
        value: puts.messages,
        times: puts.calls,
    }
}

fn size(puts: Puts) -> Count {
    Count {
        value: puts.bytes,
        times: puts.calls,
    }
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct TopicPuts {
    topics: HashMap<String, Entry>,
    /// Queues of the delay levels, as in the reference.
    levels: BTreeMap<i32, Entry>,
    /// Messages of topics that are gone and were not the system's.
    gone: u64,
}

impl TopicPuts {
    /// Takes over what the store counted.
    pub(super) fn collect(&mut self, store: &MessageStore) {
        store.each_topic(&mut |topic, queues| {
            let puts = sum(queues);
            if let Some(entry) = self.topics.get_mut(topic) {
                entry.puts.follow(puts);
            } else if puts.calls > 0 {
                let entry = self.topics.entry(topic.to_owned()).or_default();
                entry.puts.follow(puts);
            }
            if topic == name::SCHEDULE_TOPIC {
                for queue in queues.iter().filter(|queue| queue.puts().calls > 0) {
                    let entry = self.levels.entry(queue.queue_id()).or_default();
                    entry.puts.follow(queue.puts());
                }
            }
        });
    }

    pub(super) fn sample(&mut self, due: Due) {
        let entries = self.topics.values_mut().chain(self.levels.values_mut());
        entries.for_each(|entry| entry.sample(due));
    }

    /// Messages put into all topics but the system's, as of the last [`TopicPuts::collect`].
    pub(super) fn total_without_system(&self) -> u64 {
        let topics = self.topics.iter();
        let ours = topics.filter(|(topic, _)| !name::is_system_topic(topic));
        ours.map(|(_, entry)| entry.puts.sum().messages)
            .sum::<u64>()
            + self.gone
    }

    /// Messages put into a topic, over time; `None` if there were none.
    pub(super) fn nums(&self, store: &MessageStore, topic: &str) -> Option<Windows> {
        self.of(store, topic, |entry| entry.nums.windows())
    }

    /// Bytes put into a topic.
    pub(super) fn size(&self, store: &MessageStore, topic: &str) -> Option<Windows> {
        self.of(store, topic, |entry| entry.size.windows())
    }

    fn of(
        &self,
        store: &MessageStore,
        topic: &str,
        read: impl FnOnce(&Entry) -> Windows,
    ) -> Option<Windows> {
        match self.topics.get(topic) {
            Some(entry) => Some(read(entry)),
            // Too young to be sampled.
            None => (sum(&store.queues_of(topic)).calls > 0).then(Windows::default),
        }
    }

    /// Messages put into a queue of the delay levels.
    pub(super) fn queue_nums(&self, topic: &str, queue_id: i32) -> Option<Windows> {
        let level = self.level(topic, queue_id)?;
        Some(level.nums.windows())
    }

    /// Bytes put into a queue of the delay levels.
    pub(super) fn queue_size(&self, topic: &str, queue_id: i32) -> Option<Windows> {
        let level = self.level(topic, queue_id)?;
        Some(level.size.windows())
    }

    fn level(&self, topic: &str, queue_id: i32) -> Option<&Entry> {
        let is_level = topic == name::SCHEDULE_TOPIC;
        is_level.then(|| self.levels.get(&queue_id)).flatten()
    }

    /// A topic is deleted; call it while the store still has its queues.
    pub(super) fn forget(&mut self, store: &MessageStore, topic: &str) {
        let mut entry = self.topics.remove(topic).unwrap_or_default();
        let puts = entry.puts.follow(sum(&store.queues_of(topic)));
        if !name::is_system_topic(topic) {
            self.gone += puts.messages;
        }
    }
}

fn sum(queues: &[std::sync::Arc<QueueHandle>]) -> Puts {
    let queues = queues.iter();
    queues.fold(Puts::default(), |puts, queue| puts.plus(queue.puts()))
}
