// SPDX-License-Identifier: Apache-2.0
//! A message that the broker stores in another form than it was sent, or of its own accord: retries, dead letters, delays.
//!
//! A processor makes a [`Draft`], gives it a place and properties, and either puts it into the batch of the sends it came
//! with ([`Draft::push`]) or stores it alone ([`Broker::put`]). Source: store.md 9.1, server.md 13.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use kerolox_protocol::message::properties::Properties;
use kerolox_protocol::message::recall_handle::RecallHandle;
use kerolox_protocol::message::record::RecordFields;
use kerolox_protocol::message::{MessageExt, name, property, sys_flag, tags};

use super::Broker;
use super::timer::TIMER_PROPERTIES;
use crate::refusal::Refusal;
use crate::store::{AppendBatch, AppendError, QueueHandle, StoreError, light};

/// A message on its way to the store.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Draft {
    pub(in crate::broker) topic: String,
    pub(in crate::broker) queue_id: i32,
    pub(in crate::broker) flag: i32,
    pub(in crate::broker) sys_flag: i32,
    pub(in crate::broker) born_timestamp: i64,
    pub(in crate::broker) born_host: SocketAddr,
    pub(in crate::broker) reconsume_times: i32,
    /// Commit-log offset of the half message of a committed transaction, else 0.
    pub(in crate::broker) prepared_transaction_offset: i64,
    pub(in crate::broker) body: Bytes,
    pub(in crate::broker) properties: Properties,
    /// Delay of a message in the schedule topic: its unit holds the time to deliver it instead of a hash of its tag.
    pub(in crate::broker) delay_ms: Option<i64>,
}

/// Where a message was stored.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Stored {
    /// Position in the commit log.
    pub(in crate::broker) physical_offset: i64,
    /// Position in the queue.
    pub(in crate::broker) queue_offset: i64,
    /// End of the commit log behind it: under SYNC_FLUSH the message is safe once this is flushed.
    pub(in crate::broker) end_offset: i64,
}

impl Draft {
    /// An empty message that `broker` sends now.
    pub(in crate::broker) fn new(broker: &Broker, topic: &str, queue_id: i32, now_ms: i64) -> Self {
        Self {
            topic: topic.to_owned(),
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: now_ms,
            born_host: broker.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: Bytes::new(),
            properties: Properties::default(),
            delay_ms: None,
        }
    }

    /// A copy of a stored message, without its transaction and its places in light queues.
    pub(in crate::broker) fn copy_of(message: &MessageExt) -> Self {
        let mut properties = message.message.properties.clone();
        properties.remove(property::INNER_MULTI_QUEUE_OFFSET);
        Self {
            topic: message.message.topic.clone(),
            queue_id: message.queue_id,
            flag: message.message.flag,
            sys_flag: message.sys_flag,
            born_timestamp: message.born_timestamp,
            born_host: message.born_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: 0,
            body: message.message.body.clone(),
            properties,
            delay_ms: None,
        }
    }

    /// The same message for another queue.
    pub(in crate::broker) fn to(mut self, topic: impl Into<String>, queue_id: i32) -> Self {
        self.topic = topic.into();
        self.queue_id = queue_id;
        self
    }

    /// Notes where the message really belongs and sends it to another queue for now.
    pub(in crate::broker) fn parked(mut self, topic: &str, queue_id: i32) -> Self {
        let real = std::mem::replace(&mut self.topic, topic.to_owned());
        self.properties.set(property::REAL_TOPIC, real);
        self.properties
            .set(property::REAL_QID, self.queue_id.to_string());
        self.queue_id = queue_id;
        self
    }

    /// Parks the message in the schedule topic if it carries a delay level, else in the timer topic if it names an instant
    /// that is not over. Half messages and rollbacks stay as they are. Source: server.md 13.
    ///
    /// # Errors
    /// The answer to the send: what the timer property asks for can not be done.
    pub(in crate::broker) fn delayed(
        mut self,
        broker: &Broker,
        now_ms: i64,
    ) -> Result<Self, Refusal> {
        if !sys_flag::is_queued(self.sys_flag) {
            return Ok(self);
        }
        let level = self
            .properties
            .get(property::DELAY)
            .and_then(|level| level.parse().ok());
        if let Some(level) = level.filter(|level: &i32| *level > 0) {
            let level = level.min(broker.schedule.max_level());
            for timer in TIMER_PROPERTIES {
                self.properties.remove(timer);
            }
            self.delay_ms = Some(broker.schedule.delay_ms(level));
            return Ok(self.parked(name::SCHEDULE_TOPIC, level - 1));
        }
        // What comes from the wheel has its instant behind it, or is on its way to it.
        if self.topic == name::TIMER_TOPIC || self.properties.get(property::TIMER_OUT_MS).is_some()
        {
            return Ok(self);
        }
        let Some(slot_ms) = broker.timer.slot_for(&self.properties, now_ms)? else {
            return Ok(self);
        };
        self.properties
            .set(property::TIMER_OUT_MS, slot_ms.to_string());
        Ok(self.parked(name::TIMER_TOPIC, 0))
    }

    /// What its sender needs to take the message back, if it waits in the timer topic; not for retries. Source: wire.md 5.12.
    pub(in crate::broker) fn recall_handle(&self, broker: &Broker) -> Option<String> {
        if self.topic != name::TIMER_TOPIC {
            return None;
        }
        let topic = self.properties.get(property::REAL_TOPIC)?;
        let slot_ms: i64 = self.properties.get(property::TIMER_OUT_MS)?.parse().ok()?;
        let handle = RecallHandle {
            topic,
            broker_name: &broker.config.broker_name,
            // Within the slot: it is rounded down to it again.
            deliver_ms: slot_ms.saturating_add(1),
            unique_id: self.properties.get(property::UNIQ_KEY)?,
        };
        (!name::is_retry_topic(topic)).then(|| handle.encode())
    }

    /// Puts the message into `records` and returns its number there.
    pub(in crate::broker) fn push(
        &self,
        broker: &Broker,
        records: &mut AppendBatch,
    ) -> Result<usize, StoreError> {
        let queue = broker.store.queue(&self.topic, self.queue_id)?;
        let further = self.light_queues(broker)?;
        let text = self.properties.to_text();
        let fields = RecordFields {
            topic: &self.topic,
            queue_id: self.queue_id,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp: self.born_timestamp,
            born_host: self.born_host,
            store_host: broker.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: self.prepared_transaction_offset,
            body: &self.body,
            properties: &[text.as_bytes()],
        };
        match self.delay_ms {
            Some(delay_ms) => records.push_delayed(&queue, &fields, delay_ms),
            None => {
                let tags_code = tags::tags_code(self.properties.get(property::TAGS));
                if further.is_empty() {
                    records.push(&queue, &fields, tags_code)
                } else {
                    records.push_light(&queue, &fields, tags_code, &further)
                }
            }
        }
    }

    /// The light queues that the message names and may be in.
    fn light_queues(&self, broker: &Broker) -> Result<Vec<Arc<QueueHandle>>, StoreError> {
        let names = self.properties.get(property::INNER_MULTI_DISPATCH);
        match names {
            Some(names) if broker.config.has_light_queues() && light::allows(&self.topic) => names
                .split(',')
                .map(|name| broker.store.light_queue(name))
                .collect(),
            _ => Ok(Vec::new()),
        }
    }
}

impl Broker {
    /// Stores a message and wakes the pulls that wait for it.
    pub(in crate::broker) fn put(&self, draft: &Draft) -> Result<Stored, StoreError> {
        let mut records = self.store.new_batch();
        draft.push(self, &mut records)?;
        let end_offset = self.store.append(&mut records).end_offset;
        let result = records.results().first().copied();
        let appended = result.unwrap_or(Err(AppendError::Closed))?;
        for queue in records.arrivals() {
            self.arrived(queue);
        }
        Ok(Stored {
            physical_offset: appended.physical_offset,
            queue_offset: appended.queue_offset,
            end_offset,
        })
    }
}
