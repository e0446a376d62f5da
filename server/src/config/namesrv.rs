// SPDX-License-Identifier: Apache-2.0
//! Settings of the name server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::keys::keys;

keys! {
    /// Settings of a name server.
    pub struct NamesrvConfig {
        /// Address to listen on; loopback if nobody chose one.
        "bindAddress" bind_address: Option<IpAddr> = None,
        /// Port to listen on; 0 takes a free one.
        "listenPort" listen_port: u16 = 9876,
        /// Where the key-value configuration is kept; in memory only if not set.
        "kvConfigPath" kv_config_path: Option<PathBuf> = default_kv_path(),
        /// Milliseconds between two scans for silent brokers.
        "scanNotActiveBrokerInterval" scan_not_active_broker_interval: u64 = 5_000,
        /// Routes carry the order configuration.
        "orderMessageEnable" order_message_enable: bool = false,
        /// Registrations are answered with the order configuration.
        "returnOrderTopicConfigToBroker" return_order_topic_config_to_broker: bool = true,
        /// GET_ALL_TOPIC_LIST_FROM_NAMESERVER is answered.
        "enableAllTopicList" enable_all_topic_list: bool = true,
        /// The other topic lists are answered.
        "enableTopicList" enable_topic_list: bool = true,
        /// A full registration removes the topics that it does not name.
        "deleteTopicWithBrokerRegistration" delete_topic_with_broker_registration: bool = false,
        /// A slave may act as master.
        "supportActingMaster" support_acting_master: bool = false,
        /// Seconds after which a silent connection is closed.
        "serverChannelMaxIdleTimeSeconds" server_channel_max_idle_time_seconds: u64 = 120,
    }
}

fn default_kv_path() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join("namesrv").join("kvConfig.json"))
}

impl NamesrvConfig {
    /// Where to listen.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(super::bind_address(self.bind_address), self.listen_port)
    }
}
