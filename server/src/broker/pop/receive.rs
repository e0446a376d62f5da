// SPDX-License-Identifier: Apache-2.0
//! Step "read" of a pop: takes messages of a topic's queues and of the group's retry topic.
//!
//! What is taken is written down first: as a check point in the revive topic, or for ordered pops as the queue's batch.
//! Only then the group's offset moves, and it is written to disk after the check point ([`Broker::persist_offsets`]). So
//! a message is either still before the group or will be handed out again. Source: server.md 20.1.

use std::sync::Arc;

use bytes::Bytes;
use kerolox_protocol::body::pop::PopCheckPoint;
use kerolox_protocol::header::pop::init_mode;
use kerolox_protocol::message::receipt::{self, Receipt, RetryMark};
use kerolox_protocol::message::{RecordView, name, properties, property, record};

use super::checkpoint;
use super::order_info::{Handout, QueueOfGroup, of_group};
use super::request::PopRequest;
use crate::broker::Broker;
use crate::store::{GetResult, GetStatus, QueueHandle};

/// What a pop took.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// When, milliseconds since the epoch.
    pub(super) pop_time: i64,
    /// Queue of the revive topic, or 999.
    pub(super) revive_queue_id: i32,
    /// Messages that are left in the queues that were looked at.
    pub(super) rest: i64,
    /// Number of messages.
    pub(super) count: usize,
    /// Bytes of all slices.
    pub(super) bytes: usize,
    /// Records, one or more in each.
    pub(super) slices: Vec<Bytes>,
    pub(super) start_offsets: String,
    pub(super) offsets: String,
    pub(super) order_counts: String,
    /// Queues with the maximum up to which they were looked at.
    pub(super) seen: Vec<(Arc<QueueHandle>, i64)>,
    /// A queue was in use by another pop or had too much in flight: look again soon.
    pub(super) was_busy: bool,
}

/// Takes messages.
pub(super) fn receive(broker: &Broker, wanted: &PopRequest, now_ms: i64) -> Received {
    let config = &broker.config;
    let draw = fastrand::i32(0..100);
    let mut taking = Taking {
        broker,
        wanted,
        now_ms,
        draw,
        received: Received {
            pop_time: now_ms,
            revive_queue_id: if wanted.is_ordered {
                receipt::ORDERED
            } else {
                broker.pop.next_revive_queue(config.revive_queue_num)
            },
            ..Received::default()
        },
    };
    let reads_old_name = config.enable_retry_topic_v2
        && config.retrieve_message_from_pop_retry_topic_v1
        && draw % 2 == 0;
    let is_v2 = config.enable_retry_topic_v2 && !reads_old_name;
    let retry_topic = name::pop_retry_topic(&wanted.topic, &wanted.group, is_v2);
    let retry_first = draw < config.pop_from_retry_probability;
    if retry_first && !wanted.is_ordered {
        taking.topic(&retry_topic, true);
    }
    if wanted.queue_id < 0 {
        taking.topic(&wanted.topic, false);
    } else {
        taking.queue(&wanted.topic, false, wanted.queue_id);
    }
    if !retry_first && !wanted.is_ordered && taking.room() > 0 {
        taking.topic(&retry_topic, true);
    }
    taking.received
}

/// A pop at work.
struct Taking<'a> {
    broker: &'a Broker,
    wanted: &'a PopRequest,
    now_ms: i64,
    /// 0 to 99: decides where to begin.
    draw: i32,
    received: Received,
}

impl Taking<'_> {
    /// How many more messages are wanted.
    fn room(&self) -> usize {
        self.wanted.max_messages.saturating_sub(self.received.count)
    }

    /// All queues of a topic, beginning anywhere.
    fn topic(&mut self, topic: &str, is_retry: bool) {
        let Some(config) = self.broker.topics.get(topic) else {
            return;
        };
        let queues = config.read_queue_nums;
        for index in 0..queues {
            self.queue(
                topic,
                is_retry,
                self.draw.wrapping_add(index).rem_euclid(queues),
            );
        }
    }

    fn queue(&mut self, topic: &str, is_retry: bool, queue_id: i32) {
        // Pops wait on the handles of the topic's own queues, so these are made. Of the first retry they are told.
        let queue = if is_retry {
            self.broker.store.find_queue(topic, queue_id)
        } else {
            self.broker.store.queue(topic, queue_id).ok()
        };
        let Some(queue) = queue else { return };
        // Before anything is read: what comes after this is looked for again before the pop waits.
        let max = queue.max_offset();
        self.received.seen.push((Arc::clone(&queue), max));
        let of_group = of_group(topic, &self.wanted.group, queue_id);
        let gate = self.broker.pop.gates.gate(&of_group);
        let Some(_turn) = gate.try_lock() else {
            let group = &self.wanted.group;
            let committed = self.broker.offsets.query(group, topic, queue_id);
            if !self.wanted.is_ordered {
                let left = max - committed.unwrap_or_else(|| queue.min_offset());
                self.received.rest += left.max(0);
            }
            self.received.was_busy = true;
            return;
        };
        self.turn(&queue, &of_group, is_retry);
    }

    /// Reads a queue in its turn.
    fn turn(&mut self, queue: &Arc<QueueHandle>, of_group: &QueueOfGroup, is_retry: bool) {
        let (broker, wanted) = (self.broker, self.wanted);
        let mut offset = self.begin(queue, of_group);
        let left = |offset: i64| (queue.max_offset() - offset).max(0);
        if broker.pop.in_flight.is_full(&broker.config, of_group) {
            tracing::warn!(
                topic = of_group.topic,
                group = of_group.group,
                queue_id = of_group.queue_id,
                "too many messages are not acknowledged, nothing is handed out"
            );
            self.received.rest += left(offset);
            self.received.was_busy = true;
            return;
        }
        if wanted.is_ordered {
            let attempt_id = wanted.attempt_id.as_deref();
            let order = &broker.pop.order;
            if order.is_blocked(of_group, attempt_id, wanted.invisible_ms, self.now_ms) {
                // What is left does not count: an acknowledgement or the time frees the queue and says so.
                return;
            }
            broker.pop.in_flight.clear(of_group);
        }
        if self.room() == 0 {
            self.received.rest += left(offset);
            return;
        }
        let mut result = self.read(queue, offset);
        if matches!(
            result.status,
            GetStatus::OffsetTooSmall | GetStatus::OffsetOverflowBadly | GetStatus::OffsetFoundNull
        ) {
            tracing::warn!(
                topic = of_group.topic,
                group = of_group.group,
                queue_id = of_group.queue_id,
                offset,
                next = result.next_offset,
                "the offset of a group does not fit the queue and is corrected"
            );
            offset = result.next_offset;
            self.commit(of_group, offset);
            result = self.read(queue, offset);
        }
        if result.count == 0 {
            // Everything up to the next offset was looked at and is not for this group, or is gone.
            if matches!(
                result.status,
                GetStatus::NoMatchedMessage
                    | GetStatus::OffsetFoundNull
                    | GetStatus::MessageWasRemoving
            ) {
                self.commit(of_group, result.next_offset);
            }
        } else {
            let offsets = offsets_of(&result);
            if !self.write_down(of_group, offset, &offsets, result.next_offset) {
                self.received.rest += left(offset);
                return;
            }
            self.hand_out(of_group, offset, &offsets, &result, is_retry);
        }
        self.received.rest += (result.max_offset - result.next_offset).max(0);
    }

    /// Where the group is; one that has no offset begins somewhere and stays there.
    fn begin(&self, queue: &QueueHandle, of_group: &QueueOfGroup) -> i64 {
        let QueueOfGroup {
            topic,
            group,
            queue_id,
        } = of_group;
        if let Some(offset) = self.broker.offsets.take_reset(group, topic, *queue_id) {
            self.broker.pop.order.forget(of_group);
            self.commit(of_group, offset);
            return offset;
        }
        if let Some(offset) = self.broker.offsets.query(group, topic, *queue_id) {
            return offset;
        }
        let from_first =
            self.wanted.init_mode == init_mode::MIN || name::is_retry_topic(&of_group.topic);
        let offset = if from_first {
            queue.min_offset()
        } else if self.broker.config.init_pop_offset_by_check_msg_in_mem
            && crate::broker::processor::offset::is_young(self.broker, topic, *queue_id)
        {
            0
        } else {
            (queue.max_offset() - 1).max(0)
        };
        self.commit(of_group, offset);
        offset
    }

    fn read(&self, queue: &QueueHandle, offset: i64) -> GetResult {
        let (broker, room) = (self.broker, self.room());
        let (group, topic) = (&self.wanted.group, queue.topic());
        self.wanted.filter.with(broker, group, topic, |filter| {
            broker
                .store
                .get_filtered(queue, offset, room, usize::MAX, filter)
        })
    }

    fn commit(&self, of_group: &QueueOfGroup, offset: i64) {
        self.broker.offsets.commit(
            self.wanted.session.peer(),
            &of_group.group,
            &of_group.topic,
            of_group.queue_id,
            offset,
        );
    }

    /// Makes sure that the messages are handed out again unless they are acknowledged, and moves the group's offset.
    fn write_down(
        &mut self,
        of_group: &QueueOfGroup,
        start_offset: i64,
        offsets: &[i64],
        next_offset: i64,
    ) -> bool {
        let (broker, wanted) = (self.broker, self.wanted);
        if wanted.is_ordered {
            let handout = Handout {
                attempt_id: wanted.attempt_id.as_deref(),
                pop_time: self.now_ms,
                invisible_ms: wanted.invisible_ms,
                offsets,
            };
            let counts = &mut self.received.order_counts;
            broker
                .pop
                .order
                .hand_out(of_group, &handout, counts, self.now_ms);
            self.commit(of_group, start_offset);
            return true;
        }
        let differences = offsets
            .iter()
            .filter_map(|offset| i32::try_from(offset - start_offset).ok());
        let point = PopCheckPoint {
            bit_map: 0,
            broker_name: Some(broker.config.broker_name.clone()),
            group: of_group.group.clone(),
            offset_differences: differences.collect(),
            invisible_time: wanted.invisible_ms,
            num: i8::try_from(offsets.len()).unwrap_or(i8::MAX),
            pop_time: self.now_ms,
            queue_id: of_group.queue_id,
            revive_offset: 0,
            re_put_times: None,
            start_offset,
            suspend: false,
            topic: of_group.topic.clone(),
        };
        let revive_queue_id = self.received.revive_queue_id;
        match checkpoint::put_check_point(broker, &point, revive_queue_id, self.now_ms) {
            Ok(stored) => {
                broker.offsets.rest_on(stored.end_offset);
                self.commit(of_group, next_offset);
                true
            }
            Err(error) => {
                tracing::error!(
                    topic = of_group.topic,
                    group = of_group.group,
                    queue_id = of_group.queue_id,
                    %error,
                    "a check point could not be stored, nothing is handed out"
                );
                false
            }
        }
    }

    /// Puts the messages into the answer.
    fn hand_out(
        &mut self,
        of_group: &QueueOfGroup,
        start_offset: i64,
        offsets: &[i64],
        result: &GetResult,
        is_retry: bool,
    ) {
        let mark = RetryMark::of_topic(&of_group.topic);
        let queue_id = of_group.queue_id;
        let received = &mut self.received;
        receipt::push_start_offset(&mut received.start_offsets, mark, queue_id, start_offset);
        receipt::push_offsets(&mut received.offsets, mark, queue_id, offsets);
        let count = offsets.len();
        received.count += count;
        let config = &self.broker.config;
        self.broker.pop.in_flight.add(config, of_group, count);
        if !is_retry || config.pop_response_return_actual_retry_topic {
            received.bytes += result.bytes;
            received.slices.extend(result.slices.iter().cloned());
            return;
        }
        for record in result.slices.iter().flat_map(|slice| records(slice)) {
            let receipt = Receipt {
                start_offset,
                pop_time: received.pop_time,
                invisible_time: self.wanted.invisible_ms,
                revive_queue_id: received.revive_queue_id,
                retry: mark,
                broker_name: &config.broker_name,
                queue_id: Some(queue_id),
                queue_offset: Some(record.queue_offset),
            };
            match under_topic(&record, &self.wanted.topic, &receipt) {
                Ok(bytes) => {
                    received.bytes += bytes.len();
                    received.slices.push(bytes.into());
                }
                Err(error) => {
                    tracing::error!(topic = of_group.topic, %error, "a retry does not fit under its topic's name");
                }
            }
        }
    }
}

/// A retry as the client that popped `topic` expects it.
fn under_topic(
    record: &RecordView<'_>,
    topic: &str,
    receipt: &Receipt<'_>,
) -> Result<Vec<u8>, record::EncodeError> {
    let text = record.properties();
    let mut added = String::new();
    if properties::find(&text, property::POP_CK).is_none() {
        properties::append_item(&mut added, property::POP_CK, &receipt.to_string());
    }
    record::rewrite(record, topic, &[record.properties, added.as_bytes()])
}

/// Queue offsets of the messages of a read.
fn offsets_of(result: &GetResult) -> Vec<i64> {
    let records = result.slices.iter().flat_map(|slice| records(slice));
    records.map(|record| record.queue_offset).collect()
}

/// Records that follow each other.
fn records(mut bytes: &[u8]) -> impl Iterator<Item = RecordView<'_>> {
    std::iter::from_fn(move || {
        let record = RecordView::parse(bytes).ok()?;
        bytes = bytes.get(record.size..)?;
        Some(record)
    })
}
