// SPDX-License-Identifier: Apache-2.0
//! What ordered pops handed out and what of it is acknowledged: `config/consumerOrderInfo.json`.
//!
//! A queue is blocked for its group while a message of the last batch is neither acknowledged nor visible again. Only
//! the last batch counts: the group's offset is its first message that is not acknowledged. Source: server.md 20.1,
//! 20.2; store.md 11.8.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::message::receipt::{self, RetryMark};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::config::BrokerConfig;
use crate::persist::TableFile;
use crate::store::disk::Disk;

/// Milliseconds between two writes of the file.
const PERSIST_MS: i64 = 10_000;
/// A queue that was not popped for so long is forgotten, milliseconds.
const IDLE_MS: i64 = 24 * 3_600_000;

/// The last batch of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Batch {
    /// Name of the attempt that popped it.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    attempt_id: Option<String>,
    /// Acknowledged messages by index.
    #[serde(rename = "cm")]
    acknowledged: i64,
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    invisible_ms: Option<i64>,
    #[serde(rename = "l")]
    last_consumed_ms: i64,
    /// The first offset, then distances to it.
    #[serde(rename = "o")]
    offsets: Vec<i64>,
    /// How often a message was handed out before, by offset.
    #[serde(rename = "oc", skip_serializing_if = "Option::is_none")]
    counts: Option<BTreeMap<i64, i32>>,
    /// When a message is visible again, by offset, where that was changed.
    #[serde(rename = "ot", skip_serializing_if = "Option::is_none")]
    visible_ms: Option<BTreeMap<i64, i64>>,
    #[serde(rename = "popTime")]
    pop_time: i64,
}

/// Content of `consumerOrderInfo.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Table {
    /// By `topic@group` and queue.
    table: BTreeMap<String, BTreeMap<i32, Batch>>,
}

/// What an acknowledgement of an ordered pop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The group's offset is this now.
    Commit(i64),
    /// It is none of the batch's messages.
    Illegal,
    /// It belongs to an earlier pop: nothing happens.
    Stale,
}

/// A queue of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueOfGroup {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) queue_id: i32,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    /// When a blocked queue becomes free.
    frees: HashMap<QueueOfGroup, i64>,
    dirty: bool,
    persisted_ms: i64,
}

/// Batches of ordered pops by topic, group and queue.
#[derive(Debug)]
pub(super) struct OrderInfo {
    /// Whether pops that wait are told when a queue becomes free by time.
    notifies: bool,
    file: TableFile,
    state: Mutex<State>,
}

/// A batch that an ordered pop is about to hand out.
pub(super) struct Handout<'a> {
    pub(super) attempt_id: Option<&'a str>,
    pub(super) pop_time: i64,
    pub(super) invisible_ms: i64,
    pub(super) offsets: &'a [i64],
}

impl OrderInfo {
    pub(super) fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: Arc<dyn Disk>,
        now_ms: i64,
    ) -> Self {
        let file = TableFile::new(disk, directory.join("consumerOrderInfo.json"));
        let (table, _) = file.load::<Table>();
        let mut state = State {
            table,
            persisted_ms: now_ms,
            ..State::default()
        };
        for (key, queues) in &state.table.table {
            let Some((topic, group)) = key.rsplit_once('@') else {
                continue;
            };
            for (queue_id, batch) in queues {
                if let Some(free_ms) = batch.free_ms(now_ms).filter(|free| *free > now_ms) {
                    state
                        .frees
                        .insert(of_group(topic, group, *queue_id), free_ms);
                }
            }
        }
        Self {
            notifies: config.enable_notify_after_pop_order_lock_release,
            file,
            state: Mutex::new(state),
        }
    }

    /// Whether the queue has to wait: an earlier batch has a message that is neither acknowledged nor visible again. The
    /// attempt that popped it may have it again.
    pub(super) fn is_blocked(
        &self,
        queue: &QueueOfGroup,
        attempt_id: Option<&str>,
        invisible_ms: i64,
        now_ms: i64,
    ) -> bool {
        let mut state = self.state.lock();
        state
            .batch(queue)
            .is_some_and(|batch| batch.blocks(attempt_id, invisible_ms, now_ms))
    }

    /// Notes a batch in place of the last one and adds to `counts` how often its messages were handed out before.
    pub(super) fn hand_out(
        &self,
        queue: &QueueOfGroup,
        handout: &Handout<'_>,
        counts: &mut String,
        now_ms: i64,
    ) {
        let mut state = self.state.lock();
        let queues = state.table.table.entry(key(queue)).or_default();
        let before = queues.get(&queue.queue_id);
        let first = handout.offsets.first().copied().unwrap_or(0);
        let distances = handout.offsets.iter().skip(1).map(|offset| offset - first);
        let batch = Batch {
            attempt_id: handout.attempt_id.map(str::to_owned),
            acknowledged: 0,
            invisible_ms: Some(handout.invisible_ms),
            last_consumed_ms: now_ms,
            offsets: std::iter::once(first).chain(distances).collect(),
            counts: before.map(|before| before.counts_after(handout)),
            visible_ms: None,
            pop_time: handout.pop_time,
        };
        let mark = RetryMark::of_topic(&queue.topic);
        let mut least = 0;
        if let Some(known) = &batch.counts {
            for (offset, count) in known {
                receipt::push_message_count(counts, mark, queue.queue_id, *offset, *count);
            }
            // A message that is not in there is new.
            if known.len() == batch.offsets.len() {
                least = known.values().copied().min().unwrap_or(0);
            }
        }
        receipt::push_queue_count(counts, mark, queue.queue_id, least);
        let free_ms = batch.free_ms(now_ms);
        queues.insert(queue.queue_id, batch);
        state.watch(queue, free_ms);
    }

    /// Forgets the batch of a queue: the group's offset was set anew.
    pub(super) fn forget(&self, queue: &QueueOfGroup) {
        let mut state = self.state.lock();
        let queues = state.table.table.get_mut(&key(queue));
        let had_batch = queues.is_some_and(|queues| queues.remove(&queue.queue_id).is_some());
        state.dirty |= had_batch;
        state.frees.remove(queue);
    }

    /// Notes that a message is acknowledged.
    pub(super) fn acknowledge(
        &self,
        queue: &QueueOfGroup,
        offset: i64,
        pop_time: i64,
        now_ms: i64,
    ) -> Progress {
        let mut state = self.state.lock();
        let Some(batch) = state.batch(queue) else {
            return Progress::Commit(offset.saturating_add(1));
        };
        if batch.offsets.is_empty() {
            return Progress::Illegal;
        }
        if batch.pop_time != pop_time {
            return Progress::Stale;
        }
        let Some(index) = batch.all_offsets().position(|known| known == offset) else {
            return Progress::Illegal;
        };
        batch.acknowledged |= bit(index);
        let next = batch.next_offset();
        let free_ms = batch.free_ms(now_ms);
        state.watch(queue, free_ms);
        Progress::Commit(next)
    }

    /// Sets when a message is visible again.
    pub(super) fn set_visible(
        &self,
        queue: &QueueOfGroup,
        offset: i64,
        pop_time: i64,
        visible_ms: i64,
        now_ms: i64,
    ) {
        let mut state = self.state.lock();
        let Some(batch) = state
            .batch(queue)
            .filter(|batch| batch.pop_time == pop_time)
        else {
            return;
        };
        let changed = batch.visible_ms.get_or_insert_default();
        changed.insert(offset, visible_ms);
        let free_ms = batch.free_ms(now_ms);
        state.watch(queue, free_ms);
    }

    /// Queues that became free by time since the last call.
    pub(super) fn freed(&self, now_ms: i64) -> Vec<QueueOfGroup> {
        let mut state = self.state.lock();
        if state.frees.is_empty() {
            return Vec::new();
        }
        let freed = state.frees.extract_if(|_, free_ms| *free_ms <= now_ms);
        let mut freed: Vec<QueueOfGroup> = freed.map(|(queue, _)| queue).collect();
        freed.sort_unstable_by(|a, b| {
            (&a.topic, &a.group, a.queue_id).cmp(&(&b.topic, &b.group, b.queue_id))
        });
        freed.retain(|_| self.notifies);
        freed
    }

    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        let state = self.state.lock();
        state.dirty && now_ms.saturating_sub(state.persisted_ms) >= PERSIST_MS
    }

    /// Writes the file without the queues that `exists` denies and those that were not used for a day; a failure is
    /// logged and tried again later.
    pub(super) fn persist(&self, now_ms: i64, exists: &dyn Fn(&str, &str, i32) -> bool) {
        let mut state = self.state.lock();
        if !state.dirty {
            return;
        }
        state.persisted_ms = now_ms;
        state.table.table.retain(|key, queues| {
            let (topic, group) = key.rsplit_once('@').unwrap_or((key, ""));
            queues.retain(|queue_id, batch| {
                let is_idle = now_ms.saturating_sub(batch.last_consumed_ms) > IDLE_MS;
                !is_idle && exists(topic, group, *queue_id)
            });
            !queues.is_empty()
        });
        let table = state.table.clone();
        state.dirty = false;
        drop(state);
        if let Err(error) = self.file.save(|| table) {
            tracing::error!(%error, "consumerOrderInfo.json was not written, trying again");
            self.state.lock().dirty = true;
        }
    }
}

impl State {
    fn batch(&mut self, queue: &QueueOfGroup) -> Option<&mut Batch> {
        self.table
            .table
            .get_mut(&key(queue))?
            .get_mut(&queue.queue_id)
    }

    /// The batch of a queue changed; it becomes free at `free_ms`.
    fn watch(&mut self, queue: &QueueOfGroup, free_ms: Option<i64>) {
        self.dirty = true;
        if let Some(free_ms) = free_ms {
            self.frees.insert(queue.clone(), free_ms);
        }
    }
}

impl Batch {
    fn all_offsets(&self) -> impl Iterator<Item = i64> {
        let first = self.offsets.first().copied().unwrap_or(0);
        let rest = self.offsets.iter().skip(1);
        let rest = rest.map(move |distance| first.saturating_add(*distance));
        self.offsets.first().copied().into_iter().chain(rest)
    }

    /// Offsets of the messages that are not acknowledged.
    fn open_offsets(&self) -> impl Iterator<Item = i64> {
        let acknowledged = self.acknowledged;
        self.all_offsets()
            .enumerate()
            .filter(move |(index, _)| acknowledged & bit(*index) == 0)
            .map(|(_, offset)| offset)
    }

    fn visible_ms(&self, offset: i64, invisible_ms: i64) -> i64 {
        let changed = self.visible_ms.as_ref();
        changed
            .and_then(|changed| changed.get(&offset).copied())
            .unwrap_or_else(|| self.pop_time.saturating_add(invisible_ms))
    }

    fn blocks(&mut self, attempt_id: Option<&str>, invisible_ms: i64, now_ms: i64) -> bool {
        if self.attempt_id.is_some() && self.attempt_id.as_deref() == attempt_id {
            return false;
        }
        let invisible_ms = match self.invisible_ms {
            Some(known) if known > 0 => known,
            _ => *self.invisible_ms.insert(invisible_ms),
        };
        self.open_offsets()
            .any(|offset| now_ms < self.visible_ms(offset, invisible_ms))
    }

    /// When the first message that blocks is visible again: pops look then, and wait on if another one blocks. `None` if
    /// that is not known.
    fn free_ms(&self, now_ms: i64) -> Option<i64> {
        if self.offsets.is_empty() {
            return None;
        }
        let mut open = self.open_offsets().peekable();
        if open.peek().is_none() {
            return Some(now_ms);
        }
        let invisible_ms = self.invisible_ms.filter(|ms| *ms > 0)?;
        let blocking = open
            .map(|offset| self.visible_ms(offset, invisible_ms))
            .find(|visible_ms| now_ms < *visible_ms);
        Some(blocking.unwrap_or(now_ms))
    }

    /// The first offset that is not acknowledged.
    fn next_offset(&self) -> i64 {
        let behind = || self.all_offsets().last().unwrap_or(0).saturating_add(1);
        self.open_offsets().next().unwrap_or_else(behind)
    }

    /// How often the messages of the next batch were handed out before. The same attempt counts once.
    fn counts_after(&self, next: &Handout<'_>) -> BTreeMap<i64, i32> {
        let counts = self.counts.clone().unwrap_or_default();
        if self.attempt_id.is_some() && self.attempt_id.as_deref() == next.attempt_id {
            return counts;
        }
        let again = next
            .offsets
            .iter()
            .filter(|offset| self.all_offsets().any(|known| known == **offset));
        again
            .map(|offset| {
                let count = counts.get(offset).copied().unwrap_or(0);
                (*offset, count.saturating_add(1))
            })
            .collect()
    }
}

fn bit(index: usize) -> i64 {
    u32::try_from(index)
        .ok()
        .and_then(|index| 1_i64.checked_shl(index))
        .unwrap_or(0)
}

fn key(queue: &QueueOfGroup) -> String {
    format!("{}@{}", queue.topic, queue.group)
}

/// The queue of a group, by its parts.
pub(super) fn of_group(topic: &str, group: &str, queue_id: i32) -> QueueOfGroup {
    QueueOfGroup {
        topic: topic.to_owned(),
        group: group.to_owned(),
        queue_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::SimDisk;

    fn open(disk: &Arc<SimDisk>) -> OrderInfo {
        let disk = Arc::clone(disk) as Arc<dyn Disk>;
        OrderInfo::open(&BrokerConfig::default(), Path::new("/c"), disk, 0)
    }

    fn pop<'a>(attempt_id: Option<&'a str>, pop_time: i64, offsets: &'a [i64]) -> Handout<'a> {
        Handout {
            attempt_id,
            pop_time,
            invisible_ms: 1_000,
            offsets,
        }
    }

    #[test]
    fn a_queue_is_blocked_until_its_batch_is_done_or_visible_again() {
        let disk = Arc::new(SimDisk::new());
        let order = open(&disk);
        let queue = of_group("t", "g", 0);
        let mut counts = String::new();
        order.hand_out(&queue, &pop(Some("a"), 100, &[5, 6, 9]), &mut counts, 100);
        assert_eq!(counts, "0 0 0");
        assert!(order.is_blocked(&queue, None, 1_000, 100));
        assert!(!order.is_blocked(&queue, Some("a"), 1_000, 100));
        assert_eq!(order.acknowledge(&queue, 7, 100, 101), Progress::Illegal);
        assert_eq!(order.acknowledge(&queue, 6, 99, 101), Progress::Stale);
        assert_eq!(order.acknowledge(&queue, 6, 100, 101), Progress::Commit(5));
        assert_eq!(order.acknowledge(&queue, 5, 100, 101), Progress::Commit(9));
        assert_eq!(order.freed(1_099), []);
        order.set_visible(&queue, 9, 100, 500, 102);
        assert!(order.is_blocked(&queue, None, 1_000, 499));
        assert!(!order.is_blocked(&queue, None, 1_000, 500));
        assert_eq!(order.freed(500), std::slice::from_ref(&queue));
        assert_eq!(order.freed(501), []);

        counts.clear();
        order.hand_out(&queue, &pop(Some("b"), 600, &[9, 10]), &mut counts, 600);
        assert_eq!(counts, "0 qo0%9 1;0 0 0");
        counts.clear();
        order.hand_out(&queue, &pop(Some("b"), 601, &[9, 10]), &mut counts, 601);
        assert_eq!(counts, "0 qo0%9 1;0 0 0", "the same attempt counts once");
        counts.clear();
        order.hand_out(&queue, &pop(None, 2_000, &[9, 10]), &mut counts, 2_000);
        assert_eq!(counts, "0 qo0%9 2;0 qo0%10 1;0 0 1");
        assert_eq!(
            order.acknowledge(&queue, 9, 2_000, 2_001),
            Progress::Commit(10)
        );
        assert_eq!(
            order.acknowledge(&queue, 10, 2_000, 2_001),
            Progress::Commit(11)
        );
        assert!(!order.is_blocked(&queue, None, 1_000, 2_001));
    }

    #[test]
    fn the_file_is_the_references() {
        let disk = Arc::new(SimDisk::new());
        let text = "{\n\t\"table\":{\n\t\t\"OrderEvents@g1\":{0:{\n\t\t\t\t\"a\":\"attempt-1\",\n\t\t\t\t\"cm\":1,\n\t\t\t\t\"i\":60000,\n\t\t\t\t\"l\":1700000000000,\n\t\t\t\t\"o\":[100,1,2],\n\t\t\t\t\"oc\":{101:1\n\t\t\t\t},\n\t\t\t\t\"popTime\":1700000000000\n\t\t\t}\n\t\t}\n\t}\n}\n";
        disk.create_dir_all(Path::new("/c")).unwrap();
        let path = Path::new("/c/consumerOrderInfo.json");
        disk.write_atomic(path, text.as_bytes()).unwrap();
        let order = open(&disk);
        let queue = of_group("OrderEvents", "g1", 0);
        let popped_ms = 1_700_000_000_000;
        assert!(order.is_blocked(&queue, None, 1, popped_ms + 59_999));
        assert_eq!(
            order.freed(popped_ms + 60_000),
            std::slice::from_ref(&queue)
        );
        let next = order.acknowledge(&queue, 101, popped_ms, popped_ms);
        assert_eq!(next, Progress::Commit(102));
        assert!(order.is_due(PERSIST_MS));
        order.persist(popped_ms, &|_, _, _| true);
        let again = open(&disk);
        let next = again.acknowledge(&queue, 102, popped_ms, popped_ms);
        assert_eq!(next, Progress::Commit(103));
        again.persist(popped_ms, &|_, _, _| false);
        assert!(!open(&disk).is_blocked(&queue, None, 1, popped_ms));
    }
}
