// SPDX-License-Identifier: Apache-2.0
//! Who is connected: consumer groups with their members and subscriptions, producer groups.
//!
//! Heartbeats fill these tables; leaving, a closed connection or 120 s of silence empty them. Every change of members
//! or subscriptions is a reason to tell the group. Facts: server.md 5.

mod group;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_protocol::LanguageCode;
use kerolox_protocol::body::heartbeat::{ConsumerData, MessageModel, SubscriptionData};
use parking_lot::RwLock;

use group::Group;
pub use group::GroupView;

use crate::config::BrokerConfig;
use crate::net::{Session, SessionId};

/// Milliseconds between two looks for silent connections.
const SCAN_INTERVAL_MS: i64 = 10_000;

/// A client as one connection of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// The connection.
    pub session: Arc<Session>,
    /// Client id; several connections may have the same.
    pub client_id: String,
    /// Its language.
    pub language: LanguageCode,
    /// Its version.
    pub version: i32,
    /// When it was last heard of.
    pub last_seen_ms: i64,
}

/// What a heartbeat says of a consumer group besides [`ConsumerData`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Beat {
    /// 0: a heartbeat of the first kind.
    pub fingerprint: i32,
    /// The subscriptions are left out.
    pub without_subscriptions: bool,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Members or topics of the group changed: the others should know.
    pub notify: bool,
    /// The client has to send its subscriptions in full next time.
    pub resend: bool,
}

/// Consumer and producer groups by name.
#[derive(Debug)]
pub struct ClientTable {
    consumers: RwLock<HashMap<String, Arc<Group>>>,
    producers: RwLock<HashMap<String, BTreeMap<SessionId, Member>>>,
    expiry_ms: i64,
    scanned_ms: AtomicI64,
}

impl ClientTable {
    /// Nobody is connected.
    pub fn new(config: &BrokerConfig) -> Self {
        Self {
            consumers: RwLock::default(),
            producers: RwLock::default(),
            expiry_ms: config.channel_expired_timeout,
            scanned_ms: AtomicI64::new(0),
        }
    }

    /// The subscription of a group to a topic.
    pub fn subscription(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.consumers.read().get(group)?.subscription(topic)
    }

    /// Whether the group subscribes to anything.
    pub fn has_subscriptions(&self, group: &str) -> bool {
        let consumers = self.consumers.read();
        consumers
            .get(group)
            .is_some_and(|group| group.has_subscriptions())
    }

    /// Whether the group has members.
    pub fn group_known(&self, group: &str) -> bool {
        self.consumers.read().contains_key(group)
    }

    /// Who of the group gets a message.
    pub fn message_model(&self, group: &str) -> Option<MessageModel> {
        self.consumers
            .read()
            .get(group)
            .map(|group| group.message_model())
    }

    /// Notes a consumer's heartbeat.
    pub fn register_consumer(&self, member: Member, data: &ConsumerData, beat: Beat) -> Change {
        let mut consumers = self.consumers.write();
        let group = consumers.entry(data.group_name.clone()).or_default();
        group.beat(member, data, beat)
    }

    /// Notes a producer's heartbeat.
    pub fn register_producer(&self, group: &str, member: Member) {
        let mut producers = self.producers.write();
        let members = match producers.get_mut(group) {
            Some(members) => members,
            None => producers.entry(group.to_owned()).or_default(),
        };
        members.insert(member.session.id(), member);
    }

    /// A consumer leaves its group; `true` if it was a member.
    pub fn unregister_consumer(&self, group: &str, session: SessionId) -> bool {
        let mut consumers = self.consumers.write();
        let Some(found) = consumers.get(group) else {
            return false;
        };
        let was_member = found.remove(session);
        if found.is_empty() {
            consumers.remove(group);
        }
        was_member
    }

    /// A producer leaves its group.
    pub fn unregister_producer(&self, group: &str, session: SessionId) {
        let mut producers = self.producers.write();
        let Some(members) = producers.get_mut(group) else {
            return;
        };
        members.remove(&session);
        if members.is_empty() {
            producers.remove(group);
        }
    }

    /// A connection is gone; returns the consumer groups that lost a member.
    pub fn remove_session(&self, session: SessionId) -> Vec<String> {
        self.producers.write().retain(|_, members| {
            members.remove(&session);
            !members.is_empty()
        });
        let mut left = Vec::new();
        self.consumers.write().retain(|name, group| {
            if group.remove(session) {
                left.push(name.clone());
            }
            !group.is_empty()
        });
        left
    }

    /// Connections that have been silent for too long; closing them removes their clients. Looks every 10 s only.
    pub fn expire(&self, now_ms: i64) -> Vec<Arc<Session>> {
        let scanned_ms = self.scanned_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(scanned_ms) < SCAN_INTERVAL_MS {
            return Vec::new();
        }
        self.scanned_ms.store(now_ms, Ordering::Relaxed);
        let silent = |member: &Member| now_ms.saturating_sub(member.last_seen_ms) > self.expiry_ms;
        let mut sessions: BTreeMap<SessionId, Arc<Session>> = BTreeMap::new();
        let mut collect = |member: &Member| {
            if silent(member) {
                sessions.insert(member.session.id(), Arc::clone(&member.session));
            }
        };
        self.producers
            .read()
            .values()
            .flat_map(BTreeMap::values)
            .for_each(&mut collect);
        for group in self.consumers.read().values() {
            group.members().iter().for_each(&mut collect);
        }
        sessions.into_values().collect()
    }

    /// Ids of the group's clients in the order of their connections.
    pub fn consumer_ids(&self, group: &str) -> Vec<String> {
        let consumers = self.consumers.read();
        let members = consumers.get(group).map(|group| group.members());
        // In order, so that the answer does not depend on who connected first.
        let ids: BTreeSet<String> = members
            .into_iter()
            .flatten()
            .map(|member| member.client_id)
            .collect();
        ids.into_iter().collect()
    }

    /// Consumer groups that subscribe to a topic.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let consumers = self.consumers.read();
        let having = consumers
            .iter()
            .filter(|(_, group)| group.subscription(topic).is_some());
        having.map(|(name, _)| name.clone()).collect()
    }

    /// Connections of a consumer group.
    pub fn consumer_sessions(&self, group: &str) -> Vec<Arc<Session>> {
        let members = self
            .consumers
            .read()
            .get(group)
            .map(|group| group.members());
        members
            .unwrap_or_default()
            .into_iter()
            .map(|member| member.session)
            .collect()
    }

    /// A consumer group as administrators see it.
    pub fn consumer_group(&self, group: &str) -> Option<GroupView> {
        self.consumers.read().get(group).map(|group| group.view())
    }

    /// Members of all producer groups.
    pub fn all_producers(&self) -> BTreeMap<String, Vec<Member>> {
        let producers = self.producers.read();
        let groups = producers.iter();
        groups
            .map(|(group, members)| (group.clone(), members.values().cloned().collect()))
            .collect()
    }

    /// Members of a producer group.
    pub fn producers(&self, group: &str) -> Option<Vec<Member>> {
        self.producers
            .read()
            .get(group)
            .map(|members| members.values().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
