// SPDX-License-Identifier: Apache-2.0
//! Headers between brokers, clients and name servers. Source: wire.md 2.4, 2.5.

use super::header;

header! {
    /// GET_ROUTEINFO_BY_TOPIC.
    pub struct GetRouteInfoRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Ask for standard JSON whatever the version.
        "acceptStandardJsonOnly" accept_standard_json_only: Option<bool>,
    }
}

header! {
    /// REGISTER_BROKER.
    pub struct RegisterBrokerRequestHeader<'a> {
        /// Broker name.
        "brokerName" broker_name: &'a str,
        /// `host:port` of the broker.
        "brokerAddr" broker_addr: &'a str,
        /// Cluster.
        "clusterName" cluster_name: &'a str,
        /// `host:port` of its replication port.
        "haServerAddr" ha_server_addr: &'a str,
        /// 0 is the master.
        "brokerId" broker_id: i64,
        /// After how many silent milliseconds the broker is dropped.
        "heartbeatTimeoutMillis" heartbeat_timeout_millis: Option<i64>,
        /// Absent: an old broker.
        "enableActingMaster" enable_acting_master: Option<bool>,
        /// The body is a zlib stream.
        "compressed" compressed: Option<bool>,
        /// CRC of the body as sent, 0 is unchecked.
        "bodyCrc32" body_crc32: Option<i32>,
    }
}

header! {
    /// Answer of REGISTER_BROKER.
    pub struct RegisterBrokerResponseHeader<'a> {
        /// Replication address of the master.
        "haServerAddr" ha_server_addr: Option<&'a str>,
        /// Address of the master.
        "masterAddr" master_addr: Option<&'a str>,
    }
}

header! {
    /// UNREGISTER_BROKER and QUERY_DATA_VERSION.
    pub struct BrokerIdentityRequestHeader<'a> {
        /// Broker name.
        "brokerName" broker_name: &'a str,
        /// `host:port` of the broker.
        "brokerAddr" broker_addr: &'a str,
        /// Cluster.
        "clusterName" cluster_name: &'a str,
        /// 0 is the master.
        "brokerId" broker_id: i64,
    }
}

header! {
    /// Answer of QUERY_DATA_VERSION.
    pub struct QueryDataVersionResponseHeader {
        /// Whether the version differs from the registered one.
        "changed" changed: bool,
    }
}

header! {
    /// BROKER_HEARTBEAT.
    pub struct BrokerHeartbeatRequestHeader<'a> {
        /// Cluster.
        "clusterName" cluster_name: &'a str,
        /// `host:port` of the broker.
        "brokerAddr" broker_addr: &'a str,
        /// Broker name.
        "brokerName" broker_name: &'a str,
        /// 0 is the master.
        "brokerId" broker_id: Option<i64>,
    }
}

header! {
    /// GET_BROKER_MEMBER_GROUP.
    pub struct GetBrokerMemberGroupRequestHeader<'a> {
        /// Cluster.
        "clusterName" cluster_name: &'a str,
        /// Broker name.
        "brokerName" broker_name: &'a str,
    }
}

header! {
    /// WIPE_WRITE_PERM_OF_BROKER and ADD_WRITE_PERM_OF_BROKER.
    pub struct BrokerNameRequestHeader<'a> {
        /// Broker name.
        "brokerName" broker_name: &'a str,
    }
}

header! {
    /// Answer of WIPE_WRITE_PERM_OF_BROKER.
    pub struct WipeWritePermResponseHeader {
        /// Topics changed.
        "wipeTopicCount" wipe_topic_count: i32,
    }
}

header! {
    /// Answer of ADD_WRITE_PERM_OF_BROKER.
    pub struct AddWritePermResponseHeader {
        /// Topics changed.
        "addTopicCount" add_topic_count: i32,
    }
}

header! {
    /// PUT_KV_CONFIG.
    pub struct PutKvConfigRequestHeader<'a> {
        /// Namespace.
        "namespace" namespace: &'a str,
        /// Key.
        "key" key: &'a str,
        /// Value.
        "value" value: &'a str,
    }
}

header! {
    /// GET_KV_CONFIG and DELETE_KV_CONFIG.
    pub struct KvConfigRequestHeader<'a> {
        /// Namespace.
        "namespace" namespace: &'a str,
        /// Key.
        "key" key: &'a str,
    }
}

header! {
    /// Answer of GET_KV_CONFIG.
    pub struct KvConfigResponseHeader<'a> {
        /// Value.
        "value" value: Option<&'a str>,
    }
}

header! {
    /// GET_KVLIST_BY_NAMESPACE.
    pub struct NamespaceRequestHeader<'a> {
        /// Namespace.
        "namespace" namespace: &'a str,
    }
}

header! {
    /// GET_TOPICS_BY_CLUSTER.
    pub struct ClusterRequestHeader<'a> {
        /// Cluster.
        "cluster" cluster: &'a str,
    }
}

header! {
    /// DELETE_TOPIC_IN_NAMESRV.
    pub struct DeleteTopicInNamesrvRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Only in this cluster.
        "clusterName" cluster_name: Option<&'a str>,
    }
}

header! {
    /// NOTIFY_MIN_BROKER_ID_CHANGE, from a name server to brokers, one-way.
    pub struct NotifyMinBrokerIdChangeRequestHeader<'a> {
        /// The smallest id of the set.
        "minBrokerId" min_broker_id: Option<i64>,
        /// Broker name; name servers leave it out.
        "brokerName" broker_name: Option<&'a str>,
        /// Its address.
        "minBrokerAddr" min_broker_addr: Option<&'a str>,
        /// Address of the broker that left.
        "offlineBrokerAddr" offline_broker_addr: Option<&'a str>,
        /// Replication address of the broker that came.
        "haBrokerAddr" ha_broker_addr: Option<&'a str>,
    }
}
