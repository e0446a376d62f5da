// SPDX-License-Identifier: Apache-2.0
//! How far each group consumed each queue: `consumerOffset.json`.
//!
//! Offsets are kept as they come, also backwards: whoever commits knows best. Facts: server.md 8, store.md 11.4.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_protocol::body::offset::ConsumerOffsetTable;
use kerolox_protocol::body::topic::DataVersion;
use parking_lot::Mutex;

use crate::config::BrokerConfig;
use crate::persist::TableFile;
use crate::store::disk::Disk;

type Queues = BTreeMap<i32, i64>;

/// Offsets by group, topic and queue.
#[derive(Debug)]
pub struct ConsumerOffsets {
    state: Mutex<State>,
    /// End of the commit log that offsets rest on.
    rests_on: AtomicI64,
    version_step: i64,
    interval_ms: i64,
    file: TableFile,
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
        let file = TableFile::new(disk, directory.join("consumerOffset.json"));
        let (table, _) = file.load::<ConsumerOffsetTable>();
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
            rests_on: AtomicI64::new(0),
            version_step: config.consumer_offset_update_version_step.max(1),
            interval_ms: config.flush_consumer_offset_interval.max(1),
            file,
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

    /// The next commit rests on a message that ends there in the commit log: it is not written to disk before that.
    pub fn rest_on(&self, end_offset: i64) {
        self.rests_on.fetch_max(end_offset, Ordering::SeqCst);
    }

    /// Whether offsets moved and the last write was long enough ago.
    pub fn is_due(&self, now_ms: i64) -> bool {
        let state = self.state.lock();
        state.dirty && now_ms.saturating_sub(state.persisted_ms) >= self.interval_ms
    }

    /// Writes the file once `is_safe` says that the commit log is on disk as far as the offsets rest on it.
    pub fn persist(&self, now_ms: i64, is_safe: impl FnOnce(i64) -> bool) {
        let mut state = self.state.lock();
        state.dirty = false;
        state.persisted_ms = now_ms;
        if state.commits >= self.version_step {
            state.commits = 0;
            state.version.next(now_ms);
        }
        drop(state);
        let snapshot = self.snapshot();
        // After the snapshot: whoever commits says first what that rests on.
        let rests_on = self.rests_on.load(Ordering::SeqCst);
        let written = is_safe(rests_on).then(|| self.file.save(|| snapshot));
        match written {
            Some(Ok(())) => return,
            Some(Err(error)) => tracing::error!(%error, "consumerOffset.json could not be written"),
            None => {}
        }
        self.state.lock().dirty = true;
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
        assert!(!offsets.is_due(4_999) && offsets.is_due(5_000));
        offsets.persist(5_000, |_| true);

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
        offsets.rest_on(7);
        offsets.persist(6_000, |rests_on| rests_on < 7);
        assert!(
            !open().snapshot().offset_table.is_empty(),
            "written too early"
        );
        offsets.persist(6_000, |rests_on| rests_on == 7);
        assert_eq!(open().snapshot().offset_table.len(), 0);
    }
}
