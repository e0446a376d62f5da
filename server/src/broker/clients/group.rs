// SPDX-License-Identifier: Apache-2.0
//! One consumer group: members by connection and subscriptions by topic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kerolox_protocol::body::heartbeat::{
    ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData,
};
use parking_lot::RwLock;

use super::{Beat, Change, Member};
use crate::net::SessionId;

/// A consumer group that has members.
#[derive(Debug, Default)]
pub(super) struct Group(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<SessionId, Member>,
    subscriptions: HashMap<String, Arc<SubscriptionData>>,
    consume_type: ConsumeType,
    message_model: MessageModel,
    consume_from_where: ConsumeFromWhere,
    /// Of the last heartbeat of the second kind.
    fingerprint: i32,
}

/// A consumer group as administrators see it.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Members in the order of their connections.
    pub members: Vec<Member>,
    /// Subscriptions by topic.
    pub subscriptions: BTreeMap<String, SubscriptionData>,
    /// Pull, push or pop.
    pub consume_type: ConsumeType,
    /// Broadcasting or clustering.
    pub message_model: MessageModel,
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
}

impl Group {
    pub(super) fn subscription(&self, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.0.read().subscriptions.get(topic).cloned()
    }

    pub(super) fn has_subscriptions(&self) -> bool {
        !self.0.read().subscriptions.is_empty()
    }

    pub(super) fn message_model(&self) -> MessageModel {
        self.0.read().message_model
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.0.read().members.values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().members.is_empty()
    }

    pub(super) fn remove(&self, session: SessionId) -> bool {
        self.0.write().members.remove(&session).is_some()
    }

    pub(super) fn view(&self) -> GroupView {
        let state = self.0.read();
        let subscriptions = state.subscriptions.iter();
        GroupView {
            members: state.members.values().cloned().collect(),
            subscriptions: subscriptions
                .map(|(topic, data)| (topic.clone(), SubscriptionData::clone(data)))
                .collect(),
            consume_type: state.consume_type,
            message_model: state.message_model,
            consume_from_where: state.consume_from_where,
        }
    }

    /// Notes a heartbeat: the last one decides about the group's properties and subscriptions.
    pub(super) fn beat(&self, member: Member, data: &ConsumerData, beat: Beat) -> Change {
        let mut state = self.0.write();
        state.consume_type = data.consume_type;
        state.message_model = data.message_model;
        state.consume_from_where = data.consume_from_where;
        let resend = state.fingerprint_changed(beat);
        let client_id = member.client_id.clone();
        let before = state.members.insert(member.session.id(), member);
        let member_changed = before.is_none_or(|before| before.client_id != client_id);
        let topics_changed =
            !beat.without_subscriptions && state.replace_subscriptions(&data.subscription_data_set);
        Change {
            notify: member_changed || topics_changed,
            resend,
        }
    }
}

impl State {
    /// Whether a client has to send its subscriptions in full the next time.
    fn fingerprint_changed(&mut self, beat: Beat) -> bool {
        if beat.fingerprint == 0 {
            return true;
        }
        let before = std::mem::replace(&mut self.fingerprint, beat.fingerprint);
        let first = before == 0;
        if first {
            beat.without_subscriptions
        } else {
            before != beat.fingerprint
        }
    }

    /// Takes over the subscriptions; whether a topic came or went. A newer text for a topic is no change.
    fn replace_subscriptions(&mut self, subscriptions: &[SubscriptionData]) -> bool {
        let mut changed = false;
        for data in subscriptions {
            match self.subscriptions.get(&data.topic) {
                Some(present) if present.sub_version >= data.sub_version => {}
                present => {
                    changed |= present.is_none();
                    self.subscriptions
                        .insert(data.topic.clone(), Arc::new(data.clone()));
                }
            }
        }
        let count = self.subscriptions.len();
        self.subscriptions
            .retain(|topic, _| subscriptions.iter().any(|data| data.topic == *topic));
        changed || self.subscriptions.len() != count
    }
}
