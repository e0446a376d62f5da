// SPDX-License-Identifier: Apache-2.0
//! Headers of pulling: codes 11 and 361. Source: wire.md 6.1.

use super::header;

/// Bits of [`PullMessageRequestHeader::sys_flag`].
pub mod pull_flag {
    /// `commit_offset` is valid.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may hold the request.
    pub const SUSPEND: i32 = 2;
    /// The request carries its subscription.
    pub const SUBSCRIPTION: i32 = 4;
    /// Class filter, legacy.
    pub const CLASS_FILTER: i32 = 8;
    /// Lite pull.
    pub const LITE_PULL: i32 = 16;
}

header! {
    /// PULL_MESSAGE and LITE_PULL_MESSAGE.
    pub struct PullMessageRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// Offset to read from.
        "queueOffset" queue_offset: i64,
        /// Most messages wanted.
        "maxMsgNums" max_msg_nums: i32,
        /// Bits of [`pull_flag`].
        "sysFlag" sys_flag: i32,
        /// Offset to commit if the flag says so.
        "commitOffset" commit_offset: i64,
        /// Longest hold in milliseconds.
        "suspendTimeoutMillis" suspend_timeout_millis: i64,
        /// Filter expression if the flag says so.
        "subscription" subscription: Option<&'a str>,
        /// Version of the subscription.
        "subVersion" sub_version: i64,
        /// `TAG` or `SQL92`.
        "expressionType" expression_type: Option<&'a str>,
        /// Most bytes wanted.
        "maxMsgBytes" max_msg_bytes: Option<i32>,
        /// Who pulls: absent or -1 is a client.
        "requestSource" request_source: Option<i32>,
        /// Client behind a proxy; the misspelling is the reference's.
        "proxyFrowardClientId" proxy_forward_client_id: Option<&'a str>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of a pull; clients need the first four fields on codes 0, 19, 20 and 21.
    pub struct PullMessageResponseHeader {
        /// Broker id to pull from next.
        "suggestWhichBrokerId" suggest_which_broker_id: i64,
        /// Offset to pull next.
        "nextBeginOffset" next_begin_offset: i64,
        /// First offset of the queue.
        "minOffset" min_offset: i64,
        /// Offset after the last one.
        "maxOffset" max_offset: i64,
        /// Static topics only.
        "offsetDelta" offset_delta: Option<i64>,
        /// Sys flag of the topic.
        "topicSysFlag" topic_sys_flag: Option<i32>,
        /// Sys flag of the group.
        "groupSysFlag" group_sys_flag: Option<i32>,
        /// Why the pull is forbidden.
        "forbiddenType" forbidden_type: Option<i32>,
    }
}
