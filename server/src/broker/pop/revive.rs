// SPDX-License-Identifier: Apache-2.0
//! Hands popped messages out again that were not acknowledged in time.
//!
//! Each queue of the revive topic is read in its order: check points are kept, acknowledgements set their bits. A check
//! point is finished once everything that was due with it has been read; what is open then goes to the group's retry
//! topic. The position of the group CID_RMQ_SYS_REVIVE_GROUP is the last check point that is finished together with all
//! before it, so after a restart the same state is read again. Source: server.md 20.3.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::pop::{PopAck, PopCheckPoint};
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::message::{MessageExt, RecordView, name, properties, property, record};
use parking_lot::Mutex;

use super::checkpoint::{self, ACK, BATCH_ACK, CHECK_POINT, LEAD_MS, NotPut};
use super::order_info::of_group;
use crate::broker::Broker;
use crate::broker::draft::Draft;
use crate::store::{GetStatus, QueueHandle, StoreError};

/// Reads of a queue in one round, and messages of a read.
const READS: usize = 64;
const READ: usize = 32;
/// How far the revive topic has to be read beyond the time of a check point, milliseconds.
const MARGIN_MS: i64 = LEAD_MS + 1_000;
/// Pauses before a message is tried again that could not be handed out, seconds; the last one stays.
const PAUSES_S: [i64; 17] = [
    10, 20, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200,
];

/// What a check point and its acknowledgements have in common: topic, group, queue, first offset, pop time, broker.
type PointKey = (String, String, i32, i64, i64, String);

/// One queue of the revive topic.
#[derive(Debug, Default)]
struct ReviveQueue {
    /// When it is looked at next, milliseconds since the epoch.
    next_ms: i64,
    /// Where reading goes on; `None` before the first look.
    next_offset: Option<i64>,
    /// Check points that are not finished, by their offset.
    points: BTreeMap<i64, PopCheckPoint>,
    places: HashMap<PointKey, i64>,
    /// Everything due until then has been read, milliseconds since the epoch.
    read_until_ms: i64,
}

/// All queues of the revive topic.
#[derive(Debug, Default)]
pub(super) struct Revive(Mutex<Vec<ReviveQueue>>);

impl Revive {
    /// Reads what came and finishes check points. Returns topics and groups that have a new retry.
    pub(super) fn tick(&self, broker: &Broker, now_ms: i64) -> BTreeSet<(String, String)> {
        let mut retried = BTreeSet::new();
        if !broker.config.timer_wheel_enable {
            return retried;
        }
        let mut queues = self.0.lock();
        let count = usize::try_from(broker.config.revive_queue_num).unwrap_or(0);
        queues.resize_with(count, ReviveQueue::default);
        let topic = name::revive_topic(&broker.config.broker_cluster_name);
        for (queue_id, state) in (0..).zip(queues.iter_mut()) {
            if now_ms < state.next_ms {
                continue;
            }
            let Some(queue) = broker.store.find_queue(&topic, queue_id) else {
                continue;
            };
            let at_end = state.read(broker, &queue, now_ms);
            state.finish(broker, &queue, now_ms, &mut retried);
            state.next_ms = if at_end {
                now_ms + broker.config.revive_interval
            } else {
                now_ms
            };
        }
        retried
    }
}

impl ReviveQueue {
    /// Reads on; whether it came to the end.
    fn read(&mut self, broker: &Broker, queue: &Arc<QueueHandle>, now_ms: i64) -> bool {
        let mut offset = self.next_offset.unwrap_or_else(|| {
            let group = name::REVIVE_GROUP;
            let finished = broker.offsets.query(group, queue.topic(), queue.queue_id());
            finished.map_or(0, |finished| finished.saturating_add(1))
        });
        let mut at_end = false;
        for _ in 0..READS {
            // Asked before reading: what the timer delivers meanwhile may be missed.
            let timer_is_done = checkpoint::timer_is_done(broker);
            let found = broker
                .store
                .get_from(queue, offset, READ, usize::MAX, &mut |_| true);
            match found.status {
                GetStatus::Found => {
                    for slice in &found.slices {
                        self.take_in(broker, slice, now_ms);
                    }
                    offset = found.next_offset;
                }
                GetStatus::OffsetOverflowOne
                | GetStatus::NoMessageInQueue
                | GetStatus::NoMatchedLogicQueue => {
                    at_end = true;
                    if timer_is_done {
                        self.read_until_ms = self.read_until_ms.max(now_ms);
                    }
                    break;
                }
                status => {
                    tracing::warn!(
                        queue_id = queue.queue_id(),
                        offset,
                        next = found.next_offset,
                        status = status.name(),
                        "a part of the revive topic is missing"
                    );
                    if offset == found.next_offset {
                        at_end = true;
                        break;
                    }
                    offset = found.next_offset;
                }
            }
        }
        self.next_offset = Some(offset);
        at_end
    }

    /// Takes in the check points and acknowledgements of some records.
    fn take_in(&mut self, broker: &Broker, mut bytes: &[u8], now_ms: i64) {
        while let Ok(record) = RecordView::parse(bytes) {
            bytes = bytes.get(record.size..).unwrap_or_default();
            let text = record.properties();
            let taken = match properties::find(&text, property::TAGS) {
                Some(CHECK_POINT) => body::decode(record.body)
                    .map(|point| self.take_in_point(broker, point, record.queue_offset)),
                Some(ACK | BATCH_ACK) => {
                    body::decode(record.body).map(|ack| self.take_in_ack(broker, ack))
                }
                _ => Ok(()),
            };
            if let Err(error) = taken {
                tracing::error!(offset = record.queue_offset, %error, "a message of the revive topic can not be read");
            }
            // What did not wait for the timer says nothing of what did.
            if properties::find(&text, property::TIMER_OUT_MS).is_some() {
                let due_ms = properties::find(&text, property::TIMER_DELIVER_MS);
                let due_ms = due_ms.and_then(|text| text.parse().ok()).unwrap_or(0);
                self.read_until_ms = self.read_until_ms.max(due_ms.min(now_ms));
            }
        }
    }

    fn take_in_point(&mut self, broker: &Broker, mut point: PopCheckPoint, offset: i64) {
        if point.topic.is_empty() || point.group.is_empty() {
            return;
        }
        point.revive_offset = offset;
        let key = (
            point.topic.clone(),
            point.group.clone(),
            point.queue_id,
            point.start_offset,
            point.pop_time,
            broker_of(broker, point.broker_name.as_ref()),
        );
        if let Some(before) = self.places.insert(key, offset)
            && let Some(before) = self.points.remove(&before)
            && before.offset_differences == point.offset_differences
        {
            // The timer delivered it twice, as it may after a crash.
            point.bit_map |= before.bit_map;
        }
        self.points.insert(offset, point);
    }

    fn take_in_ack(&mut self, broker: &Broker, ack: PopAck) {
        let broker_name = broker_of(broker, ack.broker_name.as_ref());
        let key = (
            ack.topic,
            ack.group,
            ack.queue_id,
            ack.start_offset,
            ack.pop_time,
            broker_name,
        );
        let point = self.places.get(&key).and_then(|at| self.points.get_mut(at));
        let Some(point) = point else {
            // It came after its check point was finished.
            return;
        };
        for offset in ack.ack_offsets.unwrap_or_else(|| vec![ack.ack_offset]) {
            if !point.acknowledge(offset) {
                tracing::warn!(
                    topic = point.topic,
                    group = point.group,
                    offset,
                    "a message is acknowledged that its check point does not have"
                );
            }
        }
    }

    /// Finishes check points in their order as far as they are due.
    fn finish(
        &mut self,
        broker: &Broker,
        queue: &QueueHandle,
        now_ms: i64,
        retried: &mut BTreeSet<(String, String)>,
    ) {
        let mut finished = None;
        while let Some(mut entry) = self.points.first_entry() {
            let point = entry.get_mut();
            if self.read_until_ms.saturating_sub(point.revive_time()) <= MARGIN_MS {
                break;
            }
            if let Err(error) = hand_out_again(broker, point, queue.queue_id(), now_ms, retried) {
                tracing::error!(%error, "popped messages can not be handed out again now, trying again");
                break;
            }
            let (offset, point) = entry.remove_entry();
            let key = (
                point.topic,
                point.group,
                point.queue_id,
                point.start_offset,
                point.pop_time,
                broker_of(broker, point.broker_name.as_ref()),
            );
            if self.places.get(&key) == Some(&offset) {
                self.places.remove(&key);
            }
            finished = Some(offset);
        }
        if let Some(offset) = finished {
            let (topic, queue_id) = (queue.topic(), queue.queue_id());
            broker.offsets.rest_on(broker.store.commit_log_max());
            let me = broker.store_host;
            broker
                .offsets
                .commit(me, name::REVIVE_GROUP, topic, queue_id, offset);
        }
    }
}

fn broker_of(broker: &Broker, name: Option<&String>) -> String {
    match name {
        Some(name) if !name.trim().is_empty() => name.clone(),
        _ => broker.config.broker_name.clone(),
    }
}

/// Puts the open messages of a check point into the retry topic. A message that does not go there gets a check point of
/// its own that is due later; an error means that even this did not work, and what was done is noted in the bits.
fn hand_out_again(
    broker: &Broker,
    point: &mut PopCheckPoint,
    revive_queue_id: i32,
    now_ms: i64,
    retried: &mut BTreeSet<(String, String)>,
) -> Result<(), NotPut> {
    let topic = name::popped_topic(&point.topic, &point.group).to_owned();
    if broker.topics.get(&topic).is_none() || broker.groups.find(&point.group, now_ms).is_none() {
        return Ok(());
    }
    let open: Vec<i64> = point.open_offsets().collect();
    for offset in open {
        match retry(broker, point, offset, now_ms) {
            Ok(Retried::Stored) => {
                retried.insert((topic.clone(), point.group.clone()));
            }
            Ok(Retried::Gone) => {}
            Ok(Retried::Elsewhere) => put_again(broker, point, offset, revive_queue_id, now_ms)?,
            Err(error) => {
                tracing::warn!(topic = point.topic, group = point.group, offset, %error, "a message could not go to its retry topic");
                put_again(broker, point, offset, revive_queue_id, now_ms)?;
            }
        }
        point.acknowledge(offset);
        let queue = of_group(&point.topic, &point.group, point.queue_id);
        broker.pop.in_flight.remove(&broker.config, &queue, 1);
    }
    Ok(())
}

/// What became of a message.
enum Retried {
    /// It is in the retry topic.
    Stored,
    /// It has expired.
    Gone,
    /// Another broker holds it.
    Elsewhere,
}

fn retry(
    broker: &Broker,
    point: &PopCheckPoint,
    offset: i64,
    now_ms: i64,
) -> Result<Retried, StoreError> {
    if broker_of(broker, point.broker_name.as_ref()) != broker.config.broker_name {
        return Ok(Retried::Elsewhere);
    }
    let Some(message) = message_at(broker, &point.topic, point.queue_id, offset) else {
        tracing::info!(
            topic = point.topic,
            group = point.group,
            queue_id = point.queue_id,
            offset,
            "a popped message that was not acknowledged is gone"
        );
        return Ok(Retried::Gone);
    };
    let topic = if name::is_retry_topic(&point.topic) {
        point.topic.clone()
    } else {
        let is_v2 = broker.config.enable_retry_topic_v2;
        name::pop_retry_topic(&point.topic, &point.group, is_v2)
    };
    if broker.topics.get(&topic).is_none() {
        let read_write = perm::READ | perm::WRITE;
        broker
            .topics
            .create_on_send_back(&topic, 1, read_write, now_ms);
        if broker.offsets.query(&point.group, &topic, 0).is_none() {
            let me = broker.store_host;
            broker.offsets.commit(me, &point.group, &topic, 0, 0);
        }
    }
    let mut draft = Draft::copy_of(&message).to(topic, 0);
    draft.born_host = broker.store_host;
    // A consumer that put the message off did not fail at it.
    let tries = i32::from(!point.suspend);
    draft.reconsume_times = message.reconsume_times.saturating_add(tries);
    let properties = &mut draft.properties;
    if message.reconsume_times == 0 || properties.get(property::FIRST_POP_TIME).is_none() {
        properties.set(property::FIRST_POP_TIME, point.pop_time.to_string());
    }
    broker.put(&draft)?;
    Ok(Retried::Stored)
}

fn message_at(broker: &Broker, topic: &str, queue_id: i32, offset: i64) -> Option<MessageExt> {
    let queue = broker.store.find_queue(topic, queue_id)?;
    let found = broker
        .store
        .get_from(&queue, offset, 1, usize::MAX, &mut |_| true);
    let message = record::decode(found.slices.first()?).ok()?;
    (message.queue_offset == offset).then_some(message)
}

/// A check point for one message, due after the next pause.
fn put_again(
    broker: &Broker,
    point: &PopCheckPoint,
    offset: i64,
    revive_queue_id: i32,
    now_ms: i64,
) -> Result<(), NotPut> {
    let tries = point.re_puts();
    let pause_s = usize::try_from(tries)
        .ok()
        .and_then(|tries| PAUSES_S.get(tries));
    if pause_s.is_none() && broker.config.skip_when_ck_re_put_reach_max_times {
        tracing::warn!(
            topic = point.topic,
            group = point.group,
            offset,
            tries,
            "a popped message is given up (skipWhenCKRePutReachMaxTimes)"
        );
        return Ok(());
    }
    let pause_s = pause_s.or(PAUSES_S.last()).copied().unwrap_or_default();
    let again = PopCheckPoint {
        bit_map: 0,
        num: 1,
        start_offset: offset,
        offset_differences: vec![0],
        re_put_times: Some(tries.saturating_add(1).to_string()),
        invisible_time: point.invisible_time.saturating_add(pause_s * 1_000),
        revive_offset: 0,
        ..point.clone()
    };
    checkpoint::put_check_point(broker, &again, revive_queue_id, now_ms).map(drop)
}
