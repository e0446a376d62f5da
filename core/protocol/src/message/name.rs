// SPDX-License-Identifier: Apache-2.0
//! Names of topics and groups: the reference's rules, reserved names and derived names (wire.md 5.2).
//!
//! The permitted characters are ASCII letters, digits, `%`, `|`, `-` and `_`, so a checked name can not leave a directory.

use thiserror::Error;

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Prefix of light queues.
pub const LMQ_PREFIX: &str = "%LMQ%";
/// Prefix of system topics.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// Prefix of system groups.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// Template of automatically created topics.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Messages waiting for a delay level.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Half messages.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Marks of finished half messages.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Half messages of brokers that keep their marks in RocksDB; unused here, but every broker has it.
pub const ROCKSDB_HALF_TOPIC: &str = "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC";
/// Marks of such half messages.
pub const ROCKSDB_OP_HALF_TOPIC: &str = "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC";
/// Half messages that were checked too often.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Self test.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Offset-moved events.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// Benchmark.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Check-points of derived files.
pub const CHECKPOINT_TOPIC: &str = "CHECKPOINT_TOPIC";
/// Messages waiting for an arbitrary time.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// Prefix of a cluster's revive topic: check points and acknowledgements of pops.
pub const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
/// The group whose offsets say how far the revive topic was worked through.
pub const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";

/// Topics that clients may not send to.
pub const SEND_FORBIDDEN: &[&str] = &[
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    ROCKSDB_HALF_TOPIC,
    ROCKSDB_OP_HALF_TOPIC,
];

/// Longest ordinary topic name, bytes.
pub const MAX_TOPIC_BYTES: usize = 127;
/// Longest retry or dead-letter topic name, bytes.
pub const MAX_RETRY_TOPIC_BYTES: usize = 255;
/// Longest group name that today's clients accept, bytes.
pub const MAX_GROUP_BYTES: usize = 120;
/// Longest group name that brokers accept (older clients use up to this), bytes.
pub const MAX_GROUP_BYTES_ON_BROKER: usize = 255;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// Empty or only white space.
    #[error("the name is blank")]
    Blank,
    /// Longer than permitted.
    #[error("the name is longer than {max} bytes")]
    TooLong {
        /// Limit, bytes.
        max: usize,
    },
    /// A character outside the permitted set.
    #[error("the name contains {character:?}, permitted are a-z A-Z 0-9 % | - _")]
    IllegalCharacter {
        /// The first such character.
        character: char,
    },
}

/// Checks a topic name: at most 127 bytes, retry and dead-letter topics 255.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_topic(name: &str) -> Result<(), NameError> {
    let long = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
    check(
        name,
        if long {
            MAX_RETRY_TOPIC_BYTES
        } else {
            MAX_TOPIC_BYTES
        },
    )
}

/// Checks a group name as clients do: at most 120 bytes.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_group(name: &str) -> Result<(), NameError> {
    check(name, MAX_GROUP_BYTES)
}

/// Checks a group name as brokers do: at most 255 bytes.
///
/// # Errors
/// The rule that the name breaks.
pub fn check_group_on_broker(name: &str) -> Result<(), NameError> {
    check(name, MAX_GROUP_BYTES_ON_BROKER)
}

fn check(name: &str, max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank);
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '-' | '_');
    if let Some(character) = name.chars().find(|c| !legal(*c)) {
        return Err(NameError::IllegalCharacter { character });
    }
    if name.len() > max {
        return Err(NameError::TooLong { max });
    }
    Ok(())
}

/// Whether `topic` belongs to the system.
pub fn is_system_topic(topic: &str) -> bool {
    const OTHERS: &[&str] = &[
        AUTO_CREATE_TOPIC,
        BENCHMARK_TOPIC,
        TRACE_TOPIC,
        CHECKPOINT_TOPIC,
    ];
    topic.starts_with(SYSTEM_TOPIC_PREFIX)
        || SEND_FORBIDDEN.contains(&topic)
        || OTHERS.contains(&topic)
}

/// Whether `group` belongs to the system.
pub fn is_system_group(group: &str) -> bool {
    group.starts_with(SYSTEM_GROUP_PREFIX)
}

/// Whether clients may send to `topic`.
pub fn is_send_allowed(topic: &str) -> bool {
    !SEND_FORBIDDEN.contains(&topic)
}

/// Whether `topic` is a retry topic.
pub fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether `topic` is a dead-letter topic.
pub fn is_dlq_topic(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// The retry topic of `group`.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The dead-letter topic of `group`.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The revive topic of a cluster.
pub fn revive_topic(cluster: &str) -> String {
    format!("{REVIVE_PREFIX}{cluster}")
}

/// Where popped messages of `topic` go that `group` did not acknowledge; `v2` is the name with `+`.
pub fn pop_retry_topic(topic: &str, group: &str, v2: bool) -> String {
    let separator = if v2 { '+' } else { '_' };
    format!("{RETRY_PREFIX}{group}{separator}{topic}")
}

/// The topic whose pop retry topic of `group` this is; any other topic as it is.
pub fn popped_topic<'a>(topic: &'a str, group: &str) -> &'a str {
    let rest = topic
        .strip_prefix(RETRY_PREFIX)
        .and_then(|rest| rest.strip_prefix(group));
    rest.and_then(|rest| rest.strip_prefix(['+', '_']))
        .unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_reference() {
        assert_eq!(check_topic("%RETRY%a-b_c|9"), Ok(()));
        assert_eq!(check_topic(""), Err(NameError::Blank));
        assert_eq!(check_topic("  "), Err(NameError::Blank));
        for bad in ["..", "a/b", "a b", "tö", "a\\b", "a\0", "a+b"] {
            assert!(
                matches!(check_topic(bad), Err(NameError::IllegalCharacter { .. })),
                "{bad:?}"
            );
        }
        assert_eq!(check_topic(&"x".repeat(127)), Ok(()));
        assert_eq!(
            check_topic(&"x".repeat(128)),
            Err(NameError::TooLong { max: 127 })
        );
        assert_eq!(check_topic(&retry_topic(&"x".repeat(248))), Ok(()));
        assert_eq!(
            check_topic(&dlq_topic(&"x".repeat(251))),
            Err(NameError::TooLong { max: 255 })
        );
        assert_eq!(
            check_group(&"x".repeat(121)),
            Err(NameError::TooLong { max: 120 })
        );
        assert_eq!(check_group_on_broker(&"x".repeat(255)), Ok(()));
        assert!(is_system_topic("rmq_sys_wheel_timer") && is_system_topic("TBW102"));
        assert!(!is_system_topic("orders") && !is_send_allowed(HALF_TOPIC));
        for v2 in [false, true] {
            assert_eq!(
                popped_topic(&pop_retry_topic("t_1", "g_1", v2), "g_1"),
                "t_1"
            );
        }
        assert_eq!(popped_topic("t", "g"), "t");
    }
}
