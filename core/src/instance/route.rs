// SPDX-License-Identifier: Apache-2.0
//! Step "instance" of the client's way: topic -> brokers and queues.
//!
//! Before it: the producer or consumer that names a topic. After it: [`crate::net`], which talks to the address.
//!
//! A route is built once from what the name server says and shared by reference; it changes only as a whole. Queue
//! order and the choice of readable and writable queues have to be the same in every client of a group.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kerolox_protocol::body::route::TopicRouteData;
use kerolox_protocol::body::topic::perm;
use parking_lot::RwLock;

use crate::message::Queue;

/// Broker id of a master.
pub(crate) const MASTER: i64 = 0;

/// A queue that messages are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishQueue {
    pub(crate) broker_name: Arc<str>,
    /// Address of the broker's master.
    pub(crate) address: Arc<str>,
    pub(crate) queue_id: i32,
}

/// Addresses of a broker's members by id.
pub(crate) type BrokerAddresses = BTreeMap<i64, String>;

/// Where the queues of a topic are.
#[derive(Debug)]
pub(crate) struct TopicRoute {
    /// As the name server said it, sorted.
    data: TopicRouteData,
    /// The topic does not exist yet; the queues are those that it would be created with.
    pub(crate) is_default: bool,
    pub(crate) brokers: BTreeMap<String, BrokerAddresses>,
    pub(crate) publish: Vec<PublishQueue>,
    pub(crate) subscribe: Vec<Queue>,
    next: AtomicUsize,
}

impl TopicRoute {
    /// Builds the route of `topic`. `default_queues` is the number of queues of a topic that does not exist yet, when
    /// `data` is the route of the topic that it is created after.
    pub(crate) fn new(topic: &str, mut data: TopicRouteData, default_queues: Option<i32>) -> Self {
        data.queue_datas.sort();
        data.broker_datas.sort();
        if let Some(most) = default_queues {
            for queues in &mut data.queue_datas {
                let count = most.min(queues.read_queue_nums);
                queues.read_queue_nums = count;
                queues.write_queue_nums = count;
            }
        }
        let brokers: BTreeMap<String, BrokerAddresses> = data
            .broker_datas
            .iter()
            .map(|broker| (broker.broker_name.clone(), broker.broker_addrs.clone()))
            .collect();
        let publish = publish_queues(&data, &brokers);
        let readable = data
            .queue_datas
            .iter()
            .filter(|queues| perm::is_readable(queues.perm));
        let subscribe = readable
            .flat_map(|queues| {
                (0..queues.read_queue_nums).map(|queue_id| Queue {
                    topic: topic.to_owned(),
                    broker_name: queues.broker_name.clone(),
                    queue_id,
                })
            })
            .collect();
        Self {
            data,
            is_default: default_queues.is_some(),
            brokers,
            publish,
            subscribe,
            next: AtomicUsize::new(fastrand::usize(..)),
        }
    }

    /// The next queue in turn, of another broker than `avoid` if there is one. Avoiding takes nobody's turn.
    pub(crate) fn next_queue(&self, avoid: Option<&str>) -> Option<&PublishQueue> {
        let count = self.publish.len();
        if count == 0 {
            return None;
        }
        let first = match avoid {
            None => self.next.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.next.load(Ordering::Relaxed),
        };
        let at = |step: usize| self.publish.get(first.wrapping_add(step) % count);
        if let Some(avoid) = avoid {
            for step in 0..count {
                if let Some(queue) = at(step)
                    && &*queue.broker_name != avoid
                {
                    return Some(queue);
                }
            }
        }
        at(0)
    }

    /// Address of a broker's master.
    pub(crate) fn master(&self, broker_name: &str) -> Option<&str> {
        self.brokers
            .get(broker_name)?
            .get(&MASTER)
            .map(String::as_str)
    }

    /// An address of any broker of the topic, masters first.
    pub(crate) fn any_address(&self) -> Option<&str> {
        let names: Vec<&BrokerAddresses> = self
            .brokers
            .values()
            .filter(|addresses| !addresses.is_empty())
            .collect();
        let addresses = names.get(fastrand::usize(..names.len().max(1)))?;
        addresses.values().next().map(String::as_str)
    }
}

/// The queues that messages are sent to: of writable topics on brokers with a master; an ordered topic's configuration
/// names them itself.
fn publish_queues(
    data: &TopicRouteData,
    brokers: &BTreeMap<String, BrokerAddresses>,
) -> Vec<PublishQueue> {
    let mut counts: Vec<(&str, i32)> = Vec::new();
    match data
        .order_topic_conf
        .as_deref()
        .filter(|conf| !conf.is_empty())
    {
        Some(conf) => {
            for item in conf.split(';') {
                if let Some((name, count)) = item.split_once(':')
                    && let Ok(count) = count.trim().parse()
                {
                    counts.push((name.trim(), count));
                }
            }
        }
        None => counts.extend(
            data.queue_datas
                .iter()
                .filter(|queues| perm::is_writable(queues.perm))
                .map(|queues| (queues.broker_name.as_str(), queues.write_queue_nums)),
        ),
    }
    let mut publish = Vec::new();
    for (name, count) in counts {
        let Some(address) = brokers.get(name).and_then(|members| members.get(&MASTER)) else {
            continue;
        };
        let (broker_name, address): (Arc<str>, Arc<str>) = (name.into(), address.as_str().into());
        publish.extend((0..count).map(|queue_id| PublishQueue {
            broker_name: Arc::clone(&broker_name),
            address: Arc::clone(&address),
            queue_id,
        }));
    }
    publish
}

/// The routes that are known.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_topic: RwLock<HashMap<String, Arc<TopicRoute>>>,
}

impl Routes {
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.by_topic.read().get(topic).cloned()
    }

    /// Stores a route; `false` if it says what is known already.
    pub(crate) fn put(&self, topic: &str, route: TopicRoute) -> bool {
        let mut by_topic = self.by_topic.write();
        if by_topic
            .get(topic)
            .is_some_and(|known| known.data == route.data && known.is_default == route.is_default)
        {
            return false;
        }
        by_topic.insert(topic.to_owned(), Arc::new(route));
        true
    }

    pub(crate) fn remove(&self, topic: &str) {
        self.by_topic.write().remove(topic);
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.by_topic.read().keys().cloned().collect()
    }

    /// Every broker of every route.
    pub(crate) fn brokers(&self) -> BTreeMap<String, BrokerAddresses> {
        let mut all = BTreeMap::new();
        for route in self.by_topic.read().values() {
            for (name, addresses) in &route.brokers {
                all.insert(name.clone(), addresses.clone());
            }
        }
        all
    }

    /// The address of member `id` of a broker. A missing slave is stood in for by another member, unless `only`.
    pub(crate) fn address(&self, broker_name: &str, id: i64, only: bool) -> Option<String> {
        let by_topic = self.by_topic.read();
        let mut members = by_topic
            .values()
            .filter_map(|route| route.brokers.get(broker_name));
        members.find_map(|members| {
            let exact = members.get(&id);
            let near = exact.or_else(|| (id != MASTER).then(|| members.get(&(id + 1))).flatten());
            near.or_else(|| (!only).then(|| members.values().next()).flatten())
                .cloned()
        })
    }
}

#[cfg(test)]
mod tests;
