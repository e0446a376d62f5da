// SPDX-License-Identifier: Apache-2.0
//! Where to begin in a queue that has no stored offset.

use chrono::{Local, NaiveDateTime, TimeZone};
use kerolox_protocol::message::name::is_retry_topic;

use super::ConsumeFrom;
use crate::error::{Error, ErrorCode, Result};
use crate::instance::{Instance, now_ms};
use crate::message::Queue;

/// Half an hour.
const DEFAULT_AGE_MS: i64 = 30 * 60 * 1000;

/// Where a new group begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) from: ConsumeFrom,
    pub(super) timestamp_ms: i64,
}

impl Beginning {
    /// From the options; an empty timestamp is half an hour ago.
    pub(super) fn new(from: ConsumeFrom, timestamp: &str) -> Result<Self> {
        Ok(Self {
            from,
            timestamp_ms: parse_timestamp(timestamp)?,
        })
    }

    /// The offset to begin at.
    pub(super) async fn offset(self, instance: &Instance, queue: &Queue) -> Result<i64> {
        match (self.from, is_retry_topic(&queue.topic)) {
            (ConsumeFrom::LastOffset, true) | (ConsumeFrom::FirstOffset, _) => Ok(0),
            (ConsumeFrom::LastOffset, false) | (ConsumeFrom::Timestamp, true) => {
                instance.max_offset(queue).await
            }
            (ConsumeFrom::Timestamp, false) => {
                instance.offset_by_time(queue, self.timestamp_ms).await
            }
        }
    }
}

fn parse_timestamp(text: &str) -> Result<i64> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(now_ms() - DEFAULT_AGE_MS);
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S")
        .ok()
        .filter(|_| text.len() == 14)
        .and_then(|time| Local.from_local_datetime(&time).earliest())
        .map(|time| time.timestamp_millis());
    local.or_else(|| text.parse().ok().filter(|ms| *ms >= 0)).ok_or_else(|| {
        Error::new(ErrorCode::InvalidOption, "start")
            .with_message(format!(
                "consume_timestamp is '{text}', allowed is yyyyMMddHHmmss or milliseconds since 1970"
            ))
            .with_context("option", "consume_timestamp")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_local_times_or_milliseconds() {
        let local = Local
            .with_ymd_and_hms(2024, 2, 3, 4, 5, 6)
            .earliest()
            .expect("a time");
        assert_eq!(
            parse_timestamp("20240203040506").expect("read"),
            local.timestamp_millis()
        );
        assert_eq!(
            parse_timestamp("1700000000000").expect("read"),
            1_700_000_000_000
        );
        assert!((now_ms() - DEFAULT_AGE_MS - parse_timestamp("").expect("read")).abs() < 60_000);
        let error = parse_timestamp("yesterday").expect_err("not a time");
        assert_eq!(error.code(), ErrorCode::InvalidOption);
    }
}
