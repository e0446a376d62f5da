// SPDX-License-Identifier: Apache-2.0
//! The five tables of a name server and how registrations, departures and silence change them. Facts: server.md 1.1-1.3.
//!
//! `query` reads them.

mod query;

pub use query::UnitFilter;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kerolox_protocol::body::route::{BrokerData, QueueData};
use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable, perm};

use crate::net::{Session, SessionId};

/// Silence after which a broker is dropped unless its registration says otherwise, milliseconds.
pub const DEFAULT_TIMEOUT_MS: i64 = 120_000;

/// The master's id.
const MASTER: i64 = 0;

/// A broker process: its cluster and its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerKey {
    /// Cluster.
    pub cluster: String,
    /// `host:port`.
    pub address: String,
}

#[derive(Debug)]
struct Live {
    seen_ms: i64,
    timeout_ms: i64,
    version: DataVersion,
    session: Arc<Session>,
    ha_address: String,
    broker_name: String,
}

/// What a broker says of itself.
#[derive(Debug)]
pub struct Registration<'a> {
    /// Cluster.
    pub cluster: &'a str,
    /// Name of the broker set.
    pub broker_name: &'a str,
    /// 0 is the master.
    pub broker_id: i64,
    /// `host:port`.
    pub address: &'a str,
    /// `host:port` for replication.
    pub ha_address: &'a str,
    /// Own timeout, milliseconds.
    pub timeout_ms: Option<i64>,
    /// A slave of the set may act as master; `None` for old brokers.
    pub acting_master: Option<bool>,
    /// Its topics.
    pub topics: &'a TopicConfigTable,
    /// Its filter servers.
    pub filter_servers: &'a [String],
    /// Its connection.
    pub session: &'a Arc<Session>,
}

/// What a broker learns by registering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Address of the master, for others.
    pub master_address: Option<String>,
    /// Replication address of the master, for others.
    pub ha_address: Option<String>,
}

/// A registration of one topic only may not introduce a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a broker that is not registered may not register a single topic: register all topics first"
)]
pub struct SingleTopicError;

/// Topics, broker sets, clusters, live brokers and filter servers.
#[derive(Debug, Default)]
pub struct RouteTable {
    topic_queues: HashMap<String, BTreeMap<String, QueueData>>,
    broker_addrs: BTreeMap<String, BrokerData>,
    cluster_addrs: BTreeMap<String, BTreeSet<String>>,
    live: BTreeMap<BrokerKey, Live>,
    filter_servers: BTreeMap<BrokerKey, Vec<String>>,
}

impl RouteTable {
    /// Registers a broker.
    ///
    /// # Errors
    /// [`SingleTopicError`]; nothing is changed.
    pub fn register(
        &mut self,
        broker: &Registration<'_>,
        delete_unlisted: bool,
        now_ms: i64,
    ) -> Result<Registered, SingleTopicError> {
        let key = BrokerKey {
            cluster: broker.cluster.to_owned(),
            address: broker.address.to_owned(),
        };
        let members = self
            .broker_addrs
            .get(broker.broker_name)
            .map(|data| &data.broker_addrs);
        let holder = members.and_then(|members| members.get(&broker.broker_id));
        if holder.is_none() && broker.topics.topic_config_table.len() == 1 {
            return Err(SingleTopicError);
        }
        if self.is_fenced(broker, holder) {
            tracing::warn!(
                broker = broker.broker_name,
                address = broker.address,
                "registration ignored: another address holds the id with a newer state"
            );
            self.live.remove(&key);
            return Ok(Registered::default());
        }
        let is_first = holder.is_none();
        self.join(broker);
        if self.gives_topics(broker) {
            self.take_topics(broker, &key, is_first, delete_unlisted);
        }
        let live = Live {
            seen_ms: now_ms,
            timeout_ms: broker
                .timeout_ms
                .filter(|ms| *ms > 0)
                .unwrap_or(DEFAULT_TIMEOUT_MS),
            version: broker.topics.data_version,
            session: Arc::clone(broker.session),
            ha_address: broker.ha_address.to_owned(),
            broker_name: broker.broker_name.to_owned(),
        };
        if self.live.insert(key.clone(), live).is_none() {
            tracing::info!(
                cluster = broker.cluster,
                broker = broker.broker_name,
                id = broker.broker_id,
                address = broker.address,
                "broker registered"
            );
        }
        if broker.filter_servers.is_empty() {
            self.filter_servers.remove(&key);
        } else {
            self.filter_servers
                .insert(key, broker.filter_servers.to_vec());
        }
        Ok(self.master_for(broker))
    }

    /// Whether another live address holds the id with a newer state.
    fn is_fenced(&self, broker: &Registration<'_>, holder: Option<&String>) -> bool {
        let Some(holder) = holder.filter(|holder| *holder != broker.address) else {
            return false;
        };
        let key = BrokerKey {
            cluster: broker.cluster.to_owned(),
            address: holder.clone(),
        };
        let held = self.live.get(&key).map(|live| live.version.state_version);
        held.is_some_and(|held| held > broker.topics.data_version.state_version)
    }

    /// Puts the address under its id; an address has one id.
    fn join(&mut self, broker: &Registration<'_>) {
        let names = self
            .cluster_addrs
            .entry(broker.cluster.to_owned())
            .or_default();
        names.insert(broker.broker_name.to_owned());
        let data = self
            .broker_addrs
            .entry(broker.broker_name.to_owned())
            .or_insert_with(|| BrokerData {
                broker_name: broker.broker_name.to_owned(),
                ..BrokerData::default()
            });
        broker.cluster.clone_into(&mut data.cluster);
        data.enable_acting_master = broker.acting_master.unwrap_or(false);
        data.broker_addrs
            .retain(|id, address| *id == broker.broker_id || address != broker.address);
        data.broker_addrs
            .insert(broker.broker_id, broker.address.to_owned());
    }

    /// Topics come from the master, or from the slave with the smallest id of a set of new brokers.
    fn gives_topics(&self, broker: &Registration<'_>) -> bool {
        let is_smallest = self
            .broker_addrs
            .get(broker.broker_name)
            .and_then(|data| data.broker_addrs.keys().next())
            .is_some_and(|smallest| *smallest == broker.broker_id);
        broker.broker_id == MASTER || (broker.acting_master.is_some() && is_smallest)
    }

    fn take_topics(
        &mut self,
        broker: &Registration<'_>,
        key: &BrokerKey,
        is_first: bool,
        delete_unlisted: bool,
    ) {
        let version = broker.topics.data_version;
        let has_new_version = self
            .live
            .get(key)
            .is_none_or(|live| live.version != version);
        let listed = &broker.topics.topic_config_table;
        if delete_unlisted {
            self.topic_queues.retain(|topic, queues| {
                if !listed.contains_key(topic) {
                    queues.remove(broker.broker_name);
                }
                !queues.is_empty()
            });
        }
        let read_only = broker.broker_id != MASTER && broker.acting_master == Some(true);
        for (topic, config) in listed {
            let queues = match self.topic_queues.get_mut(topic) {
                Some(queues) => queues,
                None => self.topic_queues.entry(topic.clone()).or_default(),
            };
            if is_first || has_new_version || !queues.contains_key(broker.broker_name) {
                let data = queue_data(broker.broker_name, config, read_only);
                queues.insert(broker.broker_name.to_owned(), data);
            }
        }
    }

    fn master_for(&self, broker: &Registration<'_>) -> Registered {
        if broker.broker_id == MASTER {
            return Registered::default();
        }
        let data = self.broker_addrs.get(broker.broker_name);
        let Some(master) = data.and_then(|data| data.broker_addrs.get(&MASTER)) else {
            return Registered::default();
        };
        let key = BrokerKey {
            cluster: broker.cluster.to_owned(),
            address: master.clone(),
        };
        let ha_address = self.live.get(&key).map(|live| live.ha_address.clone());
        Registered {
            master_address: ha_address.is_some().then(|| master.clone()),
            ha_address,
        }
    }

    /// Notes that a broker lives; `false` if it is not registered.
    pub fn refresh(&mut self, key: &BrokerKey, now_ms: i64) -> bool {
        self.live
            .get_mut(key)
            .map(|live| live.seen_ms = now_ms)
            .is_some()
    }

    /// The version of the broker's topics.
    pub fn data_version(&self, key: &BrokerKey) -> Option<DataVersion> {
        self.live.get(key).map(|live| live.version)
    }

    /// A broker leaves: its address goes, and with the last address of a set everything that names the set.
    pub fn unregister(&mut self, key: &BrokerKey, broker_name: &str) {
        if self.live.remove(key).is_some() {
            tracing::info!(
                cluster = key.cluster,
                broker = broker_name,
                address = key.address,
                "broker removed"
            );
        }
        self.filter_servers.remove(key);
        let Some(data) = self.broker_addrs.get_mut(broker_name) else {
            return;
        };
        data.broker_addrs
            .retain(|_, address| *address != key.address);
        if data.broker_addrs.is_empty() {
            self.forget_set(broker_name);
        } else if data.enable_acting_master && !data.broker_addrs.contains_key(&MASTER) {
            self.for_each_queue(broker_name, |queue| queue.perm &= !perm::WRITE);
        }
    }

    fn forget_set(&mut self, broker_name: &str) {
        self.broker_addrs.remove(broker_name);
        self.cluster_addrs.retain(|_, names| {
            names.remove(broker_name);
            !names.is_empty()
        });
        self.topic_queues.retain(|_, queues| {
            queues.remove(broker_name);
            !queues.is_empty()
        });
    }

    /// Removes the brokers that registered through a connection.
    pub fn remove_session(&mut self, session: SessionId) {
        let gone = self
            .live
            .iter()
            .filter(|(_, live)| live.session.id() == session);
        let gone: Vec<_> = gone
            .map(|(key, live)| (key.clone(), live.broker_name.clone()))
            .collect();
        for (key, broker_name) in gone {
            self.unregister(&key, &broker_name);
        }
    }

    /// Removes brokers that have been silent for longer than they said and returns their connections.
    pub fn expire(&mut self, now_ms: i64) -> Vec<Arc<Session>> {
        let silent = self
            .live
            .iter()
            .filter(|(_, live)| live.seen_ms.saturating_add(live.timeout_ms) < now_ms);
        let silent: Vec<_> = silent
            .map(|(key, live)| {
                (
                    key.clone(),
                    live.broker_name.clone(),
                    Arc::clone(&live.session),
                )
            })
            .collect();
        let mut sessions = Vec::with_capacity(silent.len());
        for (key, broker_name, session) in silent {
            tracing::warn!(
                broker = broker_name,
                address = key.address,
                "broker was silent for too long"
            );
            self.unregister(&key, &broker_name);
            sessions.push(session);
        }
        sessions
    }

    /// Adds queues of a topic on brokers that are known.
    pub fn add_queues(&mut self, topic: &str, queues: Vec<QueueData>) {
        for queue in queues {
            if self.broker_addrs.contains_key(&queue.broker_name) {
                let brokers = self.topic_queues.entry(topic.to_owned()).or_default();
                brokers.insert(queue.broker_name.clone(), queue);
            }
        }
    }

    /// Removes a topic, everywhere or from the brokers of one cluster.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(cluster) = cluster else {
            self.topic_queues.remove(topic);
            return;
        };
        let Some(names) = self.cluster_addrs.get(cluster) else {
            return;
        };
        let Some(queues) = self.topic_queues.get_mut(topic) else {
            return;
        };
        queues.retain(|broker_name, _| !names.contains(broker_name));
        if queues.is_empty() {
            self.topic_queues.remove(topic);
        }
    }

    /// Takes the write permission from all queues of a broker set, until it registers a change; returns their number.
    pub fn wipe_write_perm(&mut self, broker_name: &str) -> i32 {
        self.for_each_queue(broker_name, |queue| queue.perm &= !perm::WRITE)
    }

    /// Makes all queues of a broker set readable and writable; returns their number.
    pub fn add_write_perm(&mut self, broker_name: &str) -> i32 {
        self.for_each_queue(broker_name, |queue| queue.perm = perm::READ | perm::WRITE)
    }

    fn for_each_queue(&mut self, broker_name: &str, change: impl Fn(&mut QueueData)) -> i32 {
        let queues = self
            .topic_queues
            .values_mut()
            .filter_map(|queues| queues.get_mut(broker_name));
        let count = queues.map(change).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Number of live brokers.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }
}

fn queue_data(broker_name: &str, config: &TopicConfig, read_only: bool) -> QueueData {
    QueueData {
        broker_name: broker_name.to_owned(),
        perm: if read_only {
            config.perm & !perm::WRITE
        } else {
            config.perm
        },
        read_queue_nums: config.read_queue_nums,
        topic_sys_flag: config.topic_sys_flag,
        write_queue_nums: config.write_queue_nums,
    }
}

#[cfg(test)]
mod tests;
