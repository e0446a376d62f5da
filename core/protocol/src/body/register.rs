// SPDX-License-Identifier: Apache-2.0
//! Registration of a broker at a name server. Source: wire.md 4.6.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic::TopicConfigTable;

/// Body of REGISTER_BROKER, uncompressed form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegisterBrokerBody {
    /// Filter servers; legacy.
    pub filter_server_list: Vec<String>,
    /// Topics of the broker.
    pub topic_config_serialize_wrapper: TopicConfigTable,
}

/// Keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KvTable {
    /// The pairs.
    pub table: BTreeMap<String, String>,
}
