// SPDX-License-Identifier: Apache-2.0
//! Clients come, stay and go: HEART_BEAT, UNREGISTER_CLIENT, CHECK_CLIENT_CONFIG and who is connected.

use std::sync::Arc;

use kerolox_protocol::body;
use kerolox_protocol::body::connection::{
    Connection, ConsumerConnection, ProducerConnection, ProducerInfo, ProducerTable,
};
use kerolox_protocol::body::heartbeat::{
    CheckClientRequest, ConsumeType, ConsumerData, HeartbeatData, MessageModel,
};
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::heartbeat::{
    ConsumerGroupRequestHeader, HeartbeatResponseHeader, ProducerGroupRequestHeader,
    UnregisterClientRequestHeader,
};
use kerolox_protocol::message::name;
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::pull::property_filter;
use crate::broker::Broker;
use crate::broker::clients::{Beat, Change, Member};
use crate::broker::filters::is_tag;
use crate::broker::stats::Event;
use crate::net::{Outcome, Request, Session};
use crate::refusal::{Refusal, answer, success};

/// HEART_BEAT: registers the client's groups, creating groups and their retry topics on first sight.
pub(crate) fn heart_beat(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let heartbeat: HeartbeatData = body::decode(&request.command.body)?;
        if heartbeat.client_id.trim().is_empty() {
            let remark = "clientID is empty, expected the client's id";
            return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, remark));
        }
        let beat = Beat {
            fingerprint: heartbeat.heartbeat_fingerprint,
            without_subscriptions: heartbeat.without_sub,
        };
        let member = || Member {
            session: Arc::clone(request.session),
            client_id: heartbeat.client_id.clone(),
            language: request.command.language,
            version: request.command.version,
            last_seen_ms: request.now_ms,
        };
        let mut resend = beat.fingerprint == 0;
        for data in &heartbeat.consumer_data_set {
            let change = register_consumer(broker, request, member(), data, beat);
            broker
                .stats
                .registered(Event::ConsumerRegistered, took_ms(broker, request));
            if let Some(change) = change {
                resend |= change.resend;
                if change.notify {
                    notify_group(broker, &data.group_name);
                }
            }
        }
        for producer in &heartbeat.producer_data_set {
            if name::check_group_on_broker(&producer.group_name).is_ok() {
                broker
                    .clients
                    .register_producer(&producer.group_name, member());
                broker
                    .stats
                    .registered(Event::ProducerRegistered, took_ms(broker, request));
            }
        }
        Ok(success().with_header(&HeartbeatResponseHeader {
            is_support_heart_beat_v2: Some(true),
            is_sub_change: Some(resend),
        }))
    })
}

/// Milliseconds since the request came.
fn took_ms(broker: &Broker, request: &Request<'_>) -> i64 {
    broker.clock.now_ms().saturating_sub(request.now_ms)
}

/// `None`: the group is not let in, silently as the reference does.
fn register_consumer(
    broker: &Broker,
    request: &Request<'_>,
    member: Member,
    data: &ConsumerData,
    beat: Beat,
) -> Option<Change> {
    let pulls = data.consume_type == ConsumeType::ConsumeActively;
    if pulls && broker.config.reject_pull_consumer_enable {
        return None;
    }
    let group = broker.groups.find(&data.group_name, request.now_ms)?;
    let retry = name::retry_topic(&data.group_name);
    if group.retry_queue_nums > 0 && name::check_topic(&retry).is_ok() {
        let queues = group.retry_queue_nums;
        let permission = perm::READ | perm::WRITE;
        broker
            .topics
            .create_on_send_back(&retry, queues, permission, request.now_ms);
    }
    let change = broker.clients.register_consumer(member, data, beat);
    if !beat.without_subscriptions {
        let subscriptions = &data.subscription_data_set;
        broker
            .filters
            .register(&data.group_name, subscriptions, request.now_ms);
    }
    Some(change)
}

/// Tells every member of a group that members or subscriptions changed, now or with the next round.
fn notify_group(broker: &Broker, group: &str) {
    if broker.config.real_time_notify_consumer_change {
        notify_now(broker, group);
    } else {
        broker.notices.add(group);
    }
}

/// Tells the groups that were collected, when a round is due.
pub(crate) fn notify_collected(broker: &Broker, now_ms: i64) {
    if !broker.config.real_time_notify_consumer_change {
        for group in broker.notices.due(now_ms) {
            notify_now(broker, &group);
        }
    }
}

fn notify_now(broker: &Broker, group: &str) {
    let wanted = broker.config.notify_consumer_ids_changed_enable
        && broker
            .groups
            .get(group)
            .is_none_or(|group| group.notify_consumer_ids_changed_enable)
        && broker.clients.message_model(group) != Some(MessageModel::Broadcasting);
    if !wanted {
        return;
    }
    let header = ConsumerGroupRequestHeader {
        consumer_group: group,
    };
    let notice = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header).oneway();
    for session in broker.clients.consumer_sessions(group) {
        session.send(&notice);
    }
}

/// UNREGISTER_CLIENT: the client leaves its groups.
pub(crate) fn unregister_client(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let leaving: UnregisterClientRequestHeader<'_> = request.command.header()?;
        let session = request.session.id();
        if let Some(group) = leaving.producer_group {
            broker.clients.unregister_producer(group, session);
        }
        if let Some(group) = leaving.consumer_group
            && broker.clients.unregister_consumer(group, session)
        {
            left(broker, group, request.now_ms);
            notify_group(broker, group);
        }
        Ok(success())
    })
}

/// A connection is gone: its clients leave their groups.
pub(crate) fn closed(broker: &Broker, session: &Arc<Session>) {
    let now_ms = broker.clock.now_ms();
    for group in broker.clients.remove_session(session.id()) {
        left(broker, &group, now_ms);
        notify_group(broker, &group);
    }
}

/// A connection was silent for too long: it is closed. Unlike those who leave, its groups are not told.
pub(crate) fn expired(broker: &Broker, session: &Arc<Session>, now_ms: i64) {
    for group in broker.clients.remove_session(session.id()) {
        left(broker, &group, now_ms);
    }
    session.close();
}

/// A group lost a member: with the last one its filters die.
fn left(broker: &Broker, group: &str, now_ms: i64) {
    if !broker.clients.group_known(group) {
        broker.filters.unregister(group, now_ms);
    }
}

/// CHECK_CLIENT_CONFIG: whether a subscription can be served.
pub(crate) fn check_client_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: CheckClientRequest = body::decode(&request.command.body)?;
        let subscription = &wanted.subscription_data;
        let kind = &subscription.expression_type;
        if is_tag(kind) {
            return Ok(success());
        }
        property_filter(broker, kind)
            .map_err(|remark| Refusal::new(ResponseCode::SYSTEM_ERROR, remark))?;
        match broker.filters.compile(kind, &subscription.sub_string) {
            Ok(_) => Ok(success()),
            Err(error) => Err(Refusal::new(
                ResponseCode::SUBSCRIPTION_PARSE_FAILED,
                format!(
                    "Invalid MessageSelector. '{}': {error}",
                    subscription.sub_string
                ),
            )),
        }
    })
}

/// GET_CONSUMER_CONNECTION_LIST.
pub(crate) fn get_consumer_connection_list(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ConsumerGroupRequestHeader<'_> = request.command.header()?;
        let group = broker
            .clients
            .consumer_group(wanted.consumer_group)
            .ok_or_else(|| {
                let remark = format!("consumer group '{}' is not online", wanted.consumer_group);
                Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, remark)
            })?;
        Ok(success().with_body(body::encode(&ConsumerConnection {
            connection_set: connections(&group.members),
            consume_from_where: group.consume_from_where,
            consume_type: group.consume_type,
            message_model: group.message_model,
            subscription_table: group.subscriptions,
        })))
    })
}

/// GET_PRODUCER_CONNECTION_LIST.
pub(crate) fn get_producer_connection_list(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: ProducerGroupRequestHeader<'_> = request.command.header()?;
        let members = broker
            .clients
            .producers(wanted.producer_group)
            .ok_or_else(|| {
                let remark = format!("producer group '{}' is not online", wanted.producer_group);
                Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
            })?;
        let connection_set = connections(&members);
        Ok(success().with_body(body::encode(&ProducerConnection { connection_set })))
    })
}

/// GET_ALL_PRODUCER_INFO: the members of all producer groups.
pub(crate) fn get_all_producer_info(broker: &Broker, _request: &Request<'_>) -> Outcome {
    let info = |member: Member| ProducerInfo {
        client_id: member.client_id,
        language: member.language.name().to_owned(),
        last_update_timestamp: member.last_seen_ms,
        remote_ip: format!("/{}", member.session.peer_text()),
        version: member.version,
    };
    let groups = broker.clients.all_producers().into_iter();
    let data = groups
        .map(|(group, members)| (group, members.into_iter().map(info).collect()))
        .collect();
    Outcome::Reply(success().with_body(body::encode(&ProducerTable { data })))
}

fn connections(members: &[Member]) -> Vec<Connection> {
    let connection = |member: &Member| Connection {
        client_addr: member.session.peer_text().to_owned(),
        client_id: member.client_id.clone(),
        language: member.language.name().to_owned(),
        version: member.version,
    };
    members.iter().map(connection).collect()
}
