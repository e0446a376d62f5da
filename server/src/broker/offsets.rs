// SPDX-License-Identifier: Apache-2.0
//! How far each group consumed each queue: `consumerOffset.json`.
//!
//! Offsets are kept as they come, also backwards: whoever commits knows best. Facts: server.md 8, store.md 11.4.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::body::offset::{ConsumerOffsetTable, LightConsumerOffsetTable};
use kerolox_protocol::body::topic::DataVersion;
use parking_lot::Mutex;

use crate::config::BrokerConfig;
use crate::persist::{Origin, TableFile};
use crate::store::disk::Disk;
use crate::store::light;

type Queues = BTreeMap<i32, i64>;

/// Offsets by group, topic and queue.
#[derive(Debug)]
pub struct ConsumerOffsets {
    state: Mutex<State>,
    version_step: i64,
    interval_ms: i64,
    file: TableFile,
    /// The file has the offsets of light queues apart (`enableLmq`).
    has_light: bool,
}

#[derive(Debug, Default)]
struct State {
    groups: HashMap<String, HashMap<String, Queues>>,
    version: DataVersion,
    commits: i64,
    dirty: bool,
    persisted_ms: i64,
}

impl ConsumerOffsets {
    /// Loads `consumerOffset.json` of `directory`.
    ///
    /// # Errors
    /// The directory can not be created.
    pub fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: Arc<dyn Disk>,
        now_ms: i64,
    ) -> io::Result<Self> {
        disk.create_dir_all(directory)?;
        let plain = TableFile::new(Arc::clone(&disk), directory.join("consumerOffset.json"));
        let (file, table) = if config.enable_lmq {
            let file = TableFile::new(disk, directory.join("lmqConsumerOffset.json"));
            let (table, origin) = file.load::<LightConsumerOffsetTable>();
            // Switched on a moment ago: the groups go on where they are.
            let is_first = origin == Origin::Missing;
            (
                file,
                if is_first {
                    plain.load().0
                } else {
                    joined(table)
                },
            )
        } else {
            let table = plain.load().0;
            (plain, table)
        };
        let mut state = State {
            version: table.data_version,
            persisted_ms: now_ms,
            ..State::default()
        };
        for (key, queues) in table.offset_table {
            if let Some((topic, group)) = key.rsplit_once('@') {
                let topics = state.groups.entry(group.to_owned()).or_default();
                topics.insert(topic.to_owned(), queues);
            }
        }
        Ok(Self {
            state: Mutex::new(state),
            version_step: config.consumer_offset_update_version_step.max(1),
            interval_ms: config.flush_consumer_offset_interval.max(1),
            file,
            has_light: config.enable_lmq,
        })
    }

    /// Notes the next offset that `group` will consume. `client` is for the log.
    pub fn commit(&self, client: SocketAddr, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut state = self.state.lock();
        let State {
            groups,
            commits,
            dirty,
            ..
        } = &mut *state;
        *commits += 1;
        let known = groups
            .get_mut(group)
            .and_then(|topics| topics.get_mut(topic));
        let queues = match known {
            Some(queues) => queues,
            None => groups
                .entry(group.to_owned())
                .or_default()
                .entry(topic.to_owned())
                .or_default(),
        };
        let before = queues.insert(queue_id, offset);
        *dirty |= before != Some(offset);
        if before.is_some_and(|before| offset < before) {
            tracing::warn!(%client, group, topic, queue_id, offset, ?before, "offset committed backwards");
        }
    }

    /// The offset that was committed last.
    pub fn query(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.state
            .lock()
            .groups
            .get(group)?
            .get(topic)?
            .get(&queue_id)
            .copied()
    }

    /// The lowest offset of a queue among the groups that committed one of the topic; a group that has none of this queue
    /// is at its beginning.
    pub fn lowest(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let state = self.state.lock();
        let offsets = state.groups.values().filter_map(|topics| {
            let queues = topics.get(topic)?;
            Some(queues.get(&queue_id).copied().unwrap_or_default())
        });
        offsets.min()
    }

    /// Forgets all offsets of a topic.
    pub fn remove_topic(&self, topic: &str) {
        let mut state = self.state.lock();
        for topics in state.groups.values_mut() {
            topics.remove(topic);
        }
        state.groups.retain(|_, topics| !topics.is_empty());
        state.dirty = true;
    }

    /// Forgets all offsets of a group.
    pub fn remove_group(&self, group: &str) {
        let mut state = self.state.lock();
        state.dirty |= state.groups.remove(group).is_some();
    }

    /// Groups that committed an offset of `topic`.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let state = self.state.lock();
        let having = state
            .groups
            .iter()
            .filter(|(_, topics)| topics.contains_key(topic));
        having.map(|(group, _)| group.clone()).collect()
    }

    /// Writes the file if offsets moved and the last time was long enough ago.
    pub fn persist_if_due(&self, now_ms: i64) {
        let mut state = self.state.lock();
        let due = state.dirty && now_ms.saturating_sub(state.persisted_ms) >= self.interval_ms;
        if due {
            state.persisted_ms = now_ms;
        }
        drop(state);
        if due {
            self.persist(now_ms);
        }
    }

    /// Writes the file.
    pub fn persist(&self, now_ms: i64) {
        let mut state = self.state.lock();
        state.dirty = false;
        if state.commits >= self.version_step {
            state.commits = 0;
            state.version.next(now_ms);
        }
        drop(state);
        let saved = if self.has_light {
            self.file.save(|| apart(self.snapshot()))
        } else {
            self.file.save(|| self.snapshot())
        };
        if let Err(error) = saved {
            tracing::error!(%error, "the consumer offsets could not be written");
            self.state.lock().dirty = true;
        }
    }

    /// The whole table as it goes to disk.
    pub fn snapshot(&self) -> ConsumerOffsetTable {
        let state = self.state.lock();
        let offsets = state.groups.iter().flat_map(|(group, topics)| {
            topics
                .iter()
                .map(move |(topic, queues)| (format!("{topic}@{group}"), queues.clone()))
        });
        ConsumerOffsetTable {
            data_version: state.version,
            offset_table: offsets.collect(),
        }
    }
}

/// The offsets of groups of light queues together with all others.
fn joined(table: LightConsumerOffsetTable) -> ConsumerOffsetTable {
    let light = table.lmq_offset_table.into_iter();
    let mut offset_table = table.offset_table;
    offset_table.extend(light.map(|(key, offset)| (key, Queues::from([(0, offset)]))));
    ConsumerOffsetTable {
        data_version: table.data_version,
        offset_table,
    }
}

/// The offsets of groups of light queues apart from all others.
fn apart(table: ConsumerOffsetTable) -> LightConsumerOffsetTable {
    let of_light = |key: &str| {
        let group = key.rsplit_once('@').map(|(_, group)| group);
        group.is_some_and(light::is_light)
    };
    let (light, offset_table): (BTreeMap<_, _>, _) = table
        .offset_table
        .into_iter()
        .partition(|(key, _)| of_light(key));
    let lmq_offset_table = light
        .into_iter()
        .filter_map(|(key, queues)| Some((key, *queues.get(&0)?)))
        .collect();
    LightConsumerOffsetTable {
        data_version: table.data_version,
        lmq_offset_table,
        offset_table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::RealDisk;

    #[test]
    fn offsets_are_kept_as_they_come_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let disk = Arc::new(RealDisk::new());
            ConsumerOffsets::open(&BrokerConfig::default(), dir.path(), disk, 0).unwrap()
        };
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        let offsets = open();
        assert_eq!(offsets.query("g", "t", 0), None);
        offsets.commit(client, "g", "t", 0, 10);
        offsets.commit(client, "g", "t", 0, 7);
        offsets.commit(client, "g", "t", 1, 3);
        offsets.commit(client, "h", "t", 1, 4);
        offsets.persist_if_due(4_999);
        assert!(open().query("g", "t", 0).is_none(), "written too early");
        offsets.persist_if_due(5_000);

        let offsets = open();
        assert_eq!(offsets.query("g", "t", 0), Some(7));
        assert_eq!(offsets.query("h", "t", 1), Some(4));
        assert_eq!(offsets.lowest("t", 1), Some(3));
        assert_eq!(
            (offsets.lowest("t", 0), offsets.lowest("u", 0)),
            (Some(0), None)
        );
        offsets.remove_group("g");
        assert_eq!(
            (offsets.query("g", "t", 0), offsets.groups_of("t")),
            (None, vec!["h".to_owned()])
        );
        offsets.remove_topic("t");
        offsets.persist(6_000);
        assert_eq!(open().snapshot().offset_table.len(), 0);
    }

    #[test]
    fn offsets_of_light_queues_lie_apart_and_those_of_others_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let open = |enable_lmq| {
            let config = BrokerConfig {
                enable_lmq,
                ..BrokerConfig::default()
            };
            ConsumerOffsets::open(&config, dir.path(), Arc::new(RealDisk::new()), 0).unwrap()
        };
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        let plain = open(false);
        plain.commit(client, "g", "t", 3, 10);
        plain.persist(1);
        let light = open(true);
        assert_eq!(light.query("g", "t", 3), Some(10));
        light.commit(client, "%LMQ%g", "%LMQ%q", 0, 7);
        light.persist(2);
        let text = std::fs::read_to_string(dir.path().join("lmqConsumerOffset.json")).unwrap();
        assert!(text.contains("\"%LMQ%q@%LMQ%g\":7"), "{text}");
        let light = open(true);
        assert_eq!(light.query("%LMQ%g", "%LMQ%q", 0), Some(7));
        assert_eq!(light.query("g", "t", 3), Some(10));
        assert_eq!(open(false).query("%LMQ%g", "%LMQ%q", 0), None);
    }
}
