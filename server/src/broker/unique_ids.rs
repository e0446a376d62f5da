// SPDX-License-Identifier: Apache-2.0
//! Unique keys for messages whose sender gave them none. Source: wire.md 5.7.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{Datelike, Local, Months, NaiveTime, TimeZone};
use kerolox_protocol::message::id;

/// The ids of this process; the time part counts from the start of the local month.
#[derive(Debug)]
pub(super) struct UniqueIds {
    ids: id::UniqueIds,
    month_start_ms: AtomicI64,
    month_end_ms: AtomicI64,
}

impl UniqueIds {
    pub(super) fn new(host: IpAddr) -> Self {
        let ids = id::UniqueIds::new(
            host,
            std::process::id(),
            fastrand::u32(..),
            fastrand::u16(..),
        );
        Self {
            ids,
            month_start_ms: AtomicI64::new(0),
            month_end_ms: AtomicI64::new(0),
        }
    }

    pub(super) fn next(&self, now_ms: i64) -> String {
        if now_ms >= self.month_end_ms.load(Ordering::Acquire) {
            self.turn_month(now_ms);
        }
        let since = now_ms - self.month_start_ms.load(Ordering::Acquire);
        self.ids.next(u32::try_from(since).unwrap_or_default())
    }

    /// Racing callers store the same values.
    fn turn_month(&self, now_ms: i64) {
        let now = Local.timestamp_millis_opt(now_ms).earliest();
        let start = now.and_then(|now| now.date_naive().with_day(1));
        let end = start.and_then(|start| start.checked_add_months(Months::new(1)));
        let ms = |day: Option<chrono::NaiveDate>| {
            let midnight = day?.and_time(NaiveTime::MIN);
            Some(
                Local
                    .from_local_datetime(&midnight)
                    .earliest()?
                    .timestamp_millis(),
            )
        };
        self.month_start_ms
            .store(ms(start).unwrap_or(now_ms), Ordering::Release);
        self.month_end_ms
            .store(ms(end).unwrap_or(now_ms + 86_400_000), Ordering::Release);
    }
}
