// SPDX-License-Identifier: Apache-2.0
//! State of the replication. Source: wire.md 4.11.

use serde::{Deserialize, Serialize};

/// A slave as its master sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HaConnectionInfo {
    /// Address of the slave.
    pub addr: String,
    /// Bytes that it lacks.
    pub diff: i64,
    /// Whether it is near enough to count.
    pub in_sync: bool,
    /// Commit-log offset that it has confirmed.
    pub slave_ack_offset: i64,
    /// Commit-log offset at which the transfer began.
    pub transfer_from_where: i64,
    /// Bytes a second.
    pub transferred_byte_in_second: i64,
}

/// The connection of a slave to its master, as the slave sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HaClientInfo {
    /// When it read last, milliseconds since the epoch.
    pub last_read_timestamp: i64,
    /// When it wrote last.
    pub last_write_timestamp: i64,
    /// Address of the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_addr: Option<String>,
    /// Commit-log offset up to which the master is on disk.
    pub master_flush_offset: i64,
    /// End of the slave's commit log.
    pub max_offset: i64,
    /// Bytes a second.
    pub transferred_byte_in_second: i64,
}

/// Answer of GET_BROKER_HA_STATUS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HaRuntimeInfo {
    /// Of a slave.
    pub ha_client_runtime_info: HaClientInfo,
    /// Of a master, one for each slave.
    pub ha_connection_info: Vec<HaConnectionInfo>,
    /// Slaves that are in sync.
    pub in_sync_slave_nums: i32,
    /// Whether this is a master.
    pub master: bool,
    /// End of the master's commit log.
    pub master_commit_log_max_offset: i64,
}
