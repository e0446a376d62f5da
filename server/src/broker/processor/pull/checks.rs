// SPDX-License-Identifier: Apache-2.0
//! The checks of a pull in the reference's order (server.md 7.1), with their codes.

use std::sync::Arc;

use kerolox_protocol::body::group::SubscriptionGroupConfig;
use kerolox_protocol::body::heartbeat::{ConsumeType, MessageModel, SubscriptionData};
use kerolox_protocol::body::topic::perm;
use kerolox_protocol::header::pull::{
    PullMessageRequestHeader, PullMessageResponseHeader, pull_flag,
};
use kerolox_protocol::message::name;
use kerolox_protocol::{Command, RequestCode, ResponseCode};

use super::super::reply;
use crate::broker::Broker;
use crate::broker::filters::is_tag;
use crate::broker::read_filter::ReadFilter;
use crate::net::Request;

/// Values of the response field `forbiddenType`.
mod forbidden {
    pub(super) const BROKER: i32 = 1;
    pub(super) const GROUP: i32 = 2;
    pub(super) const TOPIC: i32 = 3;
    pub(super) const BROADCASTING: i32 = 4;
    pub(super) const SUBSCRIPTION: i32 = 5;
}

/// Groups of the reference's tools that pull without a heartbeat.
const TOOL_GROUPS: [&str; 10] = [
    "DEFAULT_CONSUMER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_ONSAPI_PULL",
];

/// What the checks found out.
pub(super) struct Checked {
    pub(super) filter: ReadFilter,
    pub(super) topic_sys_flag: i32,
    pub(super) group: Arc<SubscriptionGroupConfig>,
}

type Refused = Box<Command>;

fn refuse(code: ResponseCode, remark: String) -> Refused {
    Box::new(reply(code, remark))
}

fn forbid(kind: i32, remark: String) -> Refused {
    let fields = PullMessageResponseHeader {
        forbidden_type: Some(kind),
        ..Default::default()
    };
    Box::new(reply(ResponseCode::NO_PERMISSION, remark).with_header(&fields))
}

/// Whether the pull may be served.
pub(super) fn check(
    broker: &Broker,
    request: &Request<'_>,
    header: &PullMessageRequestHeader<'_>,
) -> Result<Checked, Refused> {
    let (group, topic) = (header.consumer_group, header.topic);
    if !perm::is_readable(broker.config.broker_permission) {
        let remark = format!(
            "the broker[{}] pulling message is forbidden",
            broker.store_host
        );
        return Err(forbid(forbidden::BROKER, remark));
    }
    let is_lite = request.command.request_code() == RequestCode::LITE_PULL_MESSAGE;
    if is_lite && !broker.config.lite_pull_message_enable {
        let remark = format!(
            "the broker[{}] for lite pull consumer is forbidden, litePullMessageEnable is false",
            broker.store_host
        );
        return Err(forbid(forbidden::BROKER, remark));
    }
    let Some(group_config) = broker.groups.find(group, request.now_ms) else {
        let remark = format!("subscription group [{group}] does not exist");
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if !group_config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(forbid(forbidden::GROUP, remark));
    }
    let Some(topic_config) = broker.topics.get(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    if !perm::is_readable(topic_config.perm) {
        let remark = format!("the topic[{topic}] pulling message is forbidden");
        return Err(forbid(forbidden::TOPIC, remark));
    }
    let queues = topic_config.read_queue_nums;
    if !(0..queues).contains(&header.queue_id) {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}] consumer:[{}]",
            header.queue_id,
            request.session.peer_text()
        );
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    let filter = if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        from_request(broker, request, header)?
    } else {
        registered(broker, header, &group_config)?
    };
    if broker.config.reject_pull_consumer_enable {
        reject_pull_consumer(broker, request, group)?;
    }
    Ok(Checked {
        filter,
        topic_sys_flag: topic_config.topic_sys_flag,
        group: group_config,
    })
}

/// The filter that the request carries.
fn from_request(
    broker: &Broker,
    request: &Request<'_>,
    header: &PullMessageRequestHeader<'_>,
) -> Result<ReadFilter, Refused> {
    let (group, topic) = (header.consumer_group, header.topic);
    let unparsable = |reason: &str| {
        let remark = format!(
            "parse the consumer's subscription failed, group: {group}, topic: {topic}: {reason}"
        );
        refuse(ResponseCode::SUBSCRIPTION_PARSE_FAILED, remark)
    };
    let kind = header
        .expression_type
        .filter(|kind| !kind.is_empty())
        .unwrap_or("TAG");
    let expression = match header.subscription.filter(|text| !text.is_empty()) {
        Some(expression) => expression,
        None if is_tag(kind) => "*",
        None => return Err(unparsable(&format!("the {kind} expression is missing"))),
    };
    let now_ms = request.now_ms;
    let again = broker
        .clients
        .pulled_again(group, topic, expression, kind, now_ms);
    let subscription = match again {
        Some(subscription) => subscription,
        None if is_tag(kind) && expression.bytes().all(|byte| byte == b'|') => {
            return Err(unparsable("there is no tag in it"));
        }
        None => {
            let mut made = SubscriptionData::tags(topic, "*", now_ms);
            if is_tag(kind) {
                made = SubscriptionData::tags(topic, expression, now_ms);
            } else {
                expression.clone_into(&mut made.sub_string);
                kind.clone_into(&mut made.expression_type);
            }
            let made = Arc::new(made);
            broker.clients.pulled(group, &made, now_ms);
            made
        }
    };
    if is_tag(kind) {
        return Ok(ReadFilter::by_tags(subscription));
    }
    check_property_filter(broker, kind)?;
    match broker.filters.compile(kind, expression) {
        Ok(filter) => Ok(ReadFilter::Expression(filter)),
        Err(error) => Err(unparsable(&error.to_string())),
    }
}

/// The filter of the group's heartbeats.
fn registered(
    broker: &Broker,
    header: &PullMessageRequestHeader<'_>,
    group_config: &SubscriptionGroupConfig,
) -> Result<ReadFilter, Refused> {
    let (group, topic) = (header.consumer_group, header.topic);
    let Some(message_model) = broker.clients.message_model(group) else {
        let remark =
            format!("the consumer's group info not exist, group: {group}; send a heartbeat first");
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark));
    };
    if message_model == MessageModel::Broadcasting && !group_config.consume_broadcast_enable {
        let remark = format!("the consumer group[{group}] can not consume by broadcast way");
        return Err(forbid(forbidden::BROADCASTING, remark));
    }
    if broker.groups.is_read_forbidden(group, topic) {
        let remark = format!("the consumer group[{group}] is forbidden for topic[{topic}]");
        return Err(forbid(forbidden::SUBSCRIPTION, remark));
    }
    let Some(subscription) = broker.clients.subscription(group, topic) else {
        let remark =
            format!("the consumer's subscription not exist, group: {group}, topic: {topic}");
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark));
    };
    if subscription.sub_version < header.sub_version {
        let remark = format!(
            "the consumer's subscription not latest: the broker has version {}, the pull {}",
            subscription.sub_version, header.sub_version
        );
        return Err(refuse(ResponseCode::SUBSCRIPTION_NOT_LATEST, remark));
    }
    if is_tag(&subscription.expression_type) {
        return Ok(ReadFilter::by_tags(subscription));
    }
    let Some(found) = broker.filters.get(topic, group) else {
        let remark = format!(
            "the broker's consumer filter data is not exist, group: {group}, topic: {topic}; the expression '{}' of \
             type {} may be wrong",
            subscription.sub_string, subscription.expression_type
        );
        return Err(refuse(ResponseCode::FILTER_DATA_NOT_EXIST, remark));
    };
    if found.version < header.sub_version {
        let remark = format!(
            "the consumer's consumer filter data not latest: the broker has version {}, the pull {}",
            found.version, header.sub_version
        );
        return Err(refuse(ResponseCode::FILTER_DATA_NOT_LATEST, remark));
    }
    check_property_filter(broker, &subscription.expression_type)?;
    if subscription.class_filter_mode {
        return Ok(ReadFilter::All);
    }
    Ok(ReadFilter::Registered(found))
}

fn check_property_filter(broker: &Broker, kind: &str) -> Result<(), Refused> {
    property_filter(broker, kind).map_err(|remark| refuse(ResponseCode::SYSTEM_ERROR, remark))
}

/// Whether messages may be filtered by something else than tags; the remark if not.
pub(in crate::broker::processor) fn property_filter(
    broker: &Broker,
    kind: &str,
) -> Result<(), String> {
    if broker.config.enable_property_filter {
        return Ok(());
    }
    Err(format!(
        "The broker does not support consumer to filter message by {kind}; enablePropertyFilter is false"
    ))
}

/// With `rejectPullConsumerEnable` only members of the group pull, unless it is a group of the tools.
fn reject_pull_consumer(
    broker: &Broker,
    request: &Request<'_>,
    group: &str,
) -> Result<(), Refused> {
    let view = broker.clients.consumer_group(group);
    let is_active = view
        .as_ref()
        .is_none_or(|view| view.consume_type == ConsumeType::ConsumeActively);
    let is_member = view.is_some_and(|view| {
        let mut members = view.members.iter();
        members.any(|member| member.session.id() == request.session.id())
    });
    if !is_active || is_member || TOOL_GROUPS.contains(&group) || name::is_system_group(group) {
        return Ok(());
    }
    let remark = format!(
        "the consumer's group info not exist, or the pull consumer is rejected by server, group: {group}; \
         rejectPullConsumerEnable is true"
    );
    Err(refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, remark))
}
