// SPDX-License-Identifier: Apache-2.0
//! The option table of the producer.

use crate::options::options;

options! {
    /// Options of a producer.
    pub struct ProducerOptions {
        /// Addresses of the name servers, `host:port;host:port`. Empty: environment variable `NAMESRV_ADDR`.
        name_servers: String = "",
        /// Producer group.
        group: String = "kerolox-producer",
        /// Deadline of a send, its retries included.
        send_timeout_ms: u64 = 3000u64,
        /// How often a failed send is repeated, on another broker if there is one.
        retry_times: u32 = 2u32,
        /// Repeat also when a message is stored but not flushed or copied in time. It is then stored twice.
        retry_another_broker_when_not_store_ok: bool = false,
        /// Bodies of this size or more are compressed (zlib).
        compress_over_bytes: usize = 4096usize,
        /// Largest body that is sent, before compression.
        max_message_bytes: usize = 4_194_304usize,
        /// Queues asked for when a topic is created by its first message.
        default_topic_queues: i32 = 4,
        /// Part of the client id. Empty: unique.
        instance_name: String = "",
        /// Address of this client as shown to others. Empty: found out.
        client_ip: String = "",
    }
}
