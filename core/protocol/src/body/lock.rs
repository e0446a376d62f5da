// SPDX-License-Identifier: Apache-2.0
//! Queue locks of ordered consumption. Source: wire.md 4.7.

use serde::{Deserialize, Serialize};

use super::queue::MessageQueue;

/// Body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LockBatchRequest {
    /// Who locks.
    pub client_id: String,
    /// For which group.
    pub consumer_group: String,
    /// Which queues.
    pub mq_set: Vec<MessageQueue>,
    /// Do not ask other replicas.
    pub only_this_broker: bool,
}

/// Answer of LOCK_BATCH_MQ: the queues that the client holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponse {
    /// Locked queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}
