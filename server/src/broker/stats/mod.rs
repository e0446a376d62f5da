// SPDX-License-Identifier: Apache-2.0
//! Statistics: what was put and got, by topic, group and broker, over the last minute, hour and day (server.md 16).
//!
//! The hot path only counts: sends in the store under locks that they hold anyway ([`crate::store::Puts`]), pulls with one
//! look-up each (`gets`). [`BrokerStats::tick`] samples. Of the reference's items those are left out that it never
//! feeds (COMMERCIAL_*, *_FROM_DISK_*) or only writes to its log (GROUP_GET_FALL_SIZE, GROUP_GET_FALL_TIME).

mod events;
mod gets;
mod puts;
mod rates;
mod series;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub(in crate::broker) use events::Event;
pub(in crate::broker) use gets::Get;
use rates::{Day, Totals};
pub(in crate::broker) use series::{Window, Windows};

use crate::net::ConnectionEvent;
use crate::store::{MessageStore, QueueHandle};
use events::Events;
use gets::Gets;
use puts::TopicPuts;
use rates::Rates;
use series::{Count, Schedule, Series};

/// Group under which the delivery of delayed messages is counted.
pub(in crate::broker) const SCHEDULE_GROUP: &str = "SCHEDULE_CONSUMER";
/// Between two ends of [`MessageStore::put_durations`], milliseconds.
const PUT_MINUTE_MS: i64 = 60_000;

/// The statistics of a broker.
#[derive(Debug)]
pub(in crate::broker) struct BrokerStats {
    cluster: String,
    boot_ms: i64,
    gets: Gets,
    events: Events,
    missed: AtomicU64,
    longest_read_ms: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    put_minute_ms: i64,
    rates: Rates,
    puts: TopicPuts,
    broker: BrokerSeries,
}

/// Messages of the whole broker.
#[derive(Debug, Default)]
struct BrokerSeries {
    put: Series,
    got: Series,
    put_without_system: Series,
    got_without_system: Series,
}

/// Figures of the whole broker at one moment.
#[derive(Debug)]
pub(in crate::broker) struct Overview {
    pub(in crate::broker) boot_ms: i64,
    /// Since the start.
    pub(in crate::broker) today: Day,
    /// At the last two midnights, the newer one first.
    pub(in crate::broker) mornings: [Day; 2],
    /// Messages put a second.
    pub(in crate::broker) put_tps: String,
    /// Reads a second that found messages.
    pub(in crate::broker) found_tps: String,
    /// Reads a second that found none.
    pub(in crate::broker) missed_tps: String,
    /// Reads a second.
    pub(in crate::broker) read_tps: String,
    /// Messages read a second.
    pub(in crate::broker) transferred_tps: String,
}

impl BrokerStats {
    pub(in crate::broker) fn new(cluster: &str, now_ms: i64) -> Self {
        Self {
            cluster: cluster.to_owned(),
            boot_ms: now_ms,
            gets: Gets::default(),
            events: Events::default(),
            missed: AtomicU64::new(0),
            longest_read_ms: AtomicU64::new(0),
            state: Mutex::new(State {
                schedule: Schedule::new(now_ms),
                put_minute_ms: now_ms + PUT_MINUTE_MS,
                rates: Rates::new(now_ms),
                puts: TopicPuts::default(),
                broker: BrokerSeries::default(),
            }),
        }
    }

    /// A group read a queue.
    pub(in crate::broker) fn got(&self, group: &str, topic: &str, queue_id: i32, get: Get) {
        if get.messages == 0 {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        if get.ms > 0 {
            self.longest_read_ms.fetch_max(get.ms, Ordering::Relaxed);
        }
        self.gets.add(group, topic, queue_id, get);
    }

    /// Milliseconds of the longest read since the start.
    pub(in crate::broker) fn longest_read_ms(&self) -> u64 {
        self.longest_read_ms.load(Ordering::Relaxed)
    }

    /// A delayed message was delivered.
    pub(in crate::broker) fn delivered(&self, queue: &QueueHandle, bytes: usize) {
        let get = Get {
            messages: 1,
            bytes: bytes as u64,
            ..Get::default()
        };
        self.gets
            .add(SCHEDULE_GROUP, queue.topic(), queue.queue_id(), get);
    }

    /// A group sent a message of a topic back.
    pub(in crate::broker) fn sent_back(&self, group: &str, topic: &str) {
        self.events
            .add(Event::SentBack, &format!("{topic}@{group}"), 1);
    }

    /// What a group sent back of a topic became a dead letter; the reference writes `null` for what a request does not say.
    pub(in crate::broker) fn dead_letter(
        &self,
        owner: Option<&str>,
        topic: Option<&str>,
        group: &str,
    ) {
        let [owner, topic] = [owner, topic].map(|text| text.unwrap_or("null"));
        let key = format!("{owner}@{topic}@{group}@SEND_BACK_TO_DLQ");
        self.events.add(Event::DeadLetter, &key, 1);
    }

    /// Something happened to a connection.
    pub(in crate::broker) fn connection(&self, event: ConnectionEvent) {
        let key = match event {
            ConnectionEvent::Opened => "CONNECT",
            ConnectionEvent::Failed => "EXCEPTION",
            ConnectionEvent::Idle => "IDLE",
            ConnectionEvent::Closed => "CLOSE",
        };
        self.events.add(Event::Connection, key, 1);
    }

    /// A client told of one of its groups, which took some milliseconds.
    pub(in crate::broker) fn registered(&self, event: Event, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or(0);
        self.events.add(event, &self.cluster, ms);
    }

    /// Where a group goes on reading a queue, which it need not have committed; `None` if it read nothing since the start.
    pub(in crate::broker) fn pull_offset(
        &self,
        group: &str,
        topic: &str,
        queue_id: i32,
    ) -> Option<i64> {
        self.gets.next_offset(group, topic, queue_id)
    }

    /// Takes the samples that are due.
    pub(in crate::broker) fn tick(&self, store: &MessageStore, now_ms: i64) {
        let mut state = self.state.lock();
        if !state.rates.is_due(now_ms) {
            return;
        }
        let totals = self.totals(store);
        state.rates.sample(totals, now_ms);
        if now_ms >= state.put_minute_ms {
            state.put_minute_ms = now_ms + PUT_MINUTE_MS;
            store.end_put_minute();
        }
        let is_new_day = state.rates.is_new_day(now_ms);
        let due = state.schedule.due(now_ms);
        if due.is_none() && !is_new_day {
            return;
        }
        state.puts.collect(store);
        let day = self.day(&state);
        if is_new_day {
            state.rates.end_day(day);
        }
        let Some(due) = due else { return };
        state.puts.sample(due);
        self.gets.sample(due);
        self.events.sample(due);
        let broker = &mut state.broker;
        for (series, value) in [
            (&mut broker.put, totals.put),
            (&mut broker.got, totals.transferred),
            (&mut broker.put_without_system, day.put),
            (&mut broker.got_without_system, day.got),
        ] {
            series.sample(Count { value, times: 0 }, due);
        }
    }

    fn totals(&self, store: &MessageStore) -> Totals {
        let [got, _] = self.gets.totals();
        Totals {
            put: store.puts().messages,
            found: got.found,
            missed: self.missed.load(Ordering::Relaxed),
            transferred: got.messages,
        }
    }

    fn day(&self, state: &State) -> Day {
        let [_, got] = self.gets.totals();
        Day {
            put: state.puts.total_without_system(),
            got: got.messages,
        }
    }

    /// The whole broker now.
    pub(in crate::broker) fn overview(&self, store: &MessageStore, now_ms: i64) -> Overview {
        let mut state = self.state.lock();
        state.puts.collect(store);
        let totals = self.totals(store);
        let rates = &state.rates;
        let text = |of: &dyn Fn(&Totals) -> u64| rates.text(totals, now_ms, of);
        Overview {
            boot_ms: self.boot_ms,
            today: self.day(&state),
            mornings: rates.mornings(),
            put_tps: text(&|totals| totals.put),
            found_tps: text(&|totals| totals.found),
            missed_tps: text(&|totals| totals.missed),
            read_tps: text(&|totals| totals.found + totals.missed),
            transferred_tps: text(&|totals| totals.transferred),
        }
    }

    /// Messages put into a topic a second, over the last minute.
    pub(in crate::broker) fn topic_put_tps(&self, store: &MessageStore, topic: &str) -> f64 {
        let windows = self.state.lock().puts.nums(store, topic);
        windows.unwrap_or_default().minute.tps
    }

    /// Messages that a group got of a topic a second, over the last minute.
    pub(in crate::broker) fn group_get_tps(&self, group: &str, topic: &str) -> f64 {
        let windows = self.gets.nums(group, topic);
        windows.unwrap_or_default().minute.tps
    }

    /// An item under the reference's name and key; `None` if nothing was counted under them.
    pub(in crate::broker) fn item(
        &self,
        store: &MessageStore,
        item: &str,
        key: &str,
    ) -> Option<Windows> {
        match item {
            "TOPIC_PUT_NUMS" => self.state.lock().puts.nums(store, key),
            "TOPIC_PUT_SIZE" => self.state.lock().puts.size(store, key),
            "GROUP_GET_NUMS" | "GROUP_GET_SIZE" => {
                let (topic, group) = key.split_once('@')?;
                if item == "GROUP_GET_NUMS" {
                    self.gets.nums(group, topic)
                } else {
                    self.gets.size(group, topic)
                }
            }
            "GROUP_GET_LATENCY" => {
                let (queue_id, rest) = key.split_once('@')?;
                let (topic, group) = rest.split_once('@')?;
                self.gets.latency(group, topic, queue_id.parse().ok()?)
            }
            "QUEUE_PUT_NUMS" | "QUEUE_PUT_SIZE" => {
                let (topic, queue_id) = key.split_once('@')?;
                let queue_id = queue_id.parse().ok()?;
                let state = self.state.lock();
                if item == "QUEUE_PUT_NUMS" {
                    state.puts.queue_nums(topic, queue_id)
                } else {
                    state.puts.queue_size(topic, queue_id)
                }
            }
            "QUEUE_GET_NUMS" | "QUEUE_GET_SIZE" => {
                let (topic, rest) = key.split_once('@')?;
                let (queue_id, group) = rest.split_once('@')?;
                let queue_id = queue_id.parse().ok()?;
                if item == "QUEUE_GET_NUMS" {
                    self.gets.queue_nums(group, topic, queue_id)
                } else {
                    self.gets.queue_size(group, topic, queue_id)
                }
            }
            _ if item.starts_with("BROKER_") => self.of_broker(store, item, key),
            _ => self.events.windows(item, key),
        }
    }

    fn of_broker(&self, store: &MessageStore, item: &str, key: &str) -> Option<Windows> {
        if key != self.cluster {
            return None;
        }
        let totals = self.totals(store);
        let state = self.state.lock();
        let broker = &state.broker;
        let (series, total) = match item {
            "BROKER_PUT_NUMS" => (&broker.put, totals.put),
            "BROKER_GET_NUMS" => (&broker.got, totals.transferred),
            "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => (&broker.put_without_system, totals.put),
            "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" => {
                (&broker.got_without_system, totals.transferred)
            }
            _ => return None,
        };
        (total > 0).then(|| series.windows())
    }

    /// A topic is deleted; call it while the store still has its queues.
    pub(in crate::broker) fn forget_topic(&self, store: &MessageStore, topic: &str) {
        self.state.lock().puts.forget(store, topic);
        self.gets.forget_topic(topic);
        self.events.forget(|of, _| of == topic);
    }

    /// A group was deleted.
    pub(in crate::broker) fn forget_group(&self, group: &str) {
        self.gets.forget_group(group);
        self.events.forget(|_, of| of == group);
    }
}
