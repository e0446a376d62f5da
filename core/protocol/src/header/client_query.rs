// SPDX-License-Identifier: Apache-2.0
//! Headers of questions that a broker passes on to a client: codes 221, 223, 307, 309. Source: wire.md 2.3, 2.5.

use super::header;

header! {
    /// GET_CONSUMER_RUNNING_INFO.
    pub struct GetConsumerRunningInfoRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Client id of the member that is asked.
        "clientId" client_id: &'a str,
        /// The client adds the stacks of its threads.
        "jstackEnable" jstack_enable: Option<bool>,
    }
}

header! {
    /// CONSUME_MESSAGE_DIRECTLY.
    pub struct ConsumeMessageDirectlyRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Client id of the member that consumes.
        "clientId" client_id: Option<&'a str>,
        /// Offset message id.
        "msgId" msg_id: Option<&'a str>,
        /// Broker that has the message; the broker fills it in.
        "brokerName" broker_name: Option<&'a str>,
        /// Topic of the message.
        "topic" topic: Option<&'a str>,
        /// Bits of the topic; the broker fills them in.
        "topicSysFlag" topic_sys_flag: Option<i32>,
        /// Bits of the group; the broker fills them in.
        "groupSysFlag" group_sys_flag: Option<i32>,
    }
}

header! {
    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS, and GET_CONSUMER_STATUS_FROM_CLIENT from broker to client.
    pub struct GetConsumerStatusRequestHeader<'a> {
        /// Topic whose queues are asked for.
        "topic" topic: &'a str,
        /// Consumer group.
        "group" group: &'a str,
        /// Client id of the one member to ask; all if it is missing.
        "clientAddr" client_addr: Option<&'a str>,
    }
}
