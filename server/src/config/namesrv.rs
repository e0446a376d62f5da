// SPDX-License-Identifier: Apache-2.0
//! Settings of the name server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::ConfigError;
use super::keys::keys;

keys! {
    /// Settings of a name server.
    pub struct NamesrvConfig {
        /// Address to listen on; loopback if nobody chose one.
        "bindAddress" bind_address: Option<IpAddr> = None => local,
        /// Port to listen on; 0 takes a free one.
        "listenPort" listen_port: u16 = 9876 => local,
        /// Where the key-value configuration is kept; in memory only if not set.
        "kvConfigPath" kv_config_path: Option<PathBuf> = default_kv_path() => local,
        /// The file that these settings were read from and remote changes are written to; set by `-c`.
        "configStorePath" config_store_path: Option<PathBuf> = None => local,
        /// Keys that can not be changed remotely, `;` between them.
        "configBlackList" config_black_list: String = "configBlackList;configStorePath;kvConfigPath".to_owned() => local,
        /// Milliseconds between two scans for silent brokers.
        "scanNotActiveBrokerInterval" scan_not_active_broker_interval: u64 = 5_000 => live,
        /// Routes carry the order configuration.
        "orderMessageEnable" order_message_enable: bool = false => live,
        /// Registrations are answered with the order configuration.
        "returnOrderTopicConfigToBroker" return_order_topic_config_to_broker: bool = true => live,
        /// GET_ALL_TOPIC_LIST_FROM_NAMESERVER is answered.
        "enableAllTopicList" enable_all_topic_list: bool = true => live,
        /// The other topic lists are answered.
        "enableTopicList" enable_topic_list: bool = true => live,
        /// A full registration removes the topics that it does not name.
        "deleteTopicWithBrokerRegistration" delete_topic_with_broker_registration: bool = false => live,
        /// A slave may act as master.
        "supportActingMaster" support_acting_master: bool = false => live,
        /// Brokers are told when the smallest id of their set changes.
        "notifyMinBrokerIdChanged" notify_min_broker_id_changed: bool = false => live,
        /// Unregistrations that may wait for others to be done.
        "unRegisterBrokerQueueCapacity" un_register_broker_queue_capacity: usize = 3_000 => live,
        /// Routes are refused for some time after the start, until brokers had time to register.
        "needWaitForService" need_wait_for_service: bool = false => live,
        /// How long, seconds.
        "waitSecondsForService" wait_seconds_for_service: u32 = 45 => live,
        /// Seconds after which a silent connection is closed.
        "serverChannelMaxIdleTimeSeconds" server_channel_max_idle_time_seconds: u64 = 120,
    }
}

fn default_kv_path() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join("namesrv").join("kvConfig.json"))
}

impl NamesrvConfig {
    /// Checks what one key alone can not tell.
    ///
    /// # Errors
    /// The first key that does not fit, with what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            (
                "scanNotActiveBrokerInterval",
                self.scan_not_active_broker_interval,
            ),
            (
                "unRegisterBrokerQueueCapacity",
                self.un_register_broker_queue_capacity as u64,
            ),
            (
                "serverChannelMaxIdleTimeSeconds",
                self.server_channel_max_idle_time_seconds,
            ),
        ] {
            if value == 0 {
                return Err(ConfigError::invalid(key, "0", "whole numbers from 1"));
            }
        }
        Ok(())
    }

    /// The keys that can not be changed remotely.
    pub fn black_list(&self) -> String {
        format!(
            "configBlackList;configStorePath;kvConfigPath;rocketmqHome;{}",
            self.config_black_list
        )
    }

    /// Where to listen.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(super::bind_address(self.bind_address), self.listen_port)
    }
}
