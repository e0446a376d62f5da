// SPDX-License-Identifier: Apache-2.0
//! Headers of offsets: codes 14, 15, 29 to 33. Source: wire.md 2.1, 2.2.

use super::header;

header! {
    /// QUERY_CONSUMER_OFFSET.
    pub struct QueryConsumerOffsetRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// `false`: a missing offset is an error even for a young queue.
        "setZeroIfNotFound" set_zero_if_not_found: Option<bool>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// UPDATE_CONSUMER_OFFSET.
    pub struct UpdateConsumerOffsetRequestHeader<'a> {
        /// Consumer group.
        "consumerGroup" consumer_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: Option<i32>,
        /// Next offset to consume.
        "commitOffset" commit_offset: Option<i64>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// GET_MAX_OFFSET, GET_MIN_OFFSET and GET_EARLIEST_MSG_STORETIME.
    pub struct QueueRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// GET_MAX_OFFSET only: `false` counts what is not yet visible.
        "committed" committed: Option<bool>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// SEARCH_OFFSET_BY_TIMESTAMP.
    pub struct SearchOffsetRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Queue.
        "queueId" queue_id: i32,
        /// Milliseconds since the epoch.
        "timestamp" timestamp: i64,
        /// `UPPER`, anything else is `LOWER`.
        "boundaryType" boundary_type: Option<&'a str>,
        /// Broker name.
        "bname" broker_name: Option<&'a str>,
    }
}

header! {
    /// Answer with an offset.
    pub struct OffsetResponseHeader {
        /// The offset.
        "offset" offset: i64,
    }
}

header! {
    /// Answer of GET_EARLIEST_MSG_STORETIME.
    pub struct TimestampResponseHeader {
        /// Milliseconds since the epoch.
        "timestamp" timestamp: i64,
    }
}

header! {
    /// VIEW_MESSAGE_BY_ID.
    pub struct ViewMessageRequestHeader<'a> {
        /// Topic; older clients leave it out.
        "topic" topic: Option<&'a str>,
        /// Commit-log offset.
        "offset" offset: i64,
    }
}
