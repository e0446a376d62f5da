// SPDX-License-Identifier: Apache-2.0
//! The tables of a name server and how registrations change them. Facts: server.md 1.1, 1.2.
//!
//! `departure` takes brokers out again, `query` reads, `notice` says who has to learn of a new smallest id.

mod departure;
mod notice;
mod query;

pub use departure::Departure;
pub use notice::MinIdNotice;
pub use query::{UnitFilter, keep_zone};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kerolox_protocol::body::route::{BrokerData, QueueData};
use kerolox_protocol::body::topic::{DataVersion, TopicConfig, TopicConfigTable, perm};

use crate::net::Session;

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
    broker_id: i64,
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
    /// Its zone.
    pub zone: Option<&'a str>,
    /// Its filter servers; `None` leaves what is known of them.
    pub filter_servers: Option<&'a [String]>,
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
    /// The registration made it the smallest id of its set.
    pub notice: Option<MinIdNotice>,
}

/// A registration of one topic only may not introduce a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a broker that is not registered may not register a single topic: register all topics first"
)]
pub struct SingleTopicError;

/// Topics, broker sets, clusters, live brokers, filter servers and static-topic mappings.
#[derive(Debug, Default)]
pub struct RouteTable {
    topic_queues: HashMap<String, BTreeMap<String, QueueData>>,
    broker_addrs: BTreeMap<String, BrokerData>,
    cluster_addrs: BTreeMap<String, BTreeSet<String>>,
    live: BTreeMap<BrokerKey, Live>,
    filter_servers: BTreeMap<BrokerKey, Vec<String>>,
    /// By topic and broker name, as they came.
    mappings: HashMap<String, BTreeMap<String, serde_json::Value>>,
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
        let smallest_before = self.smallest_id(broker.broker_name);
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
            broker_id: broker.broker_id,
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
        match broker.filter_servers {
            None => {}
            Some([]) => drop(self.filter_servers.remove(&key)),
            Some(servers) => drop(self.filter_servers.insert(key, servers.to_vec())),
        }
        let is_smaller = smallest_before.is_some_and(|smallest| broker.broker_id < smallest);
        let set = self.broker_addrs.get(broker.broker_name);
        Ok(Registered {
            notice: set
                .filter(|_| is_smaller)
                .and_then(|set| MinIdNotice::gained(set, broker.ha_address)),
            ..self.master_for(broker)
        })
    }

    fn smallest_id(&self, broker_name: &str) -> Option<i64> {
        let set = self.broker_addrs.get(broker_name)?;
        set.broker_addrs.keys().next().copied()
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
        data.zone_name = broker.zone.map(str::to_owned);
        data.broker_addrs
            .retain(|id, address| *id == broker.broker_id || address != broker.address);
        data.broker_addrs
            .insert(broker.broker_id, broker.address.to_owned());
    }

    /// Topics come from the master, or from the slave with the smallest id of a set of new brokers.
    fn gives_topics(&self, broker: &Registration<'_>) -> bool {
        let is_smallest = self.smallest_id(broker.broker_name) == Some(broker.broker_id);
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
        let mappings = broker.topics.topic_queue_mapping_info_map.as_ref();
        // Static topics live on brokers that do not list them.
        if delete_unlisted && mappings.is_none_or(BTreeMap::is_empty) {
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
        if is_first || has_new_version {
            for (topic, mapping) in mappings.into_iter().flatten() {
                let name = mapping.get("bname").and_then(serde_json::Value::as_str);
                let name = name.unwrap_or(broker.broker_name).to_owned();
                let brokers = self.mappings.entry(topic.clone()).or_default();
                brokers.insert(name, mapping.clone());
            }
        }
        self.drop_orphaned_mappings();
    }

    /// Mappings of topics that are gone.
    fn drop_orphaned_mappings(&mut self) {
        let topics = &self.topic_queues;
        self.mappings.retain(|topic, _| topics.contains_key(topic));
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
            notice: None,
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
            self.mappings.remove(topic);
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
            self.mappings.remove(topic);
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
