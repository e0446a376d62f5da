// SPDX-License-Identifier: Apache-2.0
//! Acknowledgements of popped messages, and changes of how long they are hidden.
//!
//! An acknowledgement is stored and meets its check point when both are due; of an ordered pop it moves the group's
//! offset. A changed time is a check point of its own for the one message, and an acknowledgement of the old one: in
//! this order, so that a crash in between hands the message out again. Source: server.md 20.2.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kerolox_protocol::ResponseCode;
use kerolox_protocol::body::pop::{BatchAck, PopAck, PopCheckPoint};
use kerolox_protocol::header::pop::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, ChangeInvisibleTimeResponseHeader,
};
use kerolox_protocol::message::receipt::{ORDERED, Receipt, ReceiptError, RetryMark};

use super::checkpoint;
use super::order_info::{Progress, QueueOfGroup, of_group};
use crate::broker::Broker;
use crate::refusal::Refusal;

/// Most messages of a check point.
pub(super) const MAX_MESSAGES: usize = 32;

impl From<ReceiptError> for Refusal {
    fn from(error: ReceiptError) -> Self {
        Self::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

/// Who acknowledges, and when.
#[derive(Clone, Copy)]
pub(in crate::broker) struct Caller {
    /// The client's address, for the log.
    pub(in crate::broker) peer: SocketAddr,
    /// Milliseconds since the epoch.
    pub(in crate::broker) now_ms: i64,
}

/// One message. Returns the end of the log behind what was stored for it, if anything.
pub(in crate::broker) fn acknowledge(
    broker: &Broker,
    header: &AckMessageRequestHeader<'_>,
    caller: Caller,
) -> Result<Option<i64>, Refusal> {
    let (topic, queue_id, offset) = (header.topic, header.queue_id, header.offset);
    check_queue(broker, topic, queue_id, caller)?;
    let (min, max) = range(broker, topic, queue_id);
    if offset < min || offset > max {
        return Err(outside(topic, queue_id, offset, min, max));
    }
    let receipt = Receipt::parse(header.extra_info)?;
    let queue = of_group(topic, header.consumer_group, queue_id);
    if receipt.revive_queue_id == ORDERED {
        acknowledge_ordered(broker, &queue, offset, &receipt, caller)?;
        return Ok(None);
    }
    acknowledge_one(broker, &queue, offset, &receipt, caller).map(Some)
}

/// The messages of one check point. Those that are not in the queue any more are left out silently.
pub(in crate::broker) fn acknowledge_batch(
    broker: &Broker,
    batch: &BatchAck,
    broker_name: Option<&str>,
    caller: Caller,
) -> Result<Option<i64>, Refusal> {
    let Some(mark) = RetryMark::parse(&batch.retry) else {
        let remark = format!(
            "retry is '{}' in the acknowledgement of topic '{}', allowed: 0, 1, 2",
            batch.retry, batch.topic
        );
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    };
    let topic = mark.real_topic(&batch.topic, &batch.group);
    let bits = STANDARD.decode(&batch.bit_set).map_err(|error| {
        let remark = format!(
            "bitSet '{:.64}' is not base64: {error}; expected is a little-endian bit array",
            batch.bit_set
        );
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    if broker.store.find_queue(&topic, batch.queue_id).is_none() {
        return Ok(None);
    }
    let (min, max) = range(broker, &topic, batch.queue_id);
    let offsets: Vec<i64> = set_bits(&bits)
        .map_while(|index| batch.start_offset.checked_add(index))
        .filter(|offset| (min..=max).contains(offset))
        .take(MAX_MESSAGES + 1)
        .collect();
    if offsets.len() > MAX_MESSAGES {
        let remark = format!(
            "more than {MAX_MESSAGES} messages of topic '{topic}' queue {} are acknowledged at once; a pop has at most so many",
            batch.queue_id
        );
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    let queue = of_group(&topic, &batch.group, batch.queue_id);
    let receipt = Receipt {
        start_offset: batch.start_offset,
        pop_time: batch.pop_time,
        invisible_time: batch.invisible_time,
        revive_queue_id: batch.revive_queue_id,
        retry: mark,
        broker_name: broker_name.unwrap_or(&broker.config.broker_name),
        queue_id: Some(batch.queue_id),
        queue_offset: None,
    };
    if receipt.revive_queue_id == ORDERED {
        for offset in offsets {
            acknowledge_ordered(broker, &queue, offset, &receipt, caller)?;
        }
        return Ok(None);
    }
    if offsets.is_empty() {
        return Ok(None);
    }
    let count = offsets.len();
    let ack = PopAck {
        ack_offset: -1,
        ack_offsets: Some(offsets),
        ..ack_of(&queue, &receipt)
    };
    put(broker, &queue, &ack, count, &receipt, caller.now_ms).map(Some)
}

fn set_bits(bits: &[u8]) -> impl Iterator<Item = i64> {
    (0_i64..).zip(bits).flat_map(|(at, byte)| {
        let byte = *byte;
        (0..8_i64)
            .filter(move |bit| (byte >> bit) & 1 != 0)
            .map(move |bit| at * 8 + bit)
    })
}

fn acknowledge_one(
    broker: &Broker,
    queue: &QueueOfGroup,
    offset: i64,
    receipt: &Receipt<'_>,
    caller: Caller,
) -> Result<i64, Refusal> {
    let ack = PopAck {
        ack_offset: offset,
        ..ack_of(queue, receipt)
    };
    put(broker, queue, &ack, 1, receipt, caller.now_ms)
}

fn ack_of(queue: &QueueOfGroup, receipt: &Receipt<'_>) -> PopAck {
    PopAck {
        ack_offset: 0,
        ack_offsets: None,
        broker_name: Some(receipt.broker_name.to_owned()),
        group: queue.group.clone(),
        pop_time: receipt.pop_time,
        queue_id: queue.queue_id,
        start_offset: receipt.start_offset,
        topic: queue.topic.clone(),
    }
}

fn put(
    broker: &Broker,
    queue: &QueueOfGroup,
    ack: &PopAck,
    count: usize,
    receipt: &Receipt<'_>,
    now_ms: i64,
) -> Result<i64, Refusal> {
    check_revive_queue(broker, receipt)?;
    let due_ms = receipt.pop_time.saturating_add(receipt.invisible_time);
    let stored = checkpoint::put_ack(broker, ack, receipt.revive_queue_id, due_ms, now_ms);
    let stored = stored.map_err(|error| not_stored("acknowledgement", &error))?;
    broker.pop.in_flight.remove(&broker.config, queue, count);
    Ok(stored.end_offset)
}

fn not_stored(what: &str, error: &checkpoint::NotPut) -> Refusal {
    let remark = format!("the {what} could not be stored: {error}");
    Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
}

fn acknowledge_ordered(
    broker: &Broker,
    queue: &QueueOfGroup,
    offset: i64,
    receipt: &Receipt<'_>,
    caller: Caller,
) -> Result<(), Refusal> {
    let Caller { peer, now_ms } = caller;
    let QueueOfGroup {
        topic,
        group,
        queue_id,
    } = queue;
    let gate = broker.pop.gates.gate(queue);
    let turn = gate.lock();
    let committed = broker.offsets.query(group, topic, *queue_id);
    if committed.is_some_and(|committed| offset < committed) {
        return Ok(());
    }
    let order = &broker.pop.order;
    match order.acknowledge(queue, offset, receipt.pop_time, now_ms) {
        Progress::Stale => {}
        Progress::Illegal => {
            let remark = format!(
                "offset is illegal, key:{topic}@{group}@{queue_id}, old:{}, commit:{offset}, next:-1, {peer}: the message \
                 is none of the last batch that was popped",
                committed.unwrap_or(-1)
            );
            return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark));
        }
        Progress::Commit(next) => {
            broker.offsets.commit(peer, group, topic, *queue_id, next);
            let is_free = !order.is_blocked(queue, None, receipt.invisible_time, now_ms);
            drop(turn);
            if is_free {
                broker.pop.freed(broker, queue, now_ms);
            }
        }
    }
    broker.pop.in_flight.remove(&broker.config, queue, 1);
    Ok(())
}

/// Changes how long a message is hidden; the answer has parts of its new receipt.
pub(in crate::broker) fn change_invisible(
    broker: &Broker,
    header: &ChangeInvisibleTimeRequestHeader<'_>,
    caller: Caller,
) -> Result<ChangeInvisibleTimeResponseHeader, Refusal> {
    let now_ms = caller.now_ms;
    let (topic, queue_id, offset) = (header.topic, header.queue_id, header.offset);
    check_queue(broker, topic, queue_id, caller)?;
    let (min, max) = range(broker, topic, queue_id);
    if offset < min || offset >= max {
        return Err(outside(topic, queue_id, offset, min, max));
    }
    let receipt = Receipt::parse(header.extra_info)?;
    let queue = of_group(topic, header.consumer_group, queue_id);
    if receipt.revive_queue_id == ORDERED {
        let gate = broker.pop.gates.gate(&queue);
        let _turn = gate.lock();
        let committed = broker.offsets.query(&queue.group, topic, queue_id);
        if committed.is_some_and(|committed| offset < committed) {
            return Ok(ChangeInvisibleTimeResponseHeader::default());
        }
        let visible_ms = now_ms.saturating_add(header.invisible_time);
        let pop_time = receipt.pop_time;
        let order = &broker.pop.order;
        order.set_visible(&queue, offset, pop_time, visible_ms, now_ms);
        return Ok(ChangeInvisibleTimeResponseHeader {
            pop_time,
            invisible_time: visible_ms.saturating_sub(pop_time),
            revive_queue_id: ORDERED,
        });
    }
    check_revive_queue(broker, &receipt)?;
    check_invisible_time(broker, header.invisible_time)?;
    // Never the same as before: the acknowledgement of the old check point must not meet the new one.
    let pop_time = now_ms.max(receipt.pop_time.saturating_add(1));
    let point = PopCheckPoint {
        bit_map: 0,
        broker_name: Some(receipt.broker_name.to_owned()),
        group: queue.group.clone(),
        offset_differences: vec![0],
        invisible_time: header.invisible_time,
        num: 1,
        pop_time,
        queue_id,
        revive_offset: 0,
        re_put_times: None,
        start_offset: offset,
        suspend: header.suspend == Some(true),
        topic: queue.topic.clone(),
    };
    checkpoint::put_check_point(broker, &point, receipt.revive_queue_id, now_ms)
        .map_err(|error| not_stored("new check point", &error))?;
    // The new time counts from here on; without the acknowledgement the message comes at the old one, too.
    if let Err(refusal) = acknowledge_one(broker, &queue, offset, &receipt, caller) {
        tracing::error!(?refusal, "the old check point of a message stays");
    }
    Ok(ChangeInvisibleTimeResponseHeader {
        pop_time,
        invisible_time: header.invisible_time,
        revive_queue_id: receipt.revive_queue_id,
    })
}

/// Refuses what the timer can not keep.
pub(in crate::broker) fn check_invisible_time(
    broker: &Broker,
    invisible_ms: i64,
) -> Result<(), Refusal> {
    let max_ms = checkpoint::max_delay_ms(broker);
    if invisible_ms <= max_ms {
        return Ok(());
    }
    let remark =
        format!("invisibleTime is {invisible_ms}, allowed: up to {max_ms} ms (timerMaxDelaySec)");
    Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark))
}

/// A receipt comes from a client: it must not name a queue that nobody reads.
fn check_revive_queue(broker: &Broker, receipt: &Receipt<'_>) -> Result<(), Refusal> {
    let queues = broker.config.revive_queue_num;
    if (0..queues).contains(&receipt.revive_queue_id) {
        return Ok(());
    }
    let remark = format!(
        "the receipt names revive queue {}, allowed: 0 to {} and {ORDERED}",
        receipt.revive_queue_id,
        queues - 1
    );
    Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark))
}

fn check_queue(broker: &Broker, topic: &str, queue_id: i32, caller: Caller) -> Result<(), Refusal> {
    let Some(config) = broker.topics.get(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    let queues = config.read_queue_nums;
    if (0..queues).contains(&queue_id) {
        return Ok(());
    }
    let remark = format!(
        "queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}] consumer:[{}]",
        caller.peer
    );
    Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark))
}

fn range(broker: &Broker, topic: &str, queue_id: i32) -> (i64, i64) {
    let queue = broker.store.find_queue(topic, queue_id);
    queue.map_or((0, 0), |queue| (queue.min_offset(), queue.max_offset()))
}

fn outside(topic: &str, queue_id: i32, offset: i64, min: i64, max: i64) -> Refusal {
    let remark =
        format!("offset is illegal, key:{topic}@{queue_id}, commit:{offset}, store:{min}~{max}");
    Refusal::new(ResponseCode::NO_MESSAGE, remark)
}
