// SPDX-License-Identifier: Apache-2.0
//! What groups got: counters by group, topic and queue.
//!
//! A pull costs one look-up under a shared lock and a few relaxed additions, however many messages it returns.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use kerolox_protocol::message::name;
use parking_lot::{Mutex, RwLock};

use super::series::{Count, Due, Series, Windows};

/// One read of a queue for a group.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::broker) struct Get {
    /// Messages found.
    pub(in crate::broker) messages: u64,
    /// Their bytes.
    pub(in crate::broker) bytes: u64,
    /// Milliseconds that it took.
    pub(in crate::broker) ms: u64,
    /// Where the group goes on.
    pub(in crate::broker) next_offset: i64,
}

/// Sums of [`Get`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::broker) struct GetSums {
    pub(in crate::broker) messages: u64,
    pub(in crate::broker) bytes: u64,
    /// Reads that found something.
    pub(in crate::broker) found: u64,
    pub(in crate::broker) ms: u64,
}

impl GetSums {
    fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            found: self.found + other.found,
            ms: self.ms + other.ms,
        }
    }

    pub(super) fn nums(self) -> Count {
        Count {
            value: self.messages,
            times: self.found,
        }
    }

    pub(super) fn size(self) -> Count {
        Count {
            value: self.bytes,
            times: self.found,
        }
    }

    pub(super) fn latency(self) -> Count {
        Count {
            value: self.ms,
            times: self.found,
        }
    }
}

#[derive(Debug, Default)]
struct QueueGets {
    messages: AtomicU64,
    bytes: AtomicU64,
    found: AtomicU64,
    ms: AtomicU64,
    next_offset: AtomicI64,
    series: Mutex<QueueSeries>,
}

#[derive(Debug, Default)]
struct QueueSeries {
    latency: Series,
    /// Of the delay levels only, as in the reference.
    nums: Series,
    size: Series,
}

impl QueueGets {
    fn add(&self, get: Get) {
        self.next_offset.store(get.next_offset, Ordering::Relaxed);
        if get.messages > 0 {
            self.messages.fetch_add(get.messages, Ordering::Relaxed);
            self.bytes.fetch_add(get.bytes, Ordering::Relaxed);
            self.found.fetch_add(1, Ordering::Relaxed);
            self.ms.fetch_add(get.ms, Ordering::Relaxed);
        }
    }

    fn sums(&self) -> GetSums {
        GetSums {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
            ms: self.ms.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug, Default)]
struct TopicGets {
    queues: BTreeMap<i32, QueueGets>,
    series: Mutex<TopicSeries>,
}

#[derive(Debug, Default)]
struct TopicSeries {
    nums: Series,
    size: Series,
}

impl TopicGets {
    fn sums(&self) -> GetSums {
        let queues = self.queues.values();
        queues.fold(GetSums::default(), |sums, queue| sums.plus(queue.sums()))
    }
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<String, HashMap<String, TopicGets>>,
    /// Of groups and topics that are gone: of all topics, and of all but the system's.
    gone: [GetSums; 2],
}

/// The counters.
#[derive(Debug, Default)]
pub(in crate::broker) struct Gets(RwLock<Table>);

impl Gets {
    pub(super) fn add(&self, group: &str, topic: &str, queue_id: i32, get: Get) {
        {
            let table = self.0.read();
            let topics = table.groups.get(group);
            let queues = topics.and_then(|topics| topics.get(topic));
            if let Some(queue) = queues.and_then(|topic| topic.queues.get(&queue_id)) {
                return queue.add(get);
            }
        }
        let mut table = self.0.write();
        let topics = table.groups.entry(group.to_owned()).or_default();
        let topic = topics.entry(topic.to_owned()).or_default();
        topic.queues.entry(queue_id).or_default().add(get);
    }

    /// Where the group goes on reading a queue; `None` if it never did.
    pub(super) fn next_offset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let table = self.0.read();
        let queue = table.groups.get(group)?.get(topic)?.queues.get(&queue_id)?;
        Some(queue.next_offset.load(Ordering::Relaxed))
    }

    /// Sums over all topics, and over all but the system's.
    pub(super) fn totals(&self) -> [GetSums; 2] {
        let table = self.0.read();
        let mut totals = table.gone;
        for (topic, gets) in table.groups.values().flatten() {
            note(&mut totals, topic, gets.sums());
        }
        totals
    }

    pub(super) fn sample(&self, due: Due) {
        let table = self.0.read();
        for (name, topic) in table.groups.values().flatten() {
            let sums = topic.sums();
            let mut series = topic.series.lock();
            series.nums.sample(sums.nums(), due);
            series.size.sample(sums.size(), due);
            drop(series);
            for queue in topic.queues.values() {
                let sums = queue.sums();
                let mut series = queue.series.lock();
                series.latency.sample(sums.latency(), due);
                if name == name::SCHEDULE_TOPIC {
                    series.nums.sample(sums.nums(), due);
                    series.size.sample(sums.size(), due);
                }
            }
        }
    }

    /// Messages that the group got of a topic, over time; `None` if there were none.
    pub(super) fn nums(&self, group: &str, topic: &str) -> Option<Windows> {
        self.of_topic(group, topic, |series| series.nums.windows())
    }

    /// Bytes that the group got of a topic.
    pub(super) fn size(&self, group: &str, topic: &str) -> Option<Windows> {
        self.of_topic(group, topic, |series| series.size.windows())
    }

    /// Milliseconds that the group's reads of a queue took.
    pub(super) fn latency(&self, group: &str, topic: &str, queue_id: i32) -> Option<Windows> {
        self.of_queue(group, topic, queue_id, |series| series.latency.windows())
    }

    /// Messages of a delay level that were delivered.
    pub(super) fn queue_nums(&self, group: &str, topic: &str, queue_id: i32) -> Option<Windows> {
        let topic = Some(topic).filter(|topic| *topic == name::SCHEDULE_TOPIC)?;
        self.of_queue(group, topic, queue_id, |series| series.nums.windows())
    }

    /// Bytes of a delay level that were delivered.
    pub(super) fn queue_size(&self, group: &str, topic: &str, queue_id: i32) -> Option<Windows> {
        let topic = Some(topic).filter(|topic| *topic == name::SCHEDULE_TOPIC)?;
        self.of_queue(group, topic, queue_id, |series| series.size.windows())
    }

    fn of_topic(
        &self,
        group: &str,
        topic: &str,
        read: impl FnOnce(&TopicSeries) -> Windows,
    ) -> Option<Windows> {
        let table = self.0.read();
        let gets = table.groups.get(group)?.get(topic)?;
        (gets.sums().found > 0).then(|| read(&gets.series.lock()))
    }

    fn of_queue(
        &self,
        group: &str,
        topic: &str,
        queue_id: i32,
        read: impl FnOnce(&QueueSeries) -> Windows,
    ) -> Option<Windows> {
        let table = self.0.read();
        let queue = table.groups.get(group)?.get(topic)?.queues.get(&queue_id)?;
        (queue.sums().found > 0).then(|| read(&queue.series.lock()))
    }

    /// A topic was deleted.
    pub(super) fn forget_topic(&self, topic: &str) {
        let mut table = self.0.write();
        let Table { groups, gone } = &mut *table;
        for topics in groups.values_mut() {
            if let Some(gets) = topics.remove(topic) {
                note(gone, topic, gets.sums());
            }
        }
        groups.retain(|_, topics| !topics.is_empty());
    }

    /// A group was deleted.
    pub(super) fn forget_group(&self, group: &str) {
        let mut table = self.0.write();
        for (topic, gets) in table.groups.remove(group).unwrap_or_default() {
            note(&mut table.gone, &topic, gets.sums());
        }
    }
}

fn note(totals: &mut [GetSums; 2], topic: &str, sums: GetSums) {
    let [all, ours] = totals;
    *all = all.plus(sums);
    if !name::is_system_topic(topic) {
        *ours = ours.plus(sums);
    }
}
