// SPDX-License-Identifier: Apache-2.0
//! Administration of topics.

use std::collections::BTreeMap;

use kerolox_protocol::body;
use kerolox_protocol::body::topic::{
    CreateTopicListRequest, DataVersion, TopicConfig, TopicConfigTable, TopicList,
};
use kerolox_protocol::header::admin::{
    CreateTopicRequestHeader, GetAllTopicConfigRequestHeader, GetAllTopicConfigResponseHeader,
    TopicRequestHeader,
};
use kerolox_protocol::message::name;
use kerolox_protocol::{Command, ResponseCode};

use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

mod attributes;

/// Most queues of a topic.
const MAX_QUEUES: i32 = 65_535;

fn invalid(remark: impl Into<String>) -> Refusal {
    Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
}

/// UPDATE_AND_CREATE_TOPIC; answered once name servers know.
pub(crate) fn update_and_create_topic(broker: &Broker, request: &Request<'_>) -> Outcome {
    let create = || {
        let wanted: CreateTopicRequestHeader<'_> = request.command.header()?;
        let changes = attributes::parse(wanted.attributes.unwrap_or(""))?;
        let config = TopicConfig {
            topic_name: wanted.topic.to_owned(),
            read_queue_nums: wanted.read_queue_nums,
            write_queue_nums: wanted.write_queue_nums,
            perm: wanted.perm,
            topic_filter_type: wanted.topic_filter_type.unwrap_or("SINGLE_TAG").to_owned(),
            topic_sys_flag: wanted.topic_sys_flag.unwrap_or(0),
            order: wanted.order.unwrap_or(false),
            attributes: BTreeMap::new(),
        };
        let config = checked(broker, config, &changes)?;
        broker.topics.update([config], request.now_ms);
        Ok(success())
    };
    when_known(broker, request, answer(create))
}

/// UPDATE_AND_CREATE_TOPIC_LIST; answered once name servers know. One bad topic refuses all.
pub(crate) fn update_and_create_topic_list(broker: &Broker, request: &Request<'_>) -> Outcome {
    let create = || {
        let wanted: CreateTopicListRequest = body::decode(&request.command.body)?;
        let mut configs = Vec::with_capacity(wanted.topic_config_list.len());
        for mut config in wanted.topic_config_list {
            let changes: Vec<_> = std::mem::take(&mut config.attributes).into_iter().collect();
            configs.push(checked(broker, config, &changes)?);
        }
        broker.topics.update(configs, request.now_ms);
        Ok(success())
    };
    when_known(broker, request, answer(create))
}

/// Keeps a success back until name servers know the change.
fn when_known(broker: &Broker, request: &Request<'_>, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(reply)
            if reply.response_code() == ResponseCode::SUCCESS && !request.command.is_oneway() =>
        {
            let reply = Command {
                opaque: request.command.opaque,
                serialize_type: request.command.serialize_type,
                ..reply
            };
            let kept = broker
                .topics
                .changes()
                .reply_when_known(request.session, reply);
            kept.map_or(Outcome::Parked, Outcome::Reply)
        }
        other => other,
    }
}

/// The configuration with its attributes, if everything about it is allowed.
fn checked(
    broker: &Broker,
    mut config: TopicConfig,
    changes: &[(String, String)],
) -> Result<TopicConfig, Refusal> {
    let topic = &config.topic_name;
    name::check_topic(topic).map_err(|error| invalid(format!("topic '{topic}': {error}")))?;
    if broker.config.validate_system_topic_when_update_topic && broker.topics.is_system(topic) {
        return Err(invalid(format!(
            "topic '{topic}' belongs to the system and can not be changed"
        )));
    }
    for (key, value, max) in [
        ("readQueueNums", config.read_queue_nums, MAX_QUEUES),
        ("writeQueueNums", config.write_queue_nums, MAX_QUEUES),
        ("perm", config.perm, 7),
    ] {
        if !(0..=max).contains(&value) {
            return Err(invalid(format!(
                "{key} of topic '{topic}' is {value}, allowed: 0 to {max}"
            )));
        }
    }
    let present = broker.topics.get(topic);
    let before = present.as_ref().map(|present| &present.attributes);
    let mixed = broker.config.enable_mixed_message_type;
    config.attributes = attributes::apply(before, changes, mixed)?;
    Ok(config)
}

/// DELETE_TOPIC_IN_BROKER: the topic, its offsets, its pop retry topics and its queues; answered once name servers know.
pub(crate) fn delete_topic_in_broker(broker: &Broker, request: &Request<'_>) -> Outcome {
    let delete = || {
        let unwanted: TopicRequestHeader<'_> = request.command.header()?;
        let topic = unwanted.topic;
        name::check_topic(topic).map_err(|error| invalid(format!("topic '{topic}': {error}")))?;
        if broker.config.validate_system_topic_when_update_topic && broker.topics.is_system(topic) {
            let remark = format!("topic '{topic}' belongs to the system and can not be deleted");
            return Err(invalid(remark));
        }
        if broker.config.clear_retry_topic_when_delete_topic {
            for group in broker.offsets.groups_of(topic) {
                for separator in ['_', '+'] {
                    let retry = format!("{}{group}{separator}{topic}", name::RETRY_PREFIX);
                    if broker.topics.get(&retry).is_some() {
                        delete_one(broker, &retry, request.now_ms)?;
                    }
                }
            }
        }
        delete_one(broker, topic, request.now_ms)?;
        Ok(success())
    };
    when_known(broker, request, answer(delete))
}

fn delete_one(broker: &Broker, topic: &str, now_ms: i64) -> Result<(), Refusal> {
    broker.topics.remove(topic, now_ms);
    broker.offsets.remove_topic(topic);
    broker.timer.forget_topic(topic);
    broker.stats.forget_topic(&broker.store, topic);
    let flushed = broker.store.delete_topic(topic).map_err(|error| {
        let remark = format!("the queues of topic '{topic}' could not be deleted: {error}");
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    })?;
    broker.flushed(&flushed);
    Ok(())
}

/// Which part of a table a request wants: how many entries it has already and how many more it takes.
pub(super) fn page(
    broker: &Broker,
    ours: DataVersion,
    theirs: Option<&str>,
    have: Option<i32>,
    max: Option<i32>,
) -> (usize, usize) {
    let count = |number: Option<i32>| number.and_then(|number| usize::try_from(number).ok());
    let Some(max) = count(max) else {
        return (0, usize::MAX);
    };
    let version = theirs.filter(|text| !text.is_empty());
    let version = version.and_then(|text| body::decode::<DataVersion>(text.as_bytes()).ok());
    let is_same = version.is_none_or(|theirs| theirs == ours);
    let skip = if is_same { count(have).unwrap_or(0) } else { 0 };
    (skip, max.min(broker.config.split_metadata_size).max(1))
}

/// GET_ALL_TOPIC_CONFIG: all topics, or a page of them.
pub(crate) fn get_all_topic_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetAllTopicConfigRequestHeader<'_> = request.command.header()?;
        let mut table = broker.topics.snapshot();
        let total = i32::try_from(table.topic_config_table.len()).unwrap_or(i32::MAX);
        let (version, have) = (wanted.data_version, wanted.topic_seq);
        let (skip, take) = page(
            broker,
            table.data_version,
            version,
            have,
            wanted.max_topic_num,
        );
        table = TopicConfigTable {
            topic_config_table: table
                .topic_config_table
                .into_iter()
                .skip(skip)
                .take(take)
                .collect(),
            mapping_data_version: Some(DataVersion::default()),
            topic_queue_mapping_detail_map: Some(BTreeMap::new()),
            topic_queue_mapping_info_map: Some(BTreeMap::new()),
            ..table
        };
        let header = GetAllTopicConfigResponseHeader {
            total_topic_num: Some(total),
        };
        Ok(success()
            .with_header(&header)
            .with_body(body::encode(&table)))
    })
}

/// GET_TOPIC_CONFIG.
pub(crate) fn get_topic_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: TopicRequestHeader<'_> = request.command.header()?;
        match broker.topics.get(wanted.topic) {
            Some(config) => Ok(success().with_body(body::encode(config.as_ref()))),
            None => Err(Refusal::new(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("topic '{}' does not exist on this broker", wanted.topic),
            )),
        }
    })
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER.
pub(crate) fn get_system_topic_list_from_broker(
    broker: &Broker,
    _request: &Request<'_>,
) -> Outcome {
    let list = TopicList {
        broker_addr: None,
        topic_list: broker.topics.system_topics(),
    };
    Outcome::Reply(success().with_body(body::encode(&list)))
}
