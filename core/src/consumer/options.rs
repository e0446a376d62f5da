// SPDX-License-Identifier: Apache-2.0
//! The option tables of both consumers.

use crate::options::{choices, options};

choices! {
    /// Who gets a message.
    pub enum MessageModel prefix "" {
        /// One member of the group.
        Clustering = "CLUSTERING",
        /// Every member of the group; progress is kept in a local file, and nothing is redelivered.
        Broadcasting = "BROADCASTING",
    }
}

choices! {
    /// Where a group starts in a queue that it has no stored offset for.
    pub enum ConsumeFrom prefix "CONSUME_FROM_" {
        /// At the end: only what is sent from now on.
        LastOffset = "LAST_OFFSET",
        /// At the beginning.
        FirstOffset = "FIRST_OFFSET",
        /// At `consume_timestamp`.
        Timestamp = "TIMESTAMP",
    }
}

options! {
    /// Options of a push consumer.
    pub struct PushConsumerOptions {
        /// Addresses of the name servers, `host:port;host:port`. Empty: environment variable `NAMESRV_ADDR`.
        name_servers: String = "",
        /// Consumer group; all its members have to subscribe to the same topics.
        group: String = "",
        /// Who gets a message: CLUSTERING (one member) or BROADCASTING (every member).
        message_model: MessageModel = MessageModel::Clustering,
        /// Where a new group starts: LAST_OFFSET, FIRST_OFFSET or TIMESTAMP. A stored offset always wins.
        consume_from: ConsumeFrom = ConsumeFrom::LastOffset,
        /// Where to start with TIMESTAMP: local time as `yyyyMMddHHmmss`, or milliseconds since 1970.
        /// Empty: half an hour ago.
        consume_timestamp: String = "",
        /// Messages asked for in one pull, 1 to 1024.
        pull_batch_size: i32 = 32,
        /// Pause between two pulls of a queue.
        pull_interval_ms: u64 = 0u64,
        /// Messages of one queue held here, done or not, before pulling pauses.
        pull_threshold_for_queue: u32 = 1000u32,
        /// Bytes of one queue held here before pulling pauses.
        pull_threshold_bytes_for_queue: u64 = 104_857_600u64,
        /// Distance between the first and the last message held of one queue before pulling pauses.
        consume_max_span: u32 = 2000u32,
        /// Redeliveries before a message goes to the dead letter queue; -1 = the broker's 16.
        max_reconsume_times: i32 = -1,
        /// How long a queue that moves to another member is held until its deliveries are completed.
        handover_wait_ms: u64 = 3000u64,
        /// Guard queues by locks at the broker, so that a queue that moves to this member is not read before
        /// its last owner has let go of it. Members in other languages that do not lock are not affected.
        lock_queues: bool = true,
        /// How long close waits for deliveries to be completed.
        close_wait_ms: u64 = 3000u64,
        /// Period of storing the offsets.
        persist_interval_ms: u64 = 5000u64,
        /// Directory of the offset files (BROADCASTING). Empty: `~/.rocketmq_offsets`.
        offset_store_dir: String = "",
        /// Part of the client id. Empty: unique (CLUSTERING), or `DEFAULT` (BROADCASTING), which keeps the
        /// place of the offset file over restarts.
        instance_name: String = "",
        /// Address of this client as shown to others. Empty: found out.
        client_ip: String = "",
    }
}

options! {
    /// Options of a pull consumer.
    pub struct PullConsumerOptions {
        /// Addresses of the name servers, `host:port;host:port`. Empty: environment variable `NAMESRV_ADDR`.
        name_servers: String = "",
        /// Consumer group, under which offsets are stored.
        group: String = "",
        /// Where to start in a queue without a stored offset: LAST_OFFSET, FIRST_OFFSET or TIMESTAMP.
        consume_from: ConsumeFrom = ConsumeFrom::LastOffset,
        /// Where to start with TIMESTAMP: local time as `yyyyMMddHHmmss`, or milliseconds since 1970.
        /// Empty: half an hour ago.
        consume_timestamp: String = "",
        /// Messages asked for in one pull, 1 to 1024.
        pull_batch_size: i32 = 32,
        /// Messages of one queue read ahead.
        pull_threshold_for_queue: u32 = 1000u32,
        /// Bytes of one queue read ahead.
        pull_threshold_bytes_for_queue: u64 = 104_857_600u64,
        /// Commit by itself what earlier polls returned: in poll, and in close.
        auto_commit: bool = true,
        /// Period of that.
        auto_commit_interval_ms: u64 = 5000u64,
        /// Part of the client id. Empty: unique.
        instance_name: String = "",
        /// Address of this client as shown to others. Empty: found out.
        client_ip: String = "",
    }
}
