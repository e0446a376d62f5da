// SPDX-License-Identifier: Apache-2.0
//! Reserved property names (wire.md 5.5).

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)*) => {
        $($(#[doc = $doc])+ pub const $name: &str = $text;)*

        /// Every reserved name; applications should not set them directly.
        pub const RESERVED: &[&str] = &[$($text),*];
    };
}

names! {
    /// Space-joined index keys.
    KEYS = "KEYS";
    /// Tag.
    TAGS = "TAGS";
    /// Whether the sender waits for the store's confirmation: `true` or `false`.
    WAIT = "WAIT";
    /// Delay level, 1 to 18.
    DELAY = "DELAY";
    /// Original topic of a message in a retry topic.
    RETRY_TOPIC = "RETRY_TOPIC";
    /// Original topic while parked (delay, transaction, timer).
    REAL_TOPIC = "REAL_TOPIC";
    /// Original queue while parked.
    REAL_QID = "REAL_QID";
    /// `true` marks a transactional half message.
    TRAN_MSG = "TRAN_MSG";
    /// Producer group, needed for transaction checks.
    PGROUP = "PGROUP";
    /// Queue's minimum offset, set by the consumer on received messages.
    MIN_OFFSET = "MIN_OFFSET";
    /// Queue's maximum offset, set by the consumer on received messages.
    MAX_OFFSET = "MAX_OFFSET";
    /// Legacy unit routing.
    BUYER_ID = "BUYER_ID";
    /// First message id across retries.
    ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
    /// Legacy.
    TRANSFER_FLAG = "TRANSFER_FLAG";
    /// Legacy.
    CORRECTION_FLAG = "CORRECTION_FLAG";
    /// Legacy.
    MQ2_FLAG = "MQ2_FLAG";
    /// Reconsume count carried by a client's re-send.
    RECONSUME_TIME = "RECONSUME_TIME";
    /// Region, set by the broker.
    MSG_REGION = "MSG_REGION";
    /// Whether tracing is on, set by the broker.
    TRACE_ON = "TRACE_ON";
    /// Unique id given by the producer's client.
    UNIQ_KEY = "UNIQ_KEY";
    /// Extension of the unique id.
    EXTEND_UNIQ_INFO = "EXTEND_UNIQ_INFO";
    /// Retry limit carried by a client's re-send.
    MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
    /// When consumption started.
    CONSUME_START_TIME = "CONSUME_START_TIME";
    /// Number of messages of an inner batch.
    INNER_NUM = "INNER_NUM";
    /// First queue offset of an inner batch.
    INNER_BASE = "INNER_BASE";
    /// Duplicate check.
    DUP_INFO = "DUP_INFO";
    /// Delay of the first transaction check, seconds.
    CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS";
    /// Queue offset of the half message.
    TRAN_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET";
    /// Transaction id.
    TRANSACTION_ID = "__transactionId__";
    /// Transaction checks done so far.
    TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES";
    /// Namespace.
    INSTANCE_ID = "INSTANCE_ID";
    /// Request-reply: which request this belongs to.
    CORRELATION_ID = "CORRELATION_ID";
    /// Request-reply: client id that waits for the reply.
    REPLY_TO_CLIENT = "REPLY_TO_CLIENT";
    /// Request-reply: time to live, milliseconds.
    TTL = "TTL";
    /// Request-reply: when the reply reached the broker.
    ARRIVE_TIME = "ARRIVE_TIME";
    /// Request-reply: when the broker pushed the reply.
    PUSH_REPLY_TIME = "PUSH_REPLY_TIME";
    /// Cluster of the storing broker, put on every message.
    CLUSTER = "CLUSTER";
    /// Message type; `reply` for replies.
    MSG_TYPE = "MSG_TYPE";
    /// Pop receipt; removed from incoming sends.
    POP_CK = "POP_CK";
    /// Offset of the pop check-point.
    POP_CK_OFFSET = "POP_CK_OFFSET";
    /// First pop time.
    FIRST_POP_TIME = "1ST_POP_TIME";
    /// Ordering key.
    SHARDING_KEY = "__SHARDINGKEY";
    /// Queue of a forwarded message.
    FORWARD_QUEUE_ID = "PROPERTY_FORWARD_QUEUE_ID";
    /// Proxy redirection.
    REDIRECT = "REDIRECT";
    /// Comma-joined names of light queues.
    INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH";
    /// Comma-joined offsets in those light queues.
    INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET";
    /// Trace context.
    TRACE_CONTEXT = "TRACE_CONTEXT";
    /// Requested delay, seconds.
    TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
    /// Requested deliver time, Unix milliseconds.
    TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
    /// Requested delay, milliseconds.
    TIMER_DELAY_MS = "TIMER_DELAY_MS";
    /// Timer internals: when the message entered the wheel.
    TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS";
    /// Timer internals: when the message left the wheel.
    TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS";
    /// Timer internals: number of rolls.
    TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES";
    /// Timer internals: due time.
    TIMER_OUT_MS = "TIMER_OUT_MS";
    /// Timer internals: unique key of a recalled message.
    TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY";
    /// Timer internals: delay level.
    TIMER_DELAY_LEVEL = "TIMER_DELAY_LEVEL";
    /// Original producer address.
    BORN_HOST = "__BORNHOST";
    /// Original born time.
    BORN_TIMESTAMP = "BORN_TIMESTAMP";
    /// Checksum of the record; ten decimal digits, least significant first; always last.
    CRC32 = "__CRC32#";
    /// Topic a dead letter came from.
    DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC";
    /// Message a dead letter came from.
    DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID";
}

/// Whether `name` is one of [`RESERVED`].
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
