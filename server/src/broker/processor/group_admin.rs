// SPDX-License-Identifier: Apache-2.0
//! Administration of consumer groups.

use kerolox_protocol::ResponseCode;
use kerolox_protocol::body;
use kerolox_protocol::body::group::{
    SubscriptionGroupConfig, SubscriptionGroupList, SubscriptionGroupTable,
};
use kerolox_protocol::header::admin::{
    DeleteSubscriptionGroupRequestHeader, GetAllSubscriptionGroupRequestHeader,
    GetAllSubscriptionGroupResponseHeader, GroupRequestHeader,
};
use kerolox_protocol::message::name;

use super::topic_admin::page;
use crate::broker::Broker;
use crate::net::{Outcome, Request};
use crate::refusal::{Refusal, answer, success};

/// Most queues of a retry topic.
const MAX_RETRY_QUEUES: i32 = 65_535;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
pub(crate) fn update_and_create_subscriptiongroup(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    answer(|| {
        let wanted: SubscriptionGroupConfig = body::decode(&request.command.body)?;
        let config = checked(broker, wanted)?;
        broker.groups.update([config], request.now_ms);
        Ok(success())
    })
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: one bad group refuses all.
pub(crate) fn update_and_create_subscriptiongroup_list(
    broker: &Broker,
    request: &Request<'_>,
) -> Outcome {
    answer(|| {
        let wanted: SubscriptionGroupList = body::decode(&request.command.body)?;
        let configs = wanted.group_config_list.into_iter();
        let configs = configs
            .map(|config| checked(broker, config))
            .collect::<Result<Vec<_>, _>>()?;
        if !configs.is_empty() {
            broker.groups.update(configs, request.now_ms);
        }
        Ok(success())
    })
}

/// The settings with the group's attributes, if everything about them is allowed.
fn checked(
    broker: &Broker,
    mut config: SubscriptionGroupConfig,
) -> Result<SubscriptionGroupConfig, Refusal> {
    let invalid = |remark| Refusal::new(ResponseCode::INVALID_PARAMETER, remark);
    let group = &config.group_name;
    name::check_group_on_broker(group)
        .map_err(|error| invalid(format!("group '{group}': {error}")))?;
    let queues = config.retry_queue_nums;
    if !(0..=MAX_RETRY_QUEUES).contains(&queues) {
        let remark = format!(
            "retryQueueNums of group '{group}' is {queues}, allowed: 0 to {MAX_RETRY_QUEUES}"
        );
        return Err(invalid(remark));
    }
    // A request names changes of attributes, and the reference knows none of groups.
    if let Some(attribute) = config.attributes.keys().next() {
        let remark =
            format!("attribute '{attribute}' of group '{group}' is unknown, allowed: none");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
    }
    if let Some(present) = broker.groups.get(group) {
        config.attributes.clone_from(&present.attributes);
    }
    Ok(config)
}

/// DELETE_SUBSCRIPTIONGROUP.
pub(crate) fn delete_subscriptiongroup(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let unwanted: DeleteSubscriptionGroupRequestHeader<'_> = request.command.header()?;
        broker.groups.remove(unwanted.group_name, request.now_ms);
        if unwanted.clean_offset == Some(true) {
            broker.offsets.remove_group(unwanted.group_name);
        }
        broker.stats.forget_group(unwanted.group_name);
        Ok(success())
    })
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG: all groups, or a page of them.
pub(crate) fn get_all_subscriptiongroup_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GetAllSubscriptionGroupRequestHeader<'_> = request.command.header()?;
        let table = broker.groups.snapshot();
        let total = i32::try_from(table.subscription_group_table.len()).unwrap_or(i32::MAX);
        let (version, have) = (wanted.data_version, wanted.group_seq);
        let (skip, take) = page(
            broker,
            table.data_version,
            version,
            have,
            wanted.max_group_num,
        );
        let groups = table
            .subscription_group_table
            .into_iter()
            .skip(skip)
            .take(take);
        let table = SubscriptionGroupTable {
            subscription_group_table: groups.collect(),
            ..table
        };
        let header = GetAllSubscriptionGroupResponseHeader {
            total_group_num: Some(total),
        };
        Ok(success()
            .with_header(&header)
            .with_body(body::encode(&table)))
    })
}

/// GET_SUBSCRIPTIONGROUP_CONFIG.
pub(crate) fn get_subscriptiongroup_config(broker: &Broker, request: &Request<'_>) -> Outcome {
    answer(|| {
        let wanted: GroupRequestHeader<'_> = request.command.header()?;
        match broker.groups.get(wanted.group) {
            Some(config) => Ok(success().with_body(body::encode(config.as_ref()))),
            None => Err(Refusal::new(
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
                format!(
                    "consumer group '{}' does not exist on this broker",
                    wanted.group
                ),
            )),
        }
    })
}
