// SPDX-License-Identifier: Apache-2.0
//! Telling brokers who is here: heartbeats, and leaving.

use std::time::Duration;

use bytes::Bytes;
use kerolox_protocol::body::heartbeat::{HeartbeatData, ProducerData};
use kerolox_protocol::header::NoHeader;
use kerolox_protocol::header::heartbeat::UnregisterClientRequestHeader;
use kerolox_protocol::{RequestCode, ResponseCode, body};

use super::route::MASTER;
use super::{BACKGROUND_TIMEOUT, Instance, broker_error};
use crate::error::Result;

impl Instance {
    /// Tells every broker of every known route who is here; producers alone tell masters only. The number of brokers
    /// that heard it.
    pub(crate) async fn heartbeat(&self) -> usize {
        let Some((body, has_consumers)) = self.heartbeat_body() else {
            return 0;
        };
        let mut heard = 0;
        for address in self.heartbeat_addresses(has_consumers) {
            match self.send_heartbeat(&address, &body).await {
                Ok(()) => heard += 1,
                Err(error) => {
                    tracing::warn!(client_id = self.client_id, address, %error, "no heartbeat");
                    self.suspect_routes();
                }
            }
        }
        heard
    }

    /// Tells one broker who is here.
    pub(crate) async fn heartbeat_to(&self, address: &str) -> Result<()> {
        match self.heartbeat_body() {
            Some((body, _)) => self.send_heartbeat(address, &body).await,
            None => Ok(()),
        }
    }

    /// Tells a broker that has just been connected to who is here; `false` if it is none, or did not hear it.
    pub(super) async fn heartbeat_to_new(&self, address: &str) -> bool {
        let Some((body, has_consumers)) = self.heartbeat_body() else {
            return false;
        };
        if !self
            .heartbeat_addresses(has_consumers)
            .iter()
            .any(|known| known == address)
        {
            return false;
        }
        match self.send_heartbeat(address, &body).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(client_id = self.client_id, address, %error, "no heartbeat");
                false
            }
        }
    }

    fn heartbeat_addresses(&self, has_consumers: bool) -> Vec<String> {
        let mut addresses: Vec<String> = self
            .routes
            .brokers()
            .into_values()
            .flatten()
            .filter(|(id, _)| has_consumers || *id == MASTER)
            .map(|(_, address)| address)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn heartbeat_body(&self) -> Option<(Bytes, bool)> {
        let producers = self.producers.lock().clone();
        let members = self.members();
        if producers.is_empty() && members.is_empty() {
            return None;
        }
        let data = HeartbeatData {
            client_id: self.client_id.clone(),
            consumer_data_set: members
                .iter()
                .filter_map(|member| member.heartbeat_data())
                .collect(),
            producer_data_set: producers
                .into_iter()
                .map(|group_name| ProducerData { group_name })
                .collect(),
            ..HeartbeatData::default()
        };
        Some((body::encode(&data).into(), !members.is_empty()))
    }

    async fn send_heartbeat(&self, address: &str, body: &Bytes) -> Result<()> {
        let code = RequestCode::HEART_BEAT;
        let response = self
            .call(address, code, &NoHeader, body, BACKGROUND_TIMEOUT)
            .await?;
        if response.code == ResponseCode::SUCCESS.0 {
            return Ok(());
        }
        Err(broker_error("heartbeat", &response, address))
    }

    /// Tells every broker that a group of this client has gone; failures are only logged.
    pub(crate) async fn leave(&self, producer_group: Option<&str>, consumer_group: Option<&str>) {
        if let Some(group) = producer_group {
            self.forget_producer(group);
        }
        if let Some(group) = consumer_group {
            self.forget_consumer(group);
        }
        let header = UnregisterClientRequestHeader {
            client_id: &self.client_id,
            producer_group,
            consumer_group,
        };
        for address in self.heartbeat_addresses(true) {
            // A broker without a connection has forgotten the client already.
            let Some(connection) = self.pool.existing(&address) else {
                continue;
            };
            let code = RequestCode::UNREGISTER_CLIENT;
            let timeout = Duration::from_secs(1);
            let left = connection
                .request_typed(code, &header, &Bytes::new(), timeout)
                .await;
            if let Err(error) = left {
                tracing::debug!(client_id = self.client_id, address, %error, "left without a word");
            }
        }
    }
}
