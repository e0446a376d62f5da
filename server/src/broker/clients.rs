// SPDX-License-Identifier: Apache-2.0
//! Who is connected: consumer groups with their members and subscriptions, producer groups.
//!
//! Heartbeats fill these tables; leaving, a closed connection or 120 s of silence empty them. Every change of members
//! or subscriptions is a reason to tell the group. Facts: server.md 5.

mod group;
mod notices;
mod pulled;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kerolox_protocol::LanguageCode;
use kerolox_protocol::body::heartbeat::{ConsumerData, MessageModel, SubscriptionData};
use parking_lot::RwLock;

use group::Group;
pub use group::GroupView;
pub use notices::PendingNotices;
use pulled::PulledSubscriptions;

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

#[derive(Debug, Default)]
struct Producers {
    groups: HashMap<String, BTreeMap<SessionId, Member>>,
    /// The same by client id: where replies go.
    by_client: HashMap<String, Arc<Session>>,
    /// Who of a group was asked last.
    turn: usize,
}

/// Consumer and producer groups by name.
#[derive(Debug)]
pub struct ClientTable {
    consumers: RwLock<HashMap<String, Arc<Group>>>,
    pulled: PulledSubscriptions,
    subscription_expiry_ms: i64,
    producers: RwLock<Producers>,
    expiry_ms: i64,
    scanned_ms: AtomicI64,
}

impl ClientTable {
    /// Nobody is connected.
    pub fn new(config: &BrokerConfig) -> Self {
        Self {
            consumers: RwLock::default(),
            producers: RwLock::default(),
            pulled: PulledSubscriptions::default(),
            subscription_expiry_ms: config.subscription_expired_timeout,
            expiry_ms: config.channel_expired_timeout,
            scanned_ms: AtomicI64::new(0),
        }
    }

    /// The subscription of a group to a topic.
    pub fn subscription(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.consumers.read().get(group)?.subscription(topic)
    }

    /// As [`ClientTable::subscription`], else what came with pulls only: all that is known, for administrators.
    pub fn known_subscription(&self, group: &str, topic: &str) -> Option<Arc<SubscriptionData>> {
        let told = self.subscription(group, topic);
        told.or_else(|| self.pulled.get(group, topic))
    }

    /// The subscription that came with the group's last pull of the topic, if it was the same.
    pub fn pulled_again(
        &self,
        group: &str,
        topic: &str,
        expression: &str,
        kind: &str,
        now_ms: i64,
    ) -> Option<Arc<SubscriptionData>> {
        self.pulled.again(group, topic, expression, kind, now_ms)
    }

    /// Notes a subscription that came with a pull.
    pub fn pulled(&self, group: &str, data: &Arc<SubscriptionData>, now_ms: i64) {
        self.pulled.insert(group, data, now_ms);
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
        let known = producers.by_client.get(&member.client_id);
        if known.is_none_or(|session| session.id() != member.session.id()) {
            let session = Arc::clone(&member.session);
            producers
                .by_client
                .insert(member.client_id.clone(), session);
        }
        let members = match producers.groups.get_mut(group) {
            Some(members) => members,
            None => producers.groups.entry(group.to_owned()).or_default(),
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
        let Some(members) = producers.groups.get_mut(group) else {
            return;
        };
        let left = members.remove(&session);
        if members.is_empty() {
            producers.groups.remove(group);
        }
        let Some(left) = left else {
            return;
        };
        let stays = producers
            .groups
            .values()
            .filter_map(|members| members.get(&session))
            .any(|member| member.client_id == left.client_id);
        if !stays {
            producers.forget_client(&left);
        }
    }

    /// A connection is gone; returns the consumer groups that lost a member.
    pub fn remove_session(&self, session: SessionId) -> Vec<String> {
        let mut producers = self.producers.write();
        producers.groups.retain(|_, members| {
            members.remove(&session);
            !members.is_empty()
        });
        producers
            .by_client
            .retain(|_, client| client.id() != session);
        drop(producers);
        let mut left = Vec::new();
        self.consumers.write().retain(|name, group| {
            if group.remove(session) {
                left.push(name.clone());
            }
            !group.is_empty()
        });
        left
    }

    /// Connections that have been silent for too long. Looks every 10 s only.
    pub fn expire(&self, now_ms: i64) -> Vec<Arc<Session>> {
        let scanned_ms = self.scanned_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(scanned_ms) < SCAN_INTERVAL_MS {
            return Vec::new();
        }
        self.scanned_ms.store(now_ms, Ordering::Relaxed);
        self.pulled.expire(now_ms, self.subscription_expiry_ms);
        let silent = |member: &Member| now_ms.saturating_sub(member.last_seen_ms) > self.expiry_ms;
        let mut sessions: BTreeMap<SessionId, Arc<Session>> = BTreeMap::new();
        let mut collect = |member: &Member| {
            if silent(member) {
                sessions.insert(member.session.id(), Arc::clone(&member.session));
            }
        };
        self.producers
            .read()
            .groups
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
        let groups = producers.groups.iter();
        groups
            .map(|(group, members)| (group.clone(), members.values().cloned().collect()))
            .collect()
    }

    /// Members of a producer group.
    pub fn producers(&self, group: &str) -> Option<Vec<Member>> {
        self.producers
            .read()
            .groups
            .get(group)
            .map(|members| members.values().cloned().collect())
    }

    /// A connected member of a producer group, another one each time.
    pub fn next_producer(&self, group: &str) -> Option<Arc<Session>> {
        let mut producers = self.producers.write();
        producers.turn = producers.turn.wrapping_add(1);
        let Producers { groups, turn, .. } = &*producers;
        let members = groups.get(group)?;
        let sessions = || members.values().map(|member| &member.session);
        let start = turn % members.len().max(1);
        let mut in_turn = sessions().skip(start).chain(sessions().take(start));
        in_turn.find(|session| !session.is_closed()).map(Arc::clone)
    }

    /// The connection of the producer with this client id.
    pub fn producer_named(&self, client_id: &str) -> Option<Arc<Session>> {
        let producers = self.producers.read();
        let session = producers.by_client.get(client_id)?;
        (!session.is_closed()).then(|| Arc::clone(session))
    }

    /// The member of a consumer group with this client id.
    pub fn member(&self, group: &str, client_id: &str) -> Option<Member> {
        let members = self.consumers.read().get(group)?.members();
        members
            .into_iter()
            .find(|member| member.client_id == client_id)
    }
}

impl Producers {
    /// The client produces no more on this connection.
    fn forget_client(&mut self, left: &Member) {
        let session = self.by_client.get(&left.client_id);
        if session.is_some_and(|session| session.id() == left.session.id()) {
            self.by_client.remove(&left.client_id);
        }
    }
}

#[cfg(test)]
mod tests;
