// SPDX-License-Identifier: Apache-2.0
//! Reads of the tables: routes, clusters, lists of topics. Facts: server.md 1.5.

use std::collections::BTreeMap;

use kerolox_protocol::body::cluster::{BrokerMemberGroup, ClusterInfo};
use kerolox_protocol::body::route::{BrokerData, QueueData, TopicRouteData};
use kerolox_protocol::body::topic::{TopicList, perm};

use super::{BrokerKey, MASTER, RouteTable};

/// Bit of a topic's sys flag: unit.
const UNIT: i32 = 1;
/// Bit of a topic's sys flag: has a unit subscription.
const UNIT_SUBSCRIPTION: i32 = 2;
/// Topics whose routes never show an acting master.
const MEMBER_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Which topics a unit list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitFilter {
    /// Unit topics.
    Unit,
    /// Topics with a unit subscription.
    HasUnitSubscription,
    /// Topics with a unit subscription that are no unit topics.
    HasUnitSubscriptionOnly,
}

impl UnitFilter {
    const fn matches(self, sys_flag: i32) -> bool {
        match self {
            Self::Unit => sys_flag & UNIT != 0,
            Self::HasUnitSubscription => sys_flag & UNIT_SUBSCRIPTION != 0,
            Self::HasUnitSubscriptionOnly => {
                sys_flag & UNIT_SUBSCRIPTION != 0 && sys_flag & UNIT == 0
            }
        }
    }
}

impl RouteTable {
    /// The route of a topic; `None` if no broker has it.
    pub fn route(&self, topic: &str, acting_master: bool) -> Option<TopicRouteData> {
        let queues = self.topic_queues.get(topic)?;
        let sets = queues.keys().filter_map(|name| self.broker_addrs.get(name));
        let mut broker_datas: Vec<BrokerData> = sets.cloned().collect();
        if broker_datas.is_empty() {
            return None;
        }
        let mut filter_server_table = BTreeMap::new();
        if !self.filter_servers.is_empty() {
            for data in &broker_datas {
                for address in data.broker_addrs.values() {
                    let key = BrokerKey {
                        cluster: data.cluster.clone(),
                        address: address.clone(),
                    };
                    if let Some(servers) = self.filter_servers.get(&key) {
                        filter_server_table.insert(address.clone(), servers.clone());
                    }
                }
            }
        }
        if acting_master && !topic.starts_with(MEMBER_TOPIC_PREFIX) {
            for data in &mut broker_datas {
                show_acting_master(data, queues.get(&data.broker_name));
            }
        }
        Some(TopicRouteData {
            broker_datas,
            filter_server_table,
            queue_datas: queues.values().cloned().collect(),
            topic_queue_mapping_by_broker: self.mappings.get(topic).cloned(),
            ..TopicRouteData::default()
        })
    }

    /// All brokers and clusters.
    pub fn cluster_info(&self) -> ClusterInfo {
        ClusterInfo {
            broker_addr_table: self.broker_addrs.clone(),
            cluster_addr_table: self.cluster_addrs.clone(),
        }
    }

    /// The members of a set; none if it is unknown.
    pub fn member_group(&self, cluster: &str, broker_name: &str) -> BrokerMemberGroup {
        let data = self.broker_addrs.get(broker_name);
        BrokerMemberGroup {
            broker_addrs: data
                .map(|data| data.broker_addrs.clone())
                .unwrap_or_default(),
            broker_name: broker_name.to_owned(),
            cluster: cluster.to_owned(),
        }
    }

    /// All topics.
    pub fn topics(&self) -> TopicList {
        self.topics_where(|_| true)
    }

    /// Topics that a cluster has queues of.
    pub fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let names = self.cluster_addrs.get(cluster);
        self.topics_where(|queues| {
            names.is_some_and(|names| queues.keys().any(|name| names.contains(name)))
        })
    }

    /// Topics by their unit flags.
    pub fn unit_topics(&self, filter: UnitFilter) -> TopicList {
        self.topics_where(|queues| {
            queues
                .values()
                .next()
                .is_some_and(|queue| filter.matches(queue.topic_sys_flag))
        })
    }

    fn topics_where(&self, wanted: impl Fn(&BTreeMap<String, QueueData>) -> bool) -> TopicList {
        let topics = self
            .topic_queues
            .iter()
            .filter(|(_, queues)| wanted(queues));
        let mut topic_list: Vec<String> = topics.map(|(topic, _)| topic.clone()).collect();
        topic_list.sort_unstable();
        TopicList {
            topic_list,
            ..TopicList::default()
        }
    }

    /// Names of clusters and broker sets, which are topics too, and some broker's address.
    pub fn system_topics(&self) -> TopicList {
        let mut topic_list: Vec<String> = Vec::new();
        for (cluster, names) in &self.cluster_addrs {
            topic_list.push(cluster.clone());
            topic_list.extend(names.iter().cloned());
        }
        let mut addresses = self
            .broker_addrs
            .values()
            .filter_map(|data| data.broker_addrs.values().next());
        TopicList {
            broker_addr: addresses.next().cloned(),
            topic_list,
        }
    }
}

/// Leaves the broker sets of a zone, and those without a master: consumers may have to read from slaves elsewhere.
pub fn keep_zone(route: &mut TopicRouteData, zone: &str) {
    let is_near = |set: &BrokerData| {
        let zone_of_set = set.zone_name.as_ref();
        !set.broker_addrs.contains_key(&MASTER)
            || zone_of_set.is_some_and(|name| name.eq_ignore_ascii_case(zone))
    };
    let sets = std::mem::take(&mut route.broker_datas);
    let (near, far): (Vec<_>, Vec<_>) = sets.into_iter().partition(is_near);
    route.broker_datas = near;
    for set in far {
        route
            .queue_datas
            .retain(|queue| queue.broker_name != set.broker_name);
        for address in set.broker_addrs.values() {
            route.filter_server_table.remove(address);
        }
    }
}

/// Without a master the smallest id stands in for it, for reading.
fn show_acting_master(data: &mut BrokerData, queue: Option<&QueueData>) {
    let stands_in = data.enable_acting_master
        && !data.broker_addrs.contains_key(&MASTER)
        && queue.is_some_and(|queue| !perm::is_writable(queue.perm));
    if stands_in && let Some((_, address)) = data.broker_addrs.pop_first() {
        data.broker_addrs.insert(MASTER, address);
    }
}
