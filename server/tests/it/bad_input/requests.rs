// SPDX-License-Identifier: Apache-2.0
//! The requests of both servers: code, header fields, and a body that is sound.
//!
//! A code that a server dispatches and that stands here is tried field by field. One that does not is tried with
//! random fields only, and the test prints it: add it here.

use std::collections::BTreeMap;

use kerolox_protocol::RequestCode;
use kerolox_protocol::ext::ExtFields;
use kerolox_protocol::header::admin::{
    CreateTopicRequestHeader, DeleteSubscriptionGroupRequestHeader,
    GetAllSubscriptionGroupRequestHeader, GetAllTopicConfigRequestHeader, GroupRequestHeader,
    TopicRequestHeader,
};
use kerolox_protocol::header::heartbeat::{
    ConsumerGroupRequestHeader, ProducerGroupRequestHeader, UnregisterClientRequestHeader,
};
use kerolox_protocol::header::offset::{
    QueryConsumerOffsetRequestHeader, QueueRequestHeader, SearchOffsetRequestHeader,
    UpdateConsumerOffsetRequestHeader, ViewMessageRequestHeader,
};
use kerolox_protocol::header::pull::PullMessageRequestHeader;
use kerolox_protocol::header::query::QueryMessageRequestHeader;
use kerolox_protocol::header::route::{
    BrokerHeartbeatRequestHeader, BrokerIdentityRequestHeader, BrokerNameRequestHeader,
    ClusterRequestHeader, DeleteTopicInNamesrvRequestHeader, GetBrokerMemberGroupRequestHeader,
    GetRouteInfoRequestHeader, KvConfigRequestHeader, NamespaceRequestHeader,
    PutKvConfigRequestHeader, RegisterBrokerRequestHeader,
};
use kerolox_protocol::header::send::{
    ConsumerSendMsgBackRequestHeader, SendMessageRequestHeader, SendMessageRequestHeaderV2,
};
use kerolox_protocol::header::{FieldInfo, FieldKind, Header};

/// A topic that is there.
pub(super) const TOPIC: &str = "bad_input";

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) code: RequestCode,
    pub(super) fields: &'static [FieldInfo],
    pub(super) body: &'static [u8],
    /// The server may hold it.
    pub(super) may_wait: bool,
}

/// The fields of a header.
const fn of<H: Header<'static>>() -> &'static [FieldInfo] {
    H::FIELDS
}

impl Entry {
    const fn new(code: RequestCode, fields: &'static [FieldInfo]) -> Self {
        Self {
            code,
            fields,
            body: b"",
            may_wait: false,
        }
    }

    pub(super) const fn bare(code: RequestCode) -> Self {
        Self::new(code, &[])
    }

    const fn with_body(self, body: &'static [u8]) -> Self {
        Self { body, ..self }
    }

    const fn may_wait(self) -> Self {
        Self {
            may_wait: true,
            ..self
        }
    }

    /// A value that is fine for the field, and as harmless as can be.
    pub(super) fn sound_value(&self, field: &FieldInfo) -> &'static str {
        let is_short_send = matches!(
            self.code,
            RequestCode::SEND_MESSAGE_V2
                | RequestCode::SEND_BATCH_MESSAGE
                | RequestCode::SEND_REPLY_MESSAGE_V2
        );
        match field.name {
            "topic" | "originTopic" => TOPIC,
            "b" if is_short_send => TOPIC,
            "c" if is_short_send => "TBW102",
            "defaultTopic" => "TBW102",
            "consumerGroup" | "producerGroup" | "group" | "groupName" => "bad_input_group",
            "brokerAddr" => "192.0.2.1:1",
            "clusterName" | "cluster" => "nowhere",
            "brokerName" | "bname" => "nobody",
            "perm" => "6",
            "readQueueNums" | "writeQueueNums" | "maxMsgNums" | "maxNum" | "queueNums" => "4",
            "endTimestamp" => "9000000000000",
            "subscription" => "*",
            "topicFilterType" => "SINGLE_TAG",
            _ => match field.kind {
                FieldKind::Text => "x",
                FieldKind::Flag => "false",
                _ => "0",
            },
        }
    }

    /// All fields with sound values.
    pub(super) fn sound_fields(&self) -> ExtFields {
        let mut ext = ExtFields::new();
        for field in self.fields {
            ext.set(field.name, self.sound_value(field));
        }
        ext
    }
}

/// Every field of every request here, once.
pub(super) fn all_fields() -> Vec<FieldInfo> {
    let entries = REQUESTS_OF_BROKER.iter().chain(REQUESTS_OF_NAME_SERVER);
    let fields = entries.flat_map(|entry| entry.fields);
    let by_name: BTreeMap<_, _> = fields.map(|field| (field.name, *field)).collect();
    by_name.into_values().collect()
}

const HEARTBEAT: &[u8] = br#"{"clientID":"c@bad","producerDataSet":[{"groupName":"p"}],"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"topic":"bad_input","subString":"*","subVersion":1}]}]}"#;
const LOCK: &[u8] = br#"{"clientId":"c@bad","consumerGroup":"g","mqSet":[{"topic":"bad_input","brokerName":"b","queueId":0}]}"#;
const TOPICS: &[u8] = br#"{"topicConfigList":[{"topicName":"bad_input_2","readQueueNums":4,"writeQueueNums":4,"perm":6}]}"#;
const GROUP: &[u8] = br#"{"groupName":"bad_input_group","retryMaxTimes":16,"retryQueueNums":1}"#;
const VERSION: &[u8] = br#"{"counter":1,"stateVersion":0,"timestamp":1}"#;
const REGISTRATION: &[u8] = br#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},"topicConfigTable":{"b1":{"topicName":"b1","perm":6},"b2":{"topicName":"b2","perm":6}}}}"#;
const ROUTE: &[u8] = br#"{"brokerDatas":[],"queueDatas":[{"brokerName":"nobody","perm":6,"readQueueNums":4,"writeQueueNums":4}]}"#;

/// What the broker dispatches.
pub(super) const REQUESTS_OF_BROKER: &[Entry] = &[
    Entry::new(RequestCode::SEND_MESSAGE, of::<SendMessageRequestHeader>()).with_body(b"body"),
    Entry::new(
        RequestCode::SEND_MESSAGE_V2,
        of::<SendMessageRequestHeaderV2>(),
    )
    .with_body(b"body"),
    Entry::new(
        RequestCode::SEND_BATCH_MESSAGE,
        of::<SendMessageRequestHeaderV2>(),
    )
    .with_body(b"\0\0\0\x19\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03one\0\0"),
    Entry::new(
        RequestCode::CONSUMER_SEND_MSG_BACK,
        of::<ConsumerSendMsgBackRequestHeader>(),
    ),
    Entry::new(RequestCode::PULL_MESSAGE, of::<PullMessageRequestHeader>()).may_wait(),
    Entry::new(
        RequestCode::LITE_PULL_MESSAGE,
        of::<PullMessageRequestHeader>(),
    )
    .may_wait(),
    Entry::bare(RequestCode::HEART_BEAT).with_body(HEARTBEAT),
    Entry::new(
        RequestCode::UNREGISTER_CLIENT,
        of::<UnregisterClientRequestHeader>(),
    ),
    Entry::bare(RequestCode::CHECK_CLIENT_CONFIG).with_body(
        br#"{"clientId":"c","group":"g","subscriptionData":{"topic":"bad_input","subString":"*"}}"#,
    ),
    Entry::new(
        RequestCode::GET_CONSUMER_CONNECTION_LIST,
        of::<ConsumerGroupRequestHeader>(),
    ),
    Entry::new(
        RequestCode::GET_PRODUCER_CONNECTION_LIST,
        of::<ProducerGroupRequestHeader>(),
    ),
    Entry::new(
        RequestCode::GET_CONSUMER_LIST_BY_GROUP,
        of::<ConsumerGroupRequestHeader>(),
    ),
    Entry::new(
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO,
        of::<TopicRequestHeader>(),
    ),
    Entry::bare(RequestCode::LOCK_BATCH_MQ).with_body(LOCK),
    Entry::bare(RequestCode::UNLOCK_BATCH_MQ).with_body(LOCK),
    Entry::new(
        RequestCode::QUERY_CONSUMER_OFFSET,
        of::<QueryConsumerOffsetRequestHeader>(),
    ),
    Entry::new(
        RequestCode::UPDATE_CONSUMER_OFFSET,
        of::<UpdateConsumerOffsetRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_ALL_CONSUMER_OFFSET),
    Entry::new(
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP,
        of::<SearchOffsetRequestHeader>(),
    ),
    Entry::new(RequestCode::GET_MAX_OFFSET, of::<QueueRequestHeader>()),
    Entry::new(RequestCode::GET_MIN_OFFSET, of::<QueueRequestHeader>()),
    Entry::new(
        RequestCode::GET_EARLIEST_MSG_STORETIME,
        of::<QueueRequestHeader>(),
    ),
    Entry::new(
        RequestCode::GET_TOPIC_STATS_INFO,
        of::<TopicRequestHeader>(),
    ),
    Entry::new(
        RequestCode::VIEW_MESSAGE_BY_ID,
        of::<ViewMessageRequestHeader>(),
    ),
    Entry::new(
        RequestCode::QUERY_MESSAGE,
        of::<QueryMessageRequestHeader>(),
    ),
    Entry::new(
        RequestCode::UPDATE_AND_CREATE_TOPIC,
        of::<CreateTopicRequestHeader>(),
    ),
    Entry::bare(RequestCode::UPDATE_AND_CREATE_TOPIC_LIST).with_body(TOPICS),
    Entry::new(
        RequestCode::GET_ALL_TOPIC_CONFIG,
        of::<GetAllTopicConfigRequestHeader>(),
    ),
    Entry::new(RequestCode::GET_TOPIC_CONFIG, of::<TopicRequestHeader>()),
    Entry::bare(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER),
    Entry::bare(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).with_body(GROUP),
    Entry::new(
        RequestCode::DELETE_SUBSCRIPTIONGROUP,
        of::<DeleteSubscriptionGroupRequestHeader>(),
    ),
    Entry::new(
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
        of::<GetAllSubscriptionGroupRequestHeader>(),
    ),
    Entry::new(
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG,
        of::<GroupRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_BROKER_CONFIG),
    Entry::bare(RequestCode::UPDATE_BROKER_CONFIG).with_body(b"longPollingEnable=true"),
    Entry::bare(RequestCode::GET_BROKER_RUNTIME_INFO),
    // Last: the others want the topic.
    Entry::new(
        RequestCode::DELETE_TOPIC_IN_BROKER,
        of::<TopicRequestHeader>(),
    ),
];

/// What the name server dispatches.
pub(super) const REQUESTS_OF_NAME_SERVER: &[Entry] = &[
    Entry::new(
        RequestCode::GET_ROUTEINFO_BY_TOPIC,
        of::<GetRouteInfoRequestHeader>(),
    ),
    Entry::new(
        RequestCode::REGISTER_BROKER,
        of::<RegisterBrokerRequestHeader>(),
    )
    .with_body(REGISTRATION),
    Entry::new(
        RequestCode::UNREGISTER_BROKER,
        of::<BrokerIdentityRequestHeader>(),
    ),
    Entry::new(
        RequestCode::QUERY_DATA_VERSION,
        of::<BrokerIdentityRequestHeader>(),
    )
    .with_body(VERSION),
    Entry::new(
        RequestCode::BROKER_HEARTBEAT,
        of::<BrokerHeartbeatRequestHeader>(),
    ),
    Entry::new(
        RequestCode::REGISTER_TOPIC_IN_NAMESRV,
        of::<TopicRequestHeader>(),
    )
    .with_body(ROUTE),
    Entry::new(
        RequestCode::DELETE_TOPIC_IN_NAMESRV,
        of::<DeleteTopicInNamesrvRequestHeader>(),
    ),
    Entry::new(
        RequestCode::WIPE_WRITE_PERM_OF_BROKER,
        of::<BrokerNameRequestHeader>(),
    ),
    Entry::new(
        RequestCode::ADD_WRITE_PERM_OF_BROKER,
        of::<BrokerNameRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_BROKER_CLUSTER_INFO),
    Entry::new(
        RequestCode::GET_BROKER_MEMBER_GROUP,
        of::<GetBrokerMemberGroupRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER),
    Entry::new(
        RequestCode::GET_TOPICS_BY_CLUSTER,
        of::<ClusterRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS),
    Entry::bare(RequestCode::GET_UNIT_TOPIC_LIST),
    Entry::bare(RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST),
    Entry::bare(RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST),
    Entry::new(RequestCode::PUT_KV_CONFIG, of::<PutKvConfigRequestHeader>()),
    Entry::new(RequestCode::GET_KV_CONFIG, of::<KvConfigRequestHeader>()),
    Entry::new(RequestCode::DELETE_KV_CONFIG, of::<KvConfigRequestHeader>()),
    Entry::new(
        RequestCode::GET_KVLIST_BY_NAMESPACE,
        of::<NamespaceRequestHeader>(),
    ),
    Entry::bare(RequestCode::GET_NAMESRV_CONFIG),
    Entry::bare(RequestCode::UPDATE_NAMESRV_CONFIG).with_body(b"enableTopicList=true"),
];
