// SPDX-License-Identifier: Apache-2.0
//! Headers of sending: codes 10, 310, 320, 36. Source: wire.md 5.1, 5.11.

use super::header;

header! {
    /// SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE: the long header under one-letter names.
    pub struct SendMessageRequestHeaderV2<'a> {
        /// Producer group.
        "a" producer_group: &'a str,
        /// Topic.
        "b" topic: &'a str,
        /// Topic whose settings an auto-created topic takes, `TBW102`.
        "c" default_topic: &'a str,
        /// Queues of an auto-created topic.
        "d" default_topic_queue_nums: i32,
        /// Queue; negative lets the broker choose.
        "e" queue_id: i32,
        /// Bits of wire.md 5.3.
        "f" sys_flag: i32,
        /// Milliseconds since the epoch, from the producer.
        "g" born_timestamp: i64,
        /// The application's flag.
        "h" flag: i32,
        /// Properties text, wire.md 5.4.
        "i" properties: Option<&'a str>,
        /// How often the message was consumed before.
        "j" reconsume_times: Option<i32>,
        /// Unit mode.
        "k" unit_mode: Option<bool>,
        /// Only for retry topics.
        "l" max_reconsume_times: Option<i32>,
        /// The body is a batch.
        "m" batch: Option<bool>,
        /// Broker name.
        "n" broker_name: Option<&'a str>,
    }
}

header! {
    /// SEND_MESSAGE, the long names.
    pub struct SendMessageRequestHeader<'a> {
        /// Producer group.
        "producerGroup" producer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Topic whose settings an auto-created topic takes.
        "defaultTopic" default_topic: &'a str,
        /// Queues of an auto-created topic.
        "defaultTopicQueueNums" default_topic_queue_nums: i32,
        /// Queue; negative lets the broker choose.
        "queueId" queue_id: i32,
        /// Bits of wire.md 5.3.
        "sysFlag" sys_flag: i32,
        /// Milliseconds since the epoch.
        "bornTimestamp" born_timestamp: i64,
        /// The application's flag.
        "flag" flag: i32,
        /// Properties text.
        "properties" properties: Option<&'a str>,
        /// How often the message was consumed before.
        "reconsumeTimes" reconsume_times: Option<i32>,
        /// Unit mode.
        "unitMode" unit_mode: Option<bool>,
        /// Only for retry topics.
        "maxReconsumeTimes" max_reconsume_times: Option<i32>,
        /// The body is a batch.
        "batch" batch: Option<bool>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

impl<'a> From<SendMessageRequestHeader<'a>> for SendMessageRequestHeaderV2<'a> {
    fn from(long: SendMessageRequestHeader<'a>) -> Self {
        Self {
            producer_group: long.producer_group,
            topic: long.topic,
            default_topic: long.default_topic,
            default_topic_queue_nums: long.default_topic_queue_nums,
            queue_id: long.queue_id,
            sys_flag: long.sys_flag,
            born_timestamp: long.born_timestamp,
            flag: long.flag,
            properties: long.properties,
            reconsume_times: long.reconsume_times,
            unit_mode: long.unit_mode,
            max_reconsume_times: long.max_reconsume_times,
            batch: long.batch,
            broker_name: long.broker_name,
        }
    }
}

header! {
    /// Answer of a send. Codes 0, 10, 11 and 12 carry it and mean "stored".
    pub struct SendMessageResponseHeader<'a> {
        /// Offset message id; of a batch several, joined by commas.
        "msgId" msg_id: &'a str,
        /// Queue that the message went to.
        "queueId" queue_id: i32,
        /// Its offset there; of a batch the first.
        "queueOffset" queue_offset: i64,
        /// The message's unique key.
        "transactionId" transaction_id: Option<&'a str>,
        /// Only of inner batches.
        "batchUniqId" batch_uniq_id: Option<&'a str>,
        /// Only of timer messages.
        "recallHandle" recall_handle: Option<&'a str>,
        /// Region of the broker; the reference's client needs it.
        "MSG_REGION" region: Option<&'a str>,
        /// Whether the broker wants traces.
        "TRACE_ON" trace_on: Option<&'a str>,
    }
}

header! {
    /// CONSUMER_SEND_MSG_BACK.
    pub struct ConsumerSendMsgBackRequestHeader<'a> {
        /// Commit-log offset of the message.
        "offset" offset: i64,
        /// Consumer group.
        "group" group: &'a str,
        /// 0: the broker chooses 3 + times; below 0: dead letter at once.
        "delayLevel" delay_level: i32,
        /// Id of the first try.
        "originMsgId" origin_msg_id: Option<&'a str>,
        /// Topic of the message.
        "originTopic" origin_topic: Option<&'a str>,
        /// Unit mode.
        "unitMode" unit_mode: Option<bool>,
        /// Tries before the dead letter topic.
        "maxReconsumeTimes" max_reconsume_times: Option<i32>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}
