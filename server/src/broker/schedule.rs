// SPDX-License-Identifier: Apache-2.0
//! Delivers messages that were sent with a delay level, once they are due.
//!
//! A delayed message lies in queue `level - 1` of SCHEDULE_TOPIC_XXXX; the tags code of its consume-queue unit is the
//! time to deliver it. [`DelaySchedule::tick`] moves what is due to its real topic, in order, and remembers per level how
//! far it came. The position is written to `config/delayOffset.json`; after a crash a message may be delivered twice,
//! never lost. Source: store.md 9.1, 11.6.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::topic::DataVersion;
use kerolox_protocol::message::{name, property, record};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Broker;
use super::draft::Draft;
use crate::config::BrokerConfig;
use crate::persist::TableFile;
use crate::store::disk::Disk;
use crate::store::{GetResult, MessageStore, QueueHandle};

/// Messages moved per level and tick; the rest follows at the next one.
const BATCH: usize = 10_000;

/// Content of `delayOffset.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DelayOffsets {
    data_version: DataVersion,
    offset_table: BTreeMap<i32, i64>,
}

#[derive(Debug, Default)]
struct State {
    offsets: DelayOffsets,
    dirty: bool,
    persisted_ms: i64,
}

/// The delay levels and how far each was delivered.
pub(super) struct DelaySchedule {
    levels: Vec<i64>,
    /// How often positions are written.
    persist_interval_ms: i64,
    file: TableFile,
    state: Mutex<State>,
}

impl DelaySchedule {
    pub(super) fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: Arc<dyn Disk>,
        now_ms: i64,
    ) -> Self {
        let file = TableFile::new(disk, directory.join("delayOffset.json"));
        let (offsets, _) = file.load();
        Self {
            levels: config.delay_levels_ms(),
            persist_interval_ms: config.flush_delay_offset_interval,
            file,
            state: Mutex::new(State {
                offsets,
                dirty: false,
                persisted_ms: now_ms,
            }),
        }
    }

    /// The highest level.
    pub(super) fn max_level(&self) -> i32 {
        i32::try_from(self.levels.len()).unwrap_or(i32::MAX)
    }

    /// Milliseconds of a level, counted from 1.
    pub(super) fn delay_ms(&self, level: i32) -> i64 {
        usize::try_from(level - 1)
            .ok()
            .and_then(|at| self.levels.get(at))
            .copied()
            .unwrap_or(1000)
    }

    /// Queue offset of a level before which everything was delivered.
    pub(super) fn delivered(&self, level: i32) -> i64 {
        let state = self.state.lock();
        state.offsets.offset_table.get(&level).copied().unwrap_or(0)
    }

    /// What `delayOffset.json` says now.
    pub(super) fn offsets_json(&self) -> Vec<u8> {
        body::encode(&self.state.lock().offsets)
    }

    /// Each level that was looked at, how far it was delivered and where it ends.
    pub(super) fn progress(&self, store: &MessageStore) -> Vec<(i32, i64, i64)> {
        let offsets = self.state.lock().offsets.offset_table.clone();
        let levels = offsets.into_iter();
        levels
            .map(|(level, delivered)| {
                let end = store.max_offset(name::SCHEDULE_TOPIC, level - 1);
                (level, delivered, end)
            })
            .collect()
    }

    /// Delivers what is due.
    pub(super) fn tick(&self, broker: &Broker, now_ms: i64) {
        for level in 1..=self.max_level() {
            if let Some(queue) = broker.store.find_queue(name::SCHEDULE_TOPIC, level - 1) {
                self.deliver(broker, level, &queue, now_ms);
            }
        }
        let due = {
            let state = self.state.lock();
            state.dirty && now_ms - state.persisted_ms >= self.persist_interval_ms
        };
        if due {
            self.persist(broker, now_ms);
        }
    }

    fn deliver(&self, broker: &Broker, level: i32, queue: &Arc<QueueHandle>, now_ms: i64) {
        let saved = self.state.lock().offsets.offset_table.get(&level).copied();
        let start = saved
            .unwrap_or_default()
            .clamp(queue.min_offset(), queue.max_offset());
        let mut offset = start;
        for _ in 0..BATCH {
            if offset >= queue.max_offset() {
                break;
            }
            let mut due_ms = 0;
            let found = broker
                .store
                .get_from(queue, offset, 1, usize::MAX, &mut |code| {
                    due_ms = code;
                    true
                });
            // A time beyond the level comes from a clock that was set back: the message is due. The clock is asked after the
            // message was found, as one that was sent after `now_ms` is none of these.
            if due_ms > now_ms && due_ms <= broker.clock.now_ms() + self.delay_ms(level) {
                break;
            }
            if !redeliver(broker, &found) {
                break;
            }
            broker.stats.delivered(queue, found.bytes);
            offset = found.next_offset.max(offset + 1);
        }
        if offset != start || saved.is_none() {
            let mut state = self.state.lock();
            state.offsets.offset_table.insert(level, offset);
            state.offsets.data_version.next(now_ms);
            state.dirty = true;
        }
    }

    /// Writes the positions; a failure is logged and tried again later.
    pub(super) fn persist(&self, broker: &Broker, now_ms: i64) {
        let mut state = self.state.lock();
        if !state.dirty {
            return;
        }
        state.persisted_ms = now_ms;
        // What was delivered must not be less safe than the position that forgets its original.
        match broker.store.flush_pass() {
            Ok(report) => broker.flushed(&report),
            Err(error) => {
                tracing::error!(%error, "delay offsets are not written, what was delivered is not on disk");
                return;
            }
        }
        match self.file.save(|| state.offsets.clone()) {
            Ok(()) => state.dirty = false,
            Err(error) => tracing::error!(%error, "delay offsets were not written, trying again"),
        }
    }
}

/// Puts a due message into its real topic; `false` if that has to be tried again.
fn redeliver(broker: &Broker, found: &GetResult) -> bool {
    let Some(bytes) = found.slices.first() else {
        return true;
    };
    let message = match record::decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%error, "a delayed message can not be read and is skipped");
            return true;
        }
    };
    let properties = &message.message.properties;
    let topic = properties.get(property::REAL_TOPIC);
    let queue_id = properties
        .get(property::REAL_QID)
        .and_then(|id| id.parse().ok());
    let (Some(topic), Some(queue_id)) = (topic, queue_id) else {
        tracing::error!(
            offset = message.physical_offset,
            "a delayed message names no real topic and is skipped"
        );
        return true;
    };
    if topic == name::HALF_TOPIC {
        return true;
    }
    match broker.put(&Draft::copy_of(&message).to(topic, queue_id)) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%topic, %error, "a delayed message could not be delivered, trying again");
            false
        }
    }
}
