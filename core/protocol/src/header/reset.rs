// SPDX-License-Identifier: Apache-2.0
//! Headers about the offsets and rights of a group: codes 222, 303, 308, 314, 353. Source: wire.md 2.5, 2.6.

use super::header;

header! {
    /// INVOKE_BROKER_TO_RESET_OFFSET and RESET_CONSUMER_CLIENT_OFFSET.
    pub struct ResetOffsetRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Consumer group.
        "group" group: &'a str,
        /// Queue; absent or negative is every queue.
        "queueId" queue_id: Option<i32>,
        /// Offset of that queue; absent or -1 is by time.
        "offset" offset: Option<i64>,
        /// Milliseconds since the epoch; negative is the end.
        "timestamp" timestamp: i64,
        /// Also forwards. Only without server-side reset.
        "isForce" is_force: Option<bool>,
    }
}

header! {
    /// QUERY_CONSUME_TIME_SPAN.
    pub struct QueryConsumeTimeSpanRequestHeader<'a> {
        /// Topic.
        "topic" topic: &'a str,
        /// Consumer group.
        "group" group: &'a str,
    }
}

header! {
    /// QUERY_CORRECTION_OFFSET.
    pub struct QueryCorrectionOffsetHeader<'a> {
        /// Groups that do not count, separated by commas.
        "filterGroups" filter_groups: Option<&'a str>,
        /// Group whose offsets are compared.
        "compareGroup" compare_group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
    }
}

header! {
    /// CLONE_GROUP_OFFSET.
    pub struct CloneGroupOffsetRequestHeader<'a> {
        /// Group whose offsets are copied.
        "srcGroup" src_group: &'a str,
        /// Group that gets them.
        "destGroup" dest_group: &'a str,
        /// Topic; absent or blank is all of the source's.
        "topic" topic: Option<&'a str>,
        /// Also topics that the source does not subscribe to now.
        "offline" offline: Option<bool>,
    }
}

header! {
    /// UPDATE_AND_GET_GROUP_FORBIDDEN.
    pub struct UpdateGroupForbiddenRequestHeader<'a> {
        /// Group.
        "group" group: &'a str,
        /// Topic.
        "topic" topic: &'a str,
        /// Whether the group may read the topic; absent only asks.
        "readable" readable: Option<bool>,
    }
}
