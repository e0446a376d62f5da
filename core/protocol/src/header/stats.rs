// SPDX-License-Identifier: Apache-2.0
//! Headers of statistics and of questions about groups and queues. Source: wire.md 2.6.

use super::header;

header! {
    /// VIEW_BROKER_STATS_DATA.
    pub struct ViewBrokerStatsDataRequestHeader<'a> {
        /// Item, such as `TOPIC_PUT_NUMS`.
        "statsName" stats_name: &'a str,
        /// Its key: a topic, `topic@group`, the cluster and others, by item.
        "statsKey" stats_key: &'a str,
    }
}

header! {
    /// GET_CONSUME_STATS.
    pub struct GetConsumeStatsRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Only this topic; empty or absent is all that the group committed offsets of.
        "topic" topic: Option<&'a str>,
        /// Only these topics, joined by `;`.
        "topicList" topic_list: Option<&'a str>,
    }
}

header! {
    /// GET_BROKER_CONSUME_STATS.
    pub struct GetBrokerConsumeStatsRequestHeader {
        /// Ordered topics only.
        "isOrder" is_order: bool,
    }
}

header! {
    /// QUERY_SUBSCRIPTION_BY_CONSUMER.
    pub struct QuerySubscriptionByConsumerRequestHeader<'a> {
        /// Consumer group.
        "group" group: &'a str,
        /// Topic.
        "topic" topic: Option<&'a str>,
    }
}

header! {
    /// QUERY_CONSUME_QUEUE.
    pub struct QueryConsumeQueueRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// First queue offset.
        "index" index: i64,
        /// How many units.
        "count" count: i32,
        /// Group whose subscription is asked for.
        "consumerGroup" consumer_group: Option<&'a str>,
    }
}

header! {
    /// SET_COMMITLOG_READ_MODE.
    pub struct SetCommitLogReadModeRequestHeader<'a> {
        /// 0: the system reads ahead; 1: it does not.
        "READ_AHEAD_MODE" read_ahead_mode: &'a str,
    }
}

header! {
    /// RESET_MASTER_FLUSH_OFFSET.
    pub struct ResetMasterFlushOffsetRequestHeader {
        /// Commit-log offset up to which the master is on disk.
        "masterFlushOffset" master_flush_offset: i64,
    }
}

header! {
    /// AUTH_CREATE_USER, AUTH_UPDATE_USER, AUTH_DELETE_USER, AUTH_GET_USER.
    pub struct UserRequestHeader<'a> {
        /// Name.
        "username" username: Option<&'a str>,
    }
}

header! {
    /// EXPORT_ROCKSDB_CONFIG_TO_JSON.
    pub struct ExportRocksDbConfigRequestHeader<'a> {
        /// `topics`, `subscriptionGroups`, `consumerOffsets`, joined by `;`.
        "configType" config_type: &'a str,
    }
}
