// SPDX-License-Identifier: Apache-2.0
//! Who has to learn that the smallest id of a broker set changed. Facts: server.md 1.4.

use kerolox_protocol::body::route::BrokerData;
use kerolox_protocol::header::route::NotifyMinBrokerIdChangeRequestHeader;
use kerolox_protocol::{Command, RequestCode};

/// NOTIFY_MIN_BROKER_ID_CHANGE with those that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinIdNotice {
    /// Addresses of the brokers, `host:port`.
    pub recipients: Vec<String>,
    /// The smallest id now.
    pub min_broker_id: i64,
    /// Its address.
    pub min_broker_addr: String,
    /// Address of the broker that left.
    pub offline_broker_addr: Option<String>,
    /// Replication address of the broker that came.
    pub ha_broker_addr: Option<String>,
}

impl MinIdNotice {
    /// A broker with a smaller id came: the others learn of it, or it alone if there are none.
    pub(super) fn gained(set: &BrokerData, ha_address: &str) -> Option<Self> {
        let (id, address) = set.broker_addrs.first_key_value()?;
        let is_alone = set.broker_addrs.len() == 1;
        let others = set
            .broker_addrs
            .iter()
            .filter(|(other, _)| is_alone || *other != id);
        Some(Self {
            recipients: others.map(|(_, address)| address.clone()).collect(),
            min_broker_id: *id,
            min_broker_addr: address.clone(),
            offline_broker_addr: None,
            ha_broker_addr: Some(ha_address.to_owned()),
        })
    }

    /// The broker with the smallest id left: all that remain learn of it, if one of them may stand in for a master.
    pub(super) fn lost(set: &BrokerData, offline: &str) -> Option<Self> {
        let (id, address) = set.broker_addrs.first_key_value()?;
        set.enable_acting_master.then(|| Self {
            recipients: set.broker_addrs.values().cloned().collect(),
            min_broker_id: *id,
            min_broker_addr: address.clone(),
            offline_broker_addr: Some(offline.to_owned()),
            ha_broker_addr: None,
        })
    }

    /// The request.
    pub fn command(&self) -> Command {
        let header = NotifyMinBrokerIdChangeRequestHeader {
            min_broker_id: Some(self.min_broker_id),
            broker_name: None,
            min_broker_addr: Some(&self.min_broker_addr),
            offline_broker_addr: self.offline_broker_addr.as_deref(),
            ha_broker_addr: self.ha_broker_addr.as_deref(),
        };
        Command::request(RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE, &header)
    }
}
