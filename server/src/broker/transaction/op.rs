// SPDX-License-Identifier: Apache-2.0
//! Notes of ended transactions: records of RMQ_SYS_TRANS_OP_HALF_TOPIC, each with the queue offsets of many half messages.
//!
//! Offsets are collected per half queue and written together, when there are many or after a while
//! (`transactionOpMsgMaxSize`, `transactionOpBatchInterval`). What a crash loses of them is asked about again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use kerolox_protocol::message::{MessageExt, name, property};

use super::half::Half;
use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::config::BrokerConfig;

/// Tag of a record that notes ended transactions.
const REMOVE_TAG: &str = "d";
/// Ended transactions that are remembered, so that a second end of one of them does nothing.
const MAX_RECENT: usize = 20_000;
/// Offsets kept for a queue that can not be written to; the half messages beyond are asked about again.
const MAX_PENDING: usize = 20_000;

#[derive(Debug, Default)]
struct Pending {
    offsets: BTreeSet<i64>,
    /// Length of their text.
    bytes: usize,
    since_ms: i64,
    /// Notes that were written, with their place in the op queue, until they can be read there.
    written: VecDeque<(i64, BTreeSet<i64>)>,
}

/// Ended transactions that are not written yet, by half queue.
#[derive(Debug)]
pub(super) struct Removals {
    queues: BTreeMap<i32, Pending>,
    /// Queue and offset of half messages whose transactions ended last, the first copy of each.
    recent: BTreeSet<(i32, i64)>,
    in_order: VecDeque<(i32, i64)>,
    max_bytes: usize,
    interval_ms: i64,
}

impl Removals {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        Self {
            queues: BTreeMap::new(),
            recent: BTreeSet::new(),
            in_order: VecDeque::new(),
            max_bytes: config.transaction_op_msg_max_size,
            interval_ms: config.transaction_op_batch_interval,
        }
    }

    /// Whether the transaction of a half message ended a while ago, be it by another copy of it.
    pub(super) fn has_ended(&self, half: &Half<'_>) -> bool {
        self.recent.contains(&(half.0.queue_id, half.first()))
    }

    /// Notes that the transaction of a half message ended.
    pub(super) fn end(&mut self, broker: &Broker, half: &Half<'_>, now_ms: i64) {
        let (queue_id, first) = (half.0.queue_id, half.first());
        if self.recent.insert((queue_id, first)) {
            self.in_order.push_back((queue_id, first));
        }
        if self.in_order.len() > MAX_RECENT
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        self.add(broker, queue_id, half.0.queue_offset, now_ms);
        if first != half.0.queue_offset {
            // Other copies know the first one only.
            self.add(broker, queue_id, first, now_ms);
        }
    }

    /// Notes that the half message at `offset` is done.
    fn add(&mut self, broker: &Broker, queue_id: i32, offset: i64, now_ms: i64) {
        let pending = self.queues.entry(queue_id).or_default();
        if pending.offsets.len() >= MAX_PENDING {
            tracing::error!(
                queue_id,
                offset,
                "an ended transaction can not be noted, its producer is asked again"
            );
            return;
        }
        if pending.offsets.is_empty() {
            pending.since_ms = now_ms;
        }
        if pending.offsets.insert(offset) {
            pending.bytes += digits(offset) + 1;
        }
        if pending.bytes > self.max_bytes {
            write(broker, queue_id, pending, now_ms);
        }
    }

    /// Whether the half message at `offset` is done and only the note can not be read yet.
    pub(super) fn contains(&self, queue_id: i32, offset: i64) -> bool {
        self.queues.get(&queue_id).is_some_and(|pending| {
            let mut written = pending.written.iter();
            pending.offsets.contains(&offset)
                || written.any(|(_, offsets)| offsets.contains(&offset))
        })
    }

    /// Forgets what can be read in the op queue by now.
    pub(super) fn settle(&mut self, broker: &Broker, queue_id: i32) {
        let Some(pending) = self.queues.get_mut(&queue_id) else {
            return;
        };
        if !pending.written.is_empty() {
            let visible = broker.store.max_offset(name::OP_HALF_TOPIC, queue_id);
            pending.written.retain(|(note, _)| *note >= visible);
        }
    }

    /// Writes what has waited long enough.
    pub(super) fn write_due(&mut self, broker: &Broker, now_ms: i64) {
        let ids: Vec<i32> = self.queues.keys().copied().collect();
        for queue_id in ids {
            self.settle(broker, queue_id);
            if let Some(pending) = self.queues.get_mut(&queue_id)
                && now_ms.saturating_sub(pending.since_ms) >= self.interval_ms
            {
                write(broker, queue_id, pending, now_ms);
            }
        }
    }

    /// Writes everything.
    pub(super) fn write_all(&mut self, broker: &Broker, now_ms: i64) {
        for (queue_id, pending) in &mut self.queues {
            write(broker, *queue_id, pending, now_ms);
        }
    }
}

/// Stores one record with all pending offsets of a queue; they stay pending if that fails.
fn write(broker: &Broker, queue_id: i32, pending: &mut Pending, now_ms: i64) {
    if pending.offsets.is_empty() {
        return;
    }
    let mut text = String::with_capacity(pending.bytes);
    for offset in &pending.offsets {
        // Writing to a string can not fail.
        let _ = write!(text, "{offset},");
    }
    let mut draft = Draft::new(broker, name::OP_HALF_TOPIC, queue_id, now_ms);
    draft.body = text.into();
    draft.properties.set(property::TAGS, REMOVE_TAG);
    draft
        .properties
        .set(property::UNIQ_KEY, broker.unique_id(now_ms));
    match broker.put(&draft) {
        Ok(stored) => {
            let offsets = std::mem::take(&mut pending.offsets);
            pending.bytes = 0;
            pending.written.push_back((stored.queue_offset, offsets));
        }
        Err(error) => {
            pending.since_ms = now_ms;
            tracing::warn!(queue_id, %error, "ended transactions could not be noted, trying again");
        }
    }
}

/// The half messages that a record says to be done; `None` if it says something else.
pub(super) fn offsets_of(record: &MessageExt) -> Option<Vec<i64>> {
    if record.message.tag() != Some(REMOVE_TAG) {
        return None;
    }
    let text = std::str::from_utf8(&record.message.body).ok()?;
    let offsets = text.split(',').filter(|part| !part.is_empty());
    Some(offsets.filter_map(|part| part.parse().ok()).collect())
}

fn digits(number: i64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}
