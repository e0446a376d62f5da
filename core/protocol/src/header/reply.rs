// SPDX-License-Identifier: Apache-2.0
//! Header of a reply on its way to who asked: code 326. Source: wire.md 2.3, 5.10.

use super::header;

header! {
    /// PUSH_REPLY_MESSAGE_TO_CLIENT.
    pub struct ReplyMessageRequestHeader<'a> {
        /// Producer group of who replies.
        "producerGroup" producer_group: &'a str,
        /// Reply topic.
        "topic" topic: &'a str,
        /// Topic whose settings an auto-created topic takes.
        "defaultTopic" default_topic: &'a str,
        /// Queues of an auto-created topic.
        "defaultTopicQueueNums" default_topic_queue_nums: i32,
        /// Queue.
        "queueId" queue_id: i32,
        /// Bits of wire.md 5.3.
        "sysFlag" sys_flag: i32,
        /// Milliseconds since the epoch, from who replies.
        "bornTimestamp" born_timestamp: i64,
        /// The application's flag.
        "flag" flag: i32,
        /// Properties text.
        "properties" properties: Option<&'a str>,
        /// How often the message was consumed before.
        "reconsumeTimes" reconsume_times: Option<i32>,
        /// Unit mode.
        "unitMode" unit_mode: Option<bool>,
        /// Who replies, `host:port`.
        "bornHost" born_host: &'a str,
        /// The broker, `host:port`.
        "storeHost" store_host: &'a str,
        /// When the broker pushed it, milliseconds since the epoch.
        "storeTimestamp" store_timestamp: i64,
    }
}
