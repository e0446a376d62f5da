// SPDX-License-Identifier: Apache-2.0
//! From the wheel to where the messages belong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use kerolox_protocol::message::{MessageExt, RecordView, name, property, record};

use super::instant::{TimerProperties, due_ms};
use super::{State, TimerService};
use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::store::timer::{Slot, Unit, chain};
use crate::store::{AppendError, StoreError};

/// Most messages delivered in one tick; the rest follows at the next one.
const MOST_A_TICK: usize = 20_000;

/// The slot that messages are delivered from.
pub(super) struct OpenSlot {
    pub(super) time_ms: i64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Keys of messages that were taken back, with their topic and whether the message was met.
    deleted: BTreeMap<String, (String, bool)>,
}

/// A message of the open slot; ordered by when it is due, then as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    due_ms: i64,
    position: i64,
    offset: i64,
    written_ms: i64,
    rolls: bool,
}

impl Waiting {
    pub(super) fn new(due_ms: i64, position: i64, unit: &Unit) -> Self {
        Self {
            due_ms,
            position,
            offset: unit.offset,
            written_ms: unit.written_ms,
            rolls: unit.rolls(),
        }
    }
}

/// What is delivered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    /// Commit-log offset in the timer topic.
    pub(super) offset: i64,
    /// When it was noted; `i64::MAX` if it never was.
    pub(super) written_ms: i64,
    /// It is put into the timer topic again.
    pub(super) rolls: bool,
}

/// What was found on the way to the present.
pub(super) enum Next {
    Opened,
    Nothing,
    /// The units of a slot can not be read.
    Damaged,
}

impl OpenSlot {
    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(Reverse(waiting));
    }

    /// Where in the timer log the messages are that were not delivered.
    pub(super) fn positions(&self) -> impl Iterator<Item = i64> + '_ {
        self.waiting.iter().map(|waiting| waiting.0.position)
    }

    pub(super) fn delete(&mut self, key: &str, real_topic: &str) {
        self.deleted
            .insert(key.to_owned(), (real_topic.to_owned(), false));
    }

    /// Whether a message was taken back.
    fn takes(&mut self, real_topic: &str, unique: &str) -> bool {
        if self.deleted.is_empty() {
            return false;
        }
        let qualified = format!("{real_topic}+{unique}");
        for key in [unique, qualified.as_str()] {
            if let Some((_, is_met)) = self.deleted.get_mut(key) {
                *is_met = true;
                return true;
            }
        }
        false
    }
}

impl TimerService {
    /// Delivers what is due at `now_ms`.
    pub(super) fn dequeue(&self, broker: &Broker, state: &mut State, now_ms: i64) {
        let precision_ms = self.layout.precision_ms;
        let mut rest = MOST_A_TICK;
        // Messages that are not in the wheel yet may be due before those that are.
        while state.read_ms < now_ms && state.rebuild.is_none() {
            if state.open.is_none() {
                match self.open_next(broker, state, now_ms) {
                    Next::Opened => {}
                    Next::Nothing => {
                        state.read_ms = now_ms;
                        return;
                    }
                    Next::Damaged => {
                        tracing::error!("the timer log is damaged, wheel and log are made again");
                        return self.start_over(broker, state);
                    }
                }
            }
            let Some(slot_ms) = state.open.as_ref().map(|open| open.time_ms) else {
                return;
            };
            state.read_ms = state.read_ms.max(slot_ms);
            while let Some(next) = state.next_due().filter(|next| next.due_ms <= now_ms) {
                let delivery = Delivery {
                    offset: next.offset,
                    written_ms: next.written_ms,
                    rolls: next.rolls,
                };
                if rest == 0 || !self.deliver(broker, state, &delivery, now_ms) {
                    state.read_ms = state.read_ms.max(next.due_ms - 1);
                    return;
                }
                rest -= 1;
                state.is_dirty = true;
                if let Some(open) = &mut state.open {
                    open.waiting.pop();
                }
            }
            let end = slot_ms + precision_ms;
            state.read_ms = state.read_ms.max(end.min(now_ms));
            if now_ms >= end {
                self.close(state, now_ms);
            }
        }
    }

    /// Opens the next slot that has messages.
    pub(super) fn open_next(&self, broker: &Broker, state: &mut State, now_ms: i64) -> Next {
        let Some(files) = &state.files else {
            return Next::Nothing;
        };
        let from = self.layout.floor(state.read_ms);
        let Some(slot) = files.wheel.next(from, now_ms) else {
            return Next::Nothing;
        };
        let Some(units) = chain(&self.layout, &files.log, &slot) else {
            return Next::Damaged;
        };
        state.open = Some(self.load(broker, &slot, &units, state.read_ms));
        Next::Opened
    }

    /// The messages of a slot that are due after `read_ms`.
    fn load(&self, broker: &Broker, slot: &Slot, units: &[(i64, Unit)], read_ms: i64) -> OpenSlot {
        let precision_ms = self.layout.precision_ms;
        let mut open = OpenSlot {
            time_ms: slot.time_ms,
            waiting: BinaryHeap::with_capacity(units.len()),
            deleted: BTreeMap::new(),
        };
        for (position, unit) in units {
            let bytes = broker.store.record_at(unit.offset);
            let record = bytes
                .as_deref()
                .and_then(|bytes| RecordView::parse(bytes).ok());
            let Some(record) = record else {
                tracing::warn!(
                    offset = unit.offset,
                    "a timer message is not in the commit log any more"
                );
                continue;
            };
            let text = record.properties();
            let properties = TimerProperties::read(&text);
            if unit.deletes() {
                if let (Some(key), Some(topic)) = (properties.deletes, properties.real_topic) {
                    open.delete(key, topic);
                }
                continue;
            }
            let due = match properties.out_ms {
                Some(out_ms) if !unit.rolls() => {
                    let wanted = properties.wanted_ms(out_ms, record.store_timestamp, precision_ms);
                    due_ms(wanted, slot.time_ms, precision_ms)
                }
                _ => slot.time_ms + 1,
            };
            if due > read_ms {
                open.wait(Waiting::new(due, *position, unit));
            }
        }
        open
    }

    fn close(&self, state: &mut State, now_ms: i64) {
        let Some(open) = state.open.take() else {
            return;
        };
        // A marker counted one message less; if it met none, that was wrong.
        for (topic, is_met) in open.deleted.values() {
            if !is_met {
                self.metrics.add(topic, 1, now_ms);
            }
        }
    }

    /// Puts a message where it belongs; `false` if that has to be tried again.
    pub(super) fn deliver(
        &self,
        broker: &Broker,
        state: &mut State,
        delivery: &Delivery,
        now_ms: i64,
    ) -> bool {
        let offset = delivery.offset;
        let Some(bytes) = broker.store.record_at(offset) else {
            tracing::warn!(offset, "a timer message is not in the commit log any more");
            return true;
        };
        let message = match record::decode(&bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(offset, %error, "a timer message can not be read and is skipped");
                return true;
            }
        };
        let properties = &message.message.properties;
        let Some(real_topic) = properties.get(property::REAL_TOPIC) else {
            tracing::error!(offset, "a timer message names no real topic and is skipped");
            return true;
        };
        let is_marker = properties.get(property::TIMER_DEL_UNIQKEY).is_some();
        if !delivery.rolls {
            if is_marker {
                // Its slot is over.
                return true;
            }
            let unique = properties.get(property::UNIQ_KEY);
            let is_taken = unique.is_some_and(|unique| {
                let open = state.open.as_mut();
                open.is_some_and(|open| {
                    delivery.written_ms != i64::MAX && open.takes(real_topic, unique)
                })
            });
            if is_taken {
                return true;
            }
        }
        match put(broker, &message, real_topic, delivery, now_ms) {
            Ok(()) => {}
            Err(error) if is_final(&error) => {
                tracing::error!(offset, topic = real_topic, %error, "a timer message can not be stored and is skipped");
            }
            Err(error) => {
                tracing::warn!(offset, topic = real_topic, %error, "a timer message could not be delivered, trying again");
                return false;
            }
        }
        if delivery.written_ms != i64::MAX {
            self.metrics
                .add(real_topic, if is_marker { 1 } else { -1 }, now_ms);
        }
        self.shown.lock().dequeued += 1;
        true
    }
}

impl State {
    fn next_due(&self) -> Option<Waiting> {
        Some(self.open.as_ref()?.waiting.peek()?.0)
    }
}

/// Whether another try would end in the same way.
fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::MessageIllegal(_)
            | StoreError::PropertiesTooLong { .. }
            | StoreError::IllegalName { .. }
            | StoreError::Append(AppendError::QueueDeleted)
    )
}

fn put(
    broker: &Broker,
    message: &MessageExt,
    real_topic: &str,
    delivery: &Delivery,
    now_ms: i64,
) -> Result<(), StoreError> {
    let mut draft = Draft::copy_of(message);
    let properties = &mut draft.properties;
    properties.set(property::TIMER_ENQUEUE_MS, delivery.written_ms.to_string());
    properties.set(property::TIMER_DEQUEUE_MS, now_ms.to_string());
    let draft = if delivery.rolls {
        let rolls = properties.get(property::TIMER_ROLL_TIMES);
        let rolls: i32 = rolls.and_then(|rolls| rolls.parse().ok()).unwrap_or(0);
        properties.set(
            property::TIMER_ROLL_TIMES,
            rolls.saturating_add(1).to_string(),
        );
        draft.to(name::TIMER_TOPIC, 0)
    } else {
        let queue_id = properties.get(property::REAL_QID);
        let queue_id = queue_id.and_then(|id| id.parse().ok()).unwrap_or(0);
        draft.to(real_topic, queue_id)
    };
    match broker.put(&draft) {
        Err(StoreError::PropertiesTooLong { .. }) => {
            // The notes of the timer are what is too much: the message goes as it came.
            let draft = Draft::copy_of(message).to(draft.topic, draft.queue_id);
            broker.put(&draft).map(drop)
        }
        stored => stored.map(drop),
    }
}
