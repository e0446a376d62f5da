// SPDX-License-Identifier: Apache-2.0
//! Who is connected. Source: wire.md 4.9.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};

/// One connected client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connection {
    /// `host:port` of the client.
    pub client_addr: String,
    /// Client id.
    pub client_id: String,
    /// Language.
    pub language: String,
    /// Version.
    pub version: i32,
}

/// Answer of GET_CONSUMER_CONNECTION_LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerConnection {
    /// Members.
    pub connection_set: Vec<Connection>,
    /// Where a new group starts.
    pub consume_from_where: ConsumeFromWhere,
    /// Pull, push or pop.
    pub consume_type: ConsumeType,
    /// Broadcasting or clustering.
    pub message_model: MessageModel,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Answer of GET_PRODUCER_CONNECTION_LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerConnection {
    /// Members.
    pub connection_set: Vec<Connection>,
}

/// One connected producer, as GET_ALL_PRODUCER_INFO tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerInfo {
    /// Client id.
    pub client_id: String,
    /// Language.
    pub language: String,
    /// When it was last heard of, milliseconds since the epoch.
    pub last_update_timestamp: i64,
    /// `/host:port` of the client.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Version.
    pub version: i32,
}

/// Answer of GET_ALL_PRODUCER_INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerTable {
    /// Members by group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}
