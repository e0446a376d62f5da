// SPDX-License-Identifier: Apache-2.0
//! The broker's tables beside the store: topics, and offsets that groups and delay levels have reached.
//!
//! They are read before the log, so that a running broker's queues can only be ahead of them.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kerolox_protocol::body;
use kerolox_protocol::body::topic::TopicConfigTable;
use kerolox_protocol::message::name;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::finding::Finding;
use super::note::Note;
use super::queues::Queues;
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::disk::Disk;

/// Queues of a topic whose units are of another kind (store.md 3.3).
const BATCH_QUEUE: (&str, &str) = ("queue.type", "BatchCQ");

type QueueOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// `consumerOffset.json`, with the member that 5.5.0 adds for offsets of pulls.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConsumerOffsets {
    offset_table: QueueOffsets,
    pull_offset_table: QueueOffsets,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DelayOffsets {
    offset_table: BTreeMap<i32, i64>,
}

/// What the tables say.
pub(super) struct Tables {
    /// Names of all topics, if `topics.json` could be read.
    pub(super) topics: Option<HashSet<String>>,
    /// Topics whose queues are not examined.
    pub(super) batch_topics: HashSet<String>,
    consumers: (PathBuf, ConsumerOffsets),
    delays: (PathBuf, DelayOffsets),
}

impl Tables {
    pub(super) fn read(disk: &dyn Disk, root: &Path, sink: &mut Sink) -> Result<Self, StoreError> {
        let path = |name| root.join("config").join(name);
        let topics = table::<TopicConfigTable>(disk, &path("topics.json"), sink)?;
        let topics = topics.map(|table| table.topic_config_table);
        let is_batch = topics.iter().flatten().filter(|(_, config)| {
            let kind = config.attributes.get(BATCH_QUEUE.0);
            kind.is_some_and(|kind| kind == BATCH_QUEUE.1)
        });
        let batch_topics: HashSet<_> = is_batch.map(|(topic, _)| topic.clone()).collect();
        if !batch_topics.is_empty() {
            sink.note(Note::NotExamined {
                what: format!("batch consume queues of {} topics", batch_topics.len()),
            });
        }
        let (consumers, delays) = (path("consumerOffset.json"), path("delayOffset.json"));
        let consumer_table = table(disk, &consumers, sink)?.unwrap_or_default();
        let delay_table = table(disk, &delays, sink)?.unwrap_or_default();
        Ok(Self {
            topics: topics.map(|table| table.into_keys().collect()),
            batch_topics,
            consumers: (consumers, consumer_table),
            delays: (delays, delay_table),
        })
    }

    /// Compares the offsets with the queues.
    pub(super) fn check(&self, queues: &Queues<'_>, sink: &mut Sink) {
        if let Some(topics) = &self.topics {
            let unknown = queues.topics().into_iter().filter(|topic| {
                !topics.contains(topic) && !name::is_system_topic(topic) && !is_light(topic)
            });
            for topic in unknown {
                sink.note(Note::UnknownTopic { topic });
            }
        }
        let (file, table) = &self.consumers;
        for (key, offsets) in table.offset_table.iter().chain(&table.pull_offset_table) {
            let (topic, group) = key.rsplit_once('@').unwrap_or((key, ""));
            for (queue_id, offset) in offsets {
                self.check_one((file, group), (topic, *queue_id), *offset, queues, sink);
            }
        }
        let (file, table) = &self.delays;
        for (level, offset) in &table.offset_table {
            let group = format!("delay level {level}");
            let queue = (name::SCHEDULE_TOPIC, level.saturating_sub(1));
            self.check_one((file, &group), queue, *offset, queues, sink);
        }
    }

    fn check_one(
        &self,
        (file, group): (&Path, &str),
        (topic, queue_id): (&str, i32),
        offset: i64,
        queues: &Queues<'_>,
        sink: &mut Sink,
    ) {
        sink.summary.offsets += 1;
        if self.batch_topics.contains(topic) {
            return;
        }
        let (group, topic) = (group.to_owned(), topic.to_owned());
        match queues.get(&topic, queue_id) {
            // A queue whose messages have all expired is removed, one that had none yet is not made.
            None if offset > 0 => sink.note(Note::OffsetOfNoQueue {
                group,
                topic,
                queue_id,
                offset,
            }),
            None => {}
            Some(queue) if offset > queue.max => sink.find(Finding::OffsetBeyondMax {
                file: text(file),
                group,
                topic,
                queue_id,
                offset,
                max: queue.max,
            }),
            Some(queue) if offset < queue.min => sink.note(Note::OffsetBelowMin {
                group,
                topic,
                queue_id,
                offset,
                min: queue.min,
            }),
            Some(_) => {}
        }
    }
}

/// Whether it is a light queue, which needs no topic.
fn is_light(topic: &str) -> bool {
    topic.starts_with("%LMQ%")
}

/// Reads a table; one that can not be read is reported and its predecessor is taken, as the broker does.
fn table<T: DeserializeOwned>(
    disk: &dyn Disk,
    path: &Path,
    sink: &mut Sink,
) -> Result<Option<T>, StoreError> {
    let mut backup = path.as_os_str().to_owned();
    backup.push(".bak");
    for path in [path, Path::new(&backup)] {
        match disk.read(path) {
            Ok(content) if content.is_empty() => sink.find(unreadable(path, "it is empty")),
            Ok(content) => match body::decode(&content) {
                Ok(table) => return Ok(Some(table)),
                Err(error) => sink.find(unreadable(path, &error.to_string())),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, reason: &str) -> Finding {
    Finding::Table {
        file: text(path),
        reason: reason.to_owned(),
    }
}
