// SPDX-License-Identifier: Apache-2.0
//! How far the members of a consumer group came, by their own account. Source: wire.md 2.3, 2.5.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::QueueMap;

/// Answer of a client to GET_CONSUMER_STATUS_FROM_CLIENT, and of a broker to INVOKE_BROKER_TO_GET_CONSUMER_STATUS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// Of a broker: offsets by client id.
    pub consumer_table: BTreeMap<String, QueueMap<i64>>,
    /// Of a client: its own offsets.
    pub message_queue_table: QueueMap<i64>,
}
