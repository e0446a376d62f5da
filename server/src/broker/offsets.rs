// SPDX-License-Identifier: Apache-2.0
//! How far each group consumed each queue: `consumerOffset.json`.
//!
//! Offsets are kept as they come, also backwards: whoever commits knows best. A reset is *pending* until the group pulls
//! the queue; until then commits are ignored, as they are of messages from before the reset. Facts: server.md 8, store.md
//! 11.4.

mod table;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use kerolox_protocol::body::offset::{ConsumerOffsetTable, LightConsumerOffsetTable};
use kerolox_protocol::body::topic::DataVersion;
use parking_lot::Mutex;

use table::OffsetTable;

use crate::config::BrokerConfig;
use crate::persist::{Origin, TableFile};
use crate::store::disk::Disk;
use crate::store::light;

/// Offsets by group, topic and queue.
#[derive(Debug)]
pub struct ConsumerOffsets {
    state: Mutex<State>,
    /// Number of pending resets, so that pulls need not look for one.
    pending: AtomicUsize,
    /// End of the commit log that offsets rest on.
    rests_on: AtomicI64,
    version_step: i64,
    interval_ms: i64,
    file: TableFile,
    /// The file has the offsets of light queues apart (`enableLmq`).
    has_light: bool,
}

#[derive(Debug, Default)]
struct State {
    committed: OffsetTable,
    /// Resets that the group did not learn of yet; only in memory.
    resets: OffsetTable,
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
                state.committed.replace(group, topic, queues);
            }
        }
        Ok(Self {
            state: Mutex::new(state),
            pending: AtomicUsize::new(0),
            rests_on: AtomicI64::new(0),
            version_step: config.consumer_offset_update_version_step.max(1),
            interval_ms: config.flush_consumer_offset_interval.max(1),
            file,
            has_light: config.enable_lmq,
        })
    }

    /// Notes the next offset that `group` will consume; `false` if it is ignored because a reset is pending. `client` is
    /// for the log.
    pub fn commit(
        &self,
        client: SocketAddr,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> bool {
        let mut state = self.state.lock();
        let is_reset = self.pending.load(Ordering::Relaxed) > 0
            && state.resets.get(group, topic, queue_id).is_some();
        if is_reset {
            return false;
        }
        let before = state.committed.put(group, topic, queue_id, offset);
        state.commits += 1;
        state.dirty |= before != Some(offset);
        drop(state);
        if before.is_some_and(|before| offset < before) {
            tracing::warn!(%client, group, topic, queue_id, offset, ?before, "offset committed backwards");
        }
        true
    }

    /// The offset that was committed last, or a pending reset.
    pub fn query(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        // A reset is committed as well, and commits are ignored while it is pending.
        self.state.lock().committed.get(group, topic, queue_id)
    }

    /// Committed offsets of all queues of a topic.
    pub fn queues(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let state = self.state.lock();
        state
            .committed
            .queues(group, topic)
            .cloned()
            .unwrap_or_default()
    }

    /// Sets the group's offset; the next pull is told to go on there.
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut state = self.state.lock();
        state.resets.put(group, topic, queue_id, offset);
        state.committed.put(group, topic, queue_id, offset);
        state.commits += 1;
        state.dirty = true;
        self.pending.store(state.resets.len(), Ordering::Release);
    }

    /// Takes a pending reset: the group learns of it now.
    pub fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut state = self.state.lock();
        let offset = state.resets.take(group, topic, queue_id);
        self.pending.store(state.resets.len(), Ordering::Release);
        offset
    }

    /// Whether resets are pending anywhere.
    pub(super) fn has_resets(&self) -> bool {
        self.pending.load(Ordering::Acquire) > 0
    }

    /// Gives a group the offsets of another one; `false` if that has none of the topic.
    pub fn copy(&self, from: &str, to: &str, topic: &str) -> bool {
        let mut state = self.state.lock();
        let Some(queues) = state.committed.queues(from, topic).cloned() else {
            return false;
        };
        state.commits += i64::try_from(queues.len()).unwrap_or(0);
        state.committed.replace(to, topic, queues);
        state.dirty = true;
        true
    }

    /// The lowest offset of a queue among the groups that committed one of the topic; a group that has none of this queue
    /// is at its beginning.
    pub fn lowest(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let state = self.state.lock();
        let offsets = state.committed.groups_of(topic);
        offsets
            .map(|(_, queues)| queues.get(&queue_id).copied().unwrap_or_default())
            .min()
    }

    /// The lowest offset of each queue of a topic among the groups that are not in `without`; what lies before `min_of` the
    /// queue does not count.
    pub fn lowest_of_queues(
        &self,
        topic: &str,
        without: &[&str],
        min_of: impl Fn(i32) -> i64,
    ) -> BTreeMap<i32, i64> {
        let state = self.state.lock();
        let mut lowest = BTreeMap::new();
        let groups = state.committed.groups_of(topic);
        for (_, queues) in groups.filter(|(group, _)| !without.contains(group)) {
            for (queue_id, offset) in queues {
                if *offset >= min_of(*queue_id) {
                    let found = lowest.entry(*queue_id).or_insert(*offset);
                    *found = (*found).min(*offset);
                }
            }
        }
        lowest
    }

    /// Forgets all offsets of a topic.
    pub fn remove_topic(&self, topic: &str) {
        let state = &mut *self.state.lock();
        for table in [&mut state.committed, &mut state.resets] {
            table.remove_topic(topic);
        }
        state.dirty = true;
        self.pending.store(state.resets.len(), Ordering::Release);
    }

    /// Forgets all offsets of a group.
    pub fn remove_group(&self, group: &str) {
        let state = &mut *self.state.lock();
        state.dirty |= state.committed.remove_group(group);
        state.resets.remove_group(group);
        self.pending.store(state.resets.len(), Ordering::Release);
    }

    /// Groups that committed an offset of `topic`.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let state = self.state.lock();
        let groups = state.committed.groups_of(topic);
        groups.map(|(group, _)| group.to_owned()).collect()
    }

    /// Topics that `group` committed an offset of, sorted.
    pub fn topics_of(&self, group: &str) -> Vec<String> {
        let state = self.state.lock();
        let topics = state.committed.topics_of(group);
        let mut topics: Vec<_> = topics.map(str::to_owned).collect();
        topics.sort_unstable();
        topics
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
        let written = is_safe(rests_on).then(|| {
            if self.has_light {
                self.file.save(|| apart(snapshot))
            } else {
                self.file.save(|| snapshot)
            }
        });
        match written {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                tracing::error!(%error, "the consumer offsets could not be written");
            }
            None => {}
        }
        self.state.lock().dirty = true;
    }

    /// The whole table as it goes to disk.
    pub fn snapshot(&self) -> ConsumerOffsetTable {
        let state = self.state.lock();
        let offsets = state.committed.iter();
        ConsumerOffsetTable {
            data_version: state.version,
            offset_table: offsets
                .map(|(group, topic, queues)| (format!("{topic}@{group}"), queues.clone()))
                .collect(),
        }
    }
}

/// The offsets of groups of light queues together with all others.
fn joined(table: LightConsumerOffsetTable) -> ConsumerOffsetTable {
    let light = table.lmq_offset_table.into_iter();
    let mut offset_table = table.offset_table;
    offset_table.extend(light.map(|(key, offset)| (key, BTreeMap::from([(0, offset)]))));
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

    #[test]
    fn a_reset_is_told_once_and_commits_before_that_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new());
        let offsets = ConsumerOffsets::open(&BrokerConfig::default(), dir.path(), disk, 0).unwrap();
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(offsets.commit(client, "g", "t", 0, 10));
        offsets.reset("g", "t", 0, 3);
        offsets.reset("g", "t", 1, 4);
        assert_eq!(offsets.query("g", "t", 0), Some(3));
        assert!(!offsets.commit(client, "g", "t", 0, 11));
        assert!(offsets.commit(client, "h", "t", 0, 11), "another group");
        assert_eq!(
            (offsets.query("g", "t", 0), offsets.has_resets()),
            (Some(3), true)
        );
        assert_eq!(offsets.take_reset("h", "t", 0), None);
        assert_eq!(offsets.take_reset("g", "t", 0), Some(3));
        assert_eq!(offsets.take_reset("g", "t", 0), None);
        assert!(offsets.commit(client, "g", "t", 0, 12));
        assert_eq!(offsets.query("g", "t", 0), Some(12));
        offsets.remove_group("g");
        assert!(!offsets.has_resets() && offsets.query("g", "t", 0).is_none());
    }

    #[test]
    fn offsets_are_copied_and_compared_over_groups() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new());
        let offsets = ConsumerOffsets::open(&BrokerConfig::default(), dir.path(), disk, 0).unwrap();
        let client = SocketAddr::from(([127, 0, 0, 1], 1));
        for (group, queue_id, offset) in [("a", 0, 5), ("a", 1, 9), ("b", 0, 2), ("c", 0, 7)] {
            offsets.commit(client, group, "t", queue_id, offset);
        }
        let lowest = |without: &[&str]| offsets.lowest_of_queues("t", without, |_| 3);
        assert_eq!(
            lowest(&[]),
            BTreeMap::from([(0, 5), (1, 9)]),
            "b is before the minimum"
        );
        assert_eq!(lowest(&["a"]), BTreeMap::from([(0, 7)]));
        assert!(offsets.copy("a", "d", "t") && !offsets.copy("x", "d", "t"));
        assert_eq!(offsets.queues("d", "t"), BTreeMap::from([(0, 5), (1, 9)]));
        assert_eq!(offsets.topics_of("d"), ["t"]);
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
        plain.persist(1, |_| true);
        let light = open(true);
        assert_eq!(light.query("g", "t", 3), Some(10));
        light.commit(client, "%LMQ%g", "%LMQ%q", 0, 7);
        light.persist(2, |_| true);
        let text = std::fs::read_to_string(dir.path().join("lmqConsumerOffset.json")).unwrap();
        assert!(text.contains("\"%LMQ%q@%LMQ%g\":7"), "{text}");
        let light = open(true);
        assert_eq!(light.query("%LMQ%g", "%LMQ%q", 0), Some(7));
        assert_eq!(light.query("g", "t", 3), Some(10));
        assert_eq!(open(false).query("%LMQ%g", "%LMQ%q", 0), None);
    }
}
