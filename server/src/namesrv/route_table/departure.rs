// SPDX-License-Identifier: Apache-2.0
//! Brokers that leave: farewells, lost connections, silence. Many are taken out in one pass over the topics, because
//! brokers tend to go together. Facts: server.md 1.3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kerolox_protocol::body::topic::perm;

use super::notice::MinIdNotice;
use super::{BrokerKey, Live, MASTER, RouteTable};
use crate::net::{Session, SessionId};

/// A broker that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Its cluster and address.
    pub key: BrokerKey,
    /// Name of its set.
    pub broker_name: String,
    /// Only if it has not registered through another connection since.
    pub session: Option<SessionId>,
}

impl RouteTable {
    /// Brokers leave: their addresses go, and with the last address of a set everything that names the set. A set that
    /// is left without master and may have a stand-in can not be written to. Returns what other members have to learn.
    pub fn unregister(&mut self, departures: &[Departure]) -> Vec<MinIdNotice> {
        let mut removed = BTreeSet::new();
        let mut reduced = BTreeSet::new();
        let mut lost_smallest = BTreeMap::new();
        for departure in departures {
            let Departure {
                key, broker_name, ..
            } = departure;
            let live = self.live.get(key).map(|live| live.session.id());
            if departure.session.is_some() && departure.session != live {
                continue;
            }
            if self.live.remove(key).is_some() {
                tracing::info!(
                    cluster = key.cluster,
                    broker = broker_name,
                    address = key.address,
                    "broker removed"
                );
            }
            self.filter_servers.remove(key);
            let Some(set) = self.broker_addrs.get_mut(broker_name) else {
                continue;
            };
            let smallest = set.broker_addrs.first_key_value();
            if smallest.is_some_and(|(_, address)| *address == key.address) {
                lost_smallest.insert(broker_name, key.address.as_str());
            }
            set.broker_addrs
                .retain(|_, address| *address != key.address);
            if set.broker_addrs.is_empty() {
                self.broker_addrs.remove(broker_name);
                removed.insert(broker_name.as_str());
            } else if set.enable_acting_master && !set.broker_addrs.contains_key(&MASTER) {
                reduced.insert(broker_name.as_str());
            }
        }
        self.forget_sets(&removed);
        for broker_name in reduced.difference(&removed) {
            self.for_each_queue(broker_name, |queue| queue.perm &= !perm::WRITE);
        }
        let left = lost_smallest
            .into_iter()
            .filter_map(|(name, offline)| Some((self.broker_addrs.get(name)?, offline)));
        left.filter_map(|(set, offline)| MinIdNotice::lost(set, offline))
            .collect()
    }

    fn forget_sets(&mut self, removed: &BTreeSet<&str>) {
        if removed.is_empty() {
            return;
        }
        self.cluster_addrs.retain(|_, names| {
            names.retain(|name| !removed.contains(name.as_str()));
            !names.is_empty()
        });
        self.topic_queues.retain(|_, queues| {
            queues.retain(|name, _| !removed.contains(name.as_str()));
            !queues.is_empty()
        });
        self.drop_orphaned_mappings();
    }

    /// The brokers that registered through a connection.
    pub fn of_session(&self, session: SessionId) -> Vec<Departure> {
        self.departures(|live| live.session.id() == session)
    }

    /// The brokers that have been silent for longer than they said, and their connections.
    pub fn silent(&self, now_ms: i64) -> (Vec<Departure>, Vec<Arc<Session>>) {
        let is_silent = |live: &Live| live.seen_ms.saturating_add(live.timeout_ms) < now_ms;
        let silent = self.live.iter().filter(|(_, live)| is_silent(live));
        let mut sessions = Vec::new();
        for (key, live) in silent {
            tracing::warn!(
                broker = live.broker_name,
                id = live.broker_id,
                address = key.address,
                timeout_ms = live.timeout_ms,
                "broker was silent for too long"
            );
            sessions.push(Arc::clone(&live.session));
        }
        (self.departures(is_silent), sessions)
    }

    fn departures(&self, wanted: impl Fn(&Live) -> bool) -> Vec<Departure> {
        let found = self.live.iter().filter(|(_, live)| wanted(live));
        found
            .map(|(key, live)| Departure {
                key: key.clone(),
                broker_name: live.broker_name.clone(),
                session: Some(live.session.id()),
            })
            .collect()
    }
}
