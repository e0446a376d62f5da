// SPDX-License-Identifier: Apache-2.0
//! What administrators see of a running consumer; the member names are the wire's.

use std::collections::BTreeMap;

use kerolox_protocol::body::heartbeat::SubscriptionData;
use kerolox_protocol::body::queue::QueueMap;
use serde::Serialize;

/// State of a consumer.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunningInfo {
    pub(crate) mq_pop_table: QueueMap<()>,
    pub(crate) mq_table: QueueMap<QueueInfo>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) status_table: BTreeMap<String, ()>,
    pub(crate) subscription_set: Vec<SubscriptionData>,
    pub(crate) user_consumer_info: BTreeMap<String, String>,
}

/// State of one queue of a consumer.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueInfo {
    pub(crate) cached_msg_count: usize,
    pub(crate) cached_msg_max_offset: i64,
    pub(crate) cached_msg_min_offset: i64,
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub(crate) cached_msg_size_in_mib: u64,
    pub(crate) commit_offset: i64,
    /// The reference's spelling.
    pub(crate) droped: bool,
    pub(crate) last_consume_timestamp: i64,
    pub(crate) last_lock_timestamp: i64,
    pub(crate) last_pull_timestamp: i64,
    pub(crate) locked: bool,
    pub(crate) transaction_msg_count: usize,
    pub(crate) transaction_msg_max_offset: i64,
    pub(crate) transaction_msg_min_offset: i64,
    pub(crate) try_unlock_times: i64,
}
