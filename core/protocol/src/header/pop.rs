// SPDX-License-Identifier: Apache-2.0
//! Headers of pop: codes 200050 to 200055. Source: wire.md 2.1, 6.5.

use super::header;

/// Values of [`PopMessageRequestHeader::init_mode`].
pub mod init_mode {
    /// A group without an offset begins at the queue's first message.
    pub const MIN: i32 = 0;
    /// It begins at the newest message, or at the first one of a young queue.
    pub const MAX: i32 = 1;
}

header! {
    /// POP_MESSAGE.
    pub struct PopMessageRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue; -1 is any.
        "queueId" queue_id: i32,
        /// Most messages wanted, up to 32.
        "maxMsgNums" max_msg_nums: i32,
        /// How long the messages are hidden from others, milliseconds.
        "invisibleTime" invisible_time: i64,
        /// Longest hold, milliseconds from `born_time` on.
        "pollTime" poll_time: i64,
        /// When the client sent the request, milliseconds since the epoch; absent or 0 is now.
        "bornTime" born_time: Option<i64>,
        /// One of [`init_mode`].
        "initMode" init_mode: i32,
        /// `TAG` or `SQL92`.
        "expType" exp_type: Option<&'a str>,
        /// Filter expression.
        "exp" exp: Option<&'a str>,
        /// Messages of a queue are handed out in their order.
        "order" order: Option<bool>,
        /// Names the attempt of an ordered pop, so that it can be repeated.
        "attemptId" attempt_id: Option<&'a str>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of POP_MESSAGE; clients need it on codes 0, 209 and 210. PEEK_MESSAGE fills in the rest only.
    pub struct PopMessageResponseHeader<'a> {
        /// When the messages were taken, milliseconds since the epoch.
        "popTime" pop_time: i64,
        /// How long they are hidden, milliseconds.
        "invisibleTime" invisible_time: i64,
        /// Queue of the revive topic; 999 is an ordered pop.
        "reviveQid" revive_queue_id: i32,
        /// Messages left over.
        "restNum" rest_num: i64,
        /// First offset by queue.
        "startOffsetInfo" start_offset_info: Option<&'a str>,
        /// Offsets of the messages by queue.
        "msgOffsetInfo" msg_offset_info: Option<&'a str>,
        /// How often messages were handed out before, by queue and by message; ordered pops only.
        "orderCountInfo" order_count_info: Option<&'a str>,
    }
}

header! {
    /// PEEK_MESSAGE.
    pub struct PeekMessageRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Queue; -1 is all.
        "queueId" queue_id: i32,
        /// Most messages wanted.
        "maxMsgNums" max_msg_nums: i32,
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// ACK_MESSAGE.
    pub struct AckMessageRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic that the message lies in: the retry topic for a retry.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// The receipt ([`crate::message::receipt`]).
        "extraInfo" extra_info: &'a str,
        /// Queue offset of the message.
        "offset" offset: i64,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// CHANGE_MESSAGE_INVISIBLETIME.
    pub struct ChangeInvisibleTimeRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic that the message lies in: the retry topic for a retry.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// The receipt ([`crate::message::receipt`]).
        "extraInfo" extra_info: &'a str,
        /// Queue offset of the message.
        "offset" offset: i64,
        /// How long the message is hidden from now on, milliseconds.
        "invisibleTime" invisible_time: i64,
        /// Sent by clients of 5.5.0.
        "suspend" suspend: Option<bool>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of CHANGE_MESSAGE_INVISIBLETIME: parts of the new receipt.
    pub struct ChangeInvisibleTimeResponseHeader {
        /// New pop time, milliseconds since the epoch.
        "popTime" pop_time: i64,
        /// How long the message is hidden, milliseconds.
        "invisibleTime" invisible_time: i64,
        /// Queue of the revive topic; 999 is an ordered pop.
        "reviveQid" revive_queue_id: i32,
    }
}

header! {
    /// NOTIFICATION.
    pub struct NotificationRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue; -1 is any.
        "queueId" queue_id: i32,
        /// Longest hold, milliseconds from `born_time` on.
        "pollTime" poll_time: i64,
        /// When the client sent the request, milliseconds since the epoch; absent or 0 is now.
        "bornTime" born_time: Option<i64>,
        /// For ordered pops: a blocked queue has nothing.
        "order" order: Option<bool>,
        /// Names the attempt of an ordered pop.
        "attemptId" attempt_id: Option<&'a str>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of NOTIFICATION.
    pub struct NotificationResponseHeader {
        /// Whether there is something to pop.
        "hasMsg" has_msg: bool,
        /// Too many requests wait.
        "pollingFull" polling_full: bool,
    }
}

header! {
    /// POLLING_INFO.
    pub struct PollingInfoRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue; -1 is any.
        "queueId" queue_id: i32,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer of POLLING_INFO.
    pub struct PollingInfoResponseHeader {
        /// How many pops wait.
        "pollingNum" polling_num: i32,
    }
}
