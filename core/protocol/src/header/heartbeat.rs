// SPDX-License-Identifier: Apache-2.0
//! Headers of client registration: codes 34, 35, 38, 40. Source: wire.md 2.2, 2.3.

use super::header;

header! {
    /// Answer of HEART_BEAT.
    pub struct HeartbeatResponseHeader {
        /// The broker knows heartbeats without subscriptions.
        "IS_SUPPORT_HEART_BEAT_V2" is_support_heart_beat_v2: Option<bool>,
        /// The group's subscriptions differ from the last fingerprint.
        "IS_SUB_CHANGE" is_sub_change: Option<bool>,
    }
}

header! {
    /// UNREGISTER_CLIENT.
    pub struct UnregisterClientRequestHeader<'a> {
        /// Client id; the capitals are the reference's.
        "clientID" client_id: &'a str,
        /// Producer group to leave.
        "producerGroup" producer_group: Option<&'a str>,
        /// Consumer group to leave.
        "consumerGroup" consumer_group: Option<&'a str>,
    }
}

header! {
    /// GET_CONSUMER_LIST_BY_GROUP, NOTIFY_CONSUMER_IDS_CHANGED, GET_CONSUMER_CONNECTION_LIST.
    pub struct ConsumerGroupRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
    }
}

header! {
    /// GET_PRODUCER_CONNECTION_LIST.
    pub struct ProducerGroupRequestHeader<'a> {
        /// Producer group.
        "producerGroup" producer_group: &'a str,
    }
}
