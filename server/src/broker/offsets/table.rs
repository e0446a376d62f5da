// SPDX-License-Identifier: Apache-2.0
//! Offsets by group, topic and queue.

use std::collections::{BTreeMap, HashMap};

/// Queue id to offset.
pub(super) type Queues = BTreeMap<i32, i64>;

#[derive(Debug, Default)]
pub(super) struct OffsetTable(HashMap<String, HashMap<String, Queues>>);

impl OffsetTable {
    /// Sets an offset; returns the one before.
    pub(super) fn put(
        &mut self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> Option<i64> {
        let known = self
            .0
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic));
        match known {
            Some(queues) => queues.insert(queue_id, offset),
            None => {
                self.replace(group, topic, Queues::from([(queue_id, offset)]));
                None
            }
        }
    }

    /// Sets all offsets of a topic.
    pub(super) fn replace(&mut self, group: &str, topic: &str, queues: Queues) {
        let topics = self.0.entry(group.to_owned()).or_default();
        topics.insert(topic.to_owned(), queues);
    }

    pub(super) fn queues(&self, group: &str, topic: &str) -> Option<&Queues> {
        self.0.get(group)?.get(topic)
    }

    pub(super) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.queues(group, topic)?.get(&queue_id).copied()
    }

    /// Takes an offset out.
    pub(super) fn take(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let topics = self.0.get_mut(group)?;
        let queues = topics.get_mut(topic)?;
        let offset = queues.remove(&queue_id);
        if queues.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.0.remove(group);
        }
        offset
    }

    /// `false` if the group had none.
    pub(super) fn remove_group(&mut self, group: &str) -> bool {
        self.0.remove(group).is_some()
    }

    pub(super) fn remove_topic(&mut self, topic: &str) {
        self.0.retain(|_, topics| {
            topics.remove(topic);
            !topics.is_empty()
        });
    }

    /// Group and queues of each group that has offsets of a topic.
    pub(super) fn groups_of<'t>(
        &'t self,
        topic: &'t str,
    ) -> impl Iterator<Item = (&'t str, &'t Queues)> {
        self.0
            .iter()
            .filter_map(move |(group, topics)| Some((group.as_str(), topics.get(topic)?)))
    }

    /// Topics that a group has offsets of.
    pub(super) fn topics_of(&self, group: &str) -> impl Iterator<Item = &str> {
        let topics = self.0.get(group).into_iter().flatten();
        topics.map(|(topic, _)| topic.as_str())
    }

    /// Group, topic and queues of everything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, &Queues)> {
        self.0.iter().flat_map(|(group, topics)| {
            topics
                .iter()
                .map(move |(topic, queues)| (group.as_str(), topic.as_str(), queues))
        })
    }

    /// How many offsets there are.
    pub(super) fn len(&self) -> usize {
        self.iter().map(|(_, _, queues)| queues.len()).sum()
    }
}
