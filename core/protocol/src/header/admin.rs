// SPDX-License-Identifier: Apache-2.0
//! Headers of administration: topics and subscription groups. Source: wire.md 2.6.

use super::header;

header! {
    /// UPDATE_AND_CREATE_TOPIC.
    pub struct CreateTopicRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// `TBW102`, unused.
        "defaultTopic" default_topic: Option<&'a str>,
        /// Queues that consumers see.
        "readQueueNums" read_queue_nums: i32,
        /// Queues that producers see.
        "writeQueueNums" write_queue_nums: i32,
        /// Bits 1 inherit, 2 write, 4 read.
        "perm" perm: i32,
        /// `SINGLE_TAG` or `MULTI_TAG`.
        "topicFilterType" topic_filter_type: Option<&'a str>,
        /// Bits 1 unit, 2 has a unit subscription.
        "topicSysFlag" topic_sys_flag: Option<i32>,
        /// Ordered topic.
        "order" order: Option<bool>,
        /// `+key=value,-key`.
        "attributes" attributes: Option<&'a str>,
        /// Create in spite of static-topic mappings.
        "force" force: Option<bool>,
    }
}

header! {
    /// DELETE_TOPIC_IN_BROKER, GET_TOPIC_CONFIG and others that name a topic.
    pub struct TopicRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
    }
}

header! {
    /// GET_ALL_TOPIC_CONFIG; old clients send no field and want everything.
    pub struct GetAllTopicConfigRequestHeader<'a> {
        /// Topics that the sender has already.
        "topicSeq" topic_seq: Option<i32>,
        /// DataVersion as JSON text that those are of.
        "dataVersion" data_version: Option<&'a str>,
        /// Most topics wanted.
        "maxTopicNum" max_topic_num: Option<i32>,
    }
}

header! {
    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG; old clients send no field and want everything.
    pub struct GetAllSubscriptionGroupRequestHeader<'a> {
        /// Groups that the sender has already.
        "groupSeq" group_seq: Option<i32>,
        /// DataVersion as JSON text that those are of.
        "dataVersion" data_version: Option<&'a str>,
        /// Most groups wanted.
        "maxGroupNum" max_group_num: Option<i32>,
    }
}

header! {
    /// DELETE_SUBSCRIPTIONGROUP.
    pub struct DeleteSubscriptionGroupRequestHeader<'a> {
        /// Group.
        "groupName" group_name: &'a str,
        /// Remove its offsets too.
        "cleanOffset" clean_offset: Option<bool>,
    }
}

header! {
    /// GET_SUBSCRIPTIONGROUP_CONFIG.
    pub struct GroupRequestHeader<'a> {
        /// Group.
        "group" group: &'a str,
    }
}

header! {
    /// Answer of GET_ALL_TOPIC_CONFIG.
    pub struct GetAllTopicConfigResponseHeader {
        /// Topics in all.
        "totalTopicNum" total_topic_num: Option<i32>,
    }
}

header! {
    /// Answer of GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
    pub struct GetAllSubscriptionGroupResponseHeader {
        /// Groups in all.
        "totalGroupNum" total_group_num: Option<i32>,
    }
}

header! {
    /// Answer of GET_BROKER_CONFIG.
    pub struct GetBrokerConfigResponseHeader<'a> {
        /// DataVersion as JSON text.
        "version" version: &'a str,
    }
}
