// SPDX-License-Identifier: Apache-2.0
//! Pop: consumers take messages without keeping offsets and acknowledge each.
//!
//! A pop moves the group's offset and leaves a check point behind; what is not acknowledged when the check point is due
//! goes to the group's retry topic of the topic, which pops read too. The parts:
//!
//! - `request` answers a pop, or parks it in `polling`; `receive` reads the queues, one pop at a time (`gates`);
//! - `checkpoint` stores check points and acknowledgements (`ack`) in the revive topic, by the timer;
//! - `revive` reads that topic and hands out again; `order_info` does it all for ordered pops, without check points;
//! - `assignment` says who of a group pops or pulls which queues (`modes`).
//!
//! Source: server.md 20.

mod ack;
mod assignment;
mod checkpoint;
mod gates;
mod in_flight;
mod look;
mod modes;
mod order_info;
mod polling;
mod receive;
mod request;
mod revive;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

pub(in crate::broker) use ack::{
    Caller, acknowledge, acknowledge_batch, change_invisible, check_invisible_time,
};
pub(in crate::broker) use assignment::{Assignment, assign};
pub(in crate::broker) use look::peek;
pub(in crate::broker) use modes::RequestModes;
pub(in crate::broker) use request::{PopRequest, serve, with_empty_header};

use super::Broker;
use crate::config::BrokerConfig;
use crate::net::Session;
use crate::store::QueueHandle;
use crate::store::disk::Disk;
use gates::Gates;
use in_flight::InFlight;
use order_info::{OrderInfo, QueueOfGroup};
use polling::{Kind, Polls};
use revive::Revive;

/// Topic, group and queue of a pop.
type Place = (String, String, i32);

/// What the broker knows of pops.
#[derive(Debug)]
pub(super) struct Pop {
    gates: Gates,
    in_flight: InFlight,
    order: OrderInfo,
    polls: Polls<PopRequest>,
    revive: Revive,
    /// Pops that found a queue in use.
    soon: Mutex<Vec<Place>>,
    revive_queue: AtomicU32,
    pub(super) modes: RequestModes,
}

impl Pop {
    pub(super) fn open(
        config: &BrokerConfig,
        directory: &Path,
        disk: &Arc<dyn Disk>,
        now_ms: i64,
    ) -> Self {
        Self {
            gates: Gates::default(),
            in_flight: InFlight::default(),
            order: OrderInfo::open(config, directory, Arc::clone(disk), now_ms),
            polls: Polls::new(config),
            revive: Revive::default(),
            soon: Mutex::default(),
            revive_queue: AtomicU32::new(0),
            modes: RequestModes::open(config, directory, Arc::clone(disk)),
        }
    }

    /// The queues of the revive topic take turns.
    fn next_revive_queue(&self, queues: i32) -> i32 {
        let number = self.revive_queue.fetch_add(1, Ordering::Relaxed);
        let queues = u32::try_from(queues).unwrap_or(1).max(1);
        i32::try_from(number % queues).unwrap_or(0)
    }

    /// Looks at a pop again at the next tick.
    fn look_soon(&self, place: Option<Place>) {
        if let Some(place) = place {
            self.soon.lock().push(place);
        }
    }

    /// A message became visible: answers pops and notifications that wait for it.
    pub(super) fn arrived(&self, broker: &Broker, queue: &QueueHandle) {
        let looks = self.polls.take_for(queue);
        if !looks.is_empty() {
            request::serve_all(broker, looks.into(), broker.clock.now_ms());
        }
    }

    /// A queue can be popped in order again.
    fn freed(&self, broker: &Broker, queue: &QueueOfGroup, now_ms: i64) {
        let looks = self
            .polls
            .take_of_group(&queue.topic, &queue.group, |wanted| {
                wanted == queue.queue_id
            });
        request::serve_all(broker, looks.into(), now_ms);
    }

    /// Does what is due: requests whose time is up, ordered queues that became free, messages to be handed out again.
    pub(super) fn tick(&self, broker: &Broker, now_ms: i64) {
        let expired = self.polls.take_expired(now_ms);
        request::serve_all(broker, expired.into(), now_ms);
        let soon = std::mem::take(&mut *self.soon.lock());
        let looks: VecDeque<_> = soon
            .iter()
            .filter_map(|(topic, group, id)| self.polls.take(Kind::Pop, topic, group, *id))
            .collect();
        request::serve_all(broker, looks, now_ms);
        for queue in self.order.freed(now_ms) {
            self.freed(broker, &queue, now_ms);
        }
        for (topic, group) in self.revive.tick(broker, now_ms) {
            let looks = self.polls.take_of_group(&topic, &group, |_| true);
            request::serve_all(broker, looks.into(), now_ms);
        }
        self.gates.expire(now_ms);
        if self.order.is_due(now_ms) {
            self.persist(broker, now_ms);
        }
    }

    /// How many pops wait for a queue of a group.
    pub(super) fn waiting(&self, topic: &str, group: &str, queue_id: i32) -> usize {
        self.polls.len(topic, group, queue_id)
    }

    /// Drops the requests of a connection that is gone.
    pub(super) fn forget(&self, session: &Arc<Session>) {
        self.polls.forget(session);
    }

    /// Writes the batches of ordered pops.
    pub(super) fn persist(&self, broker: &Broker, now_ms: i64) {
        self.order.persist(now_ms, &|topic, group, queue_id| {
            let queues = broker.topics.get(topic).map_or(0, |c| c.read_queue_nums);
            queue_id < queues && broker.groups.get(group).is_some()
        });
    }
}
