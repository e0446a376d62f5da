// SPDX-License-Identifier: Apache-2.0
//! Who this client is: its id, its address, and the unique ids of its messages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{Datelike, Local, TimeZone};
use kerolox_protocol::message::id::UniqueIds;

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// The address that others may know this machine by: a private or public IPv4 one, else an IPv6 one, else loopback.
pub(crate) fn local_address() -> IpAddr {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
        .first()
        .copied()
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// An instance name that no other client of this machine has: `<pid>#<nanoseconds>`.
pub(crate) fn unique_instance_name() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    let last = LAST
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(now.max(last + 1))
        })
        .unwrap_or_default();
    format!("{}#{}", std::process::id(), now.max(last + 1))
}

/// `clientIP@instanceName`.
pub(crate) fn client_id(ip: &str, instance_name: &str) -> String {
    if ip.is_empty() {
        format!("{}@{instance_name}", local_address())
    } else {
        format!("{ip}@{instance_name}")
    }
}

/// Makes the unique ids of messages.
pub(crate) struct MessageIds {
    ids: UniqueIds,
    /// First instants of the current and the next local month, in milliseconds since 1970.
    month_begin: AtomicI64,
    month_end: AtomicI64,
}

impl MessageIds {
    pub(crate) fn new() -> Self {
        let instance = fastrand::u32(..);
        Self {
            ids: UniqueIds::new(
                local_address(),
                std::process::id(),
                instance,
                fastrand::u16(..),
            ),
            month_begin: AtomicI64::new(0),
            month_end: AtomicI64::new(0),
        }
    }

    /// The next id, for a message made at `now_ms`.
    pub(crate) fn next(&self, now_ms: i64) -> String {
        let mut begin = self.month_begin.load(Ordering::Relaxed);
        if now_ms < begin || now_ms >= self.month_end.load(Ordering::Relaxed) {
            let (first, next) = month_around(now_ms);
            self.month_begin.store(first, Ordering::Relaxed);
            self.month_end.store(next, Ordering::Relaxed);
            begin = first;
        }
        self.ids.next(u32::try_from(now_ms - begin).unwrap_or(0))
    }
}

/// First instants of the local month around `now_ms` and of the one after it.
fn month_around(now_ms: i64) -> (i64, i64) {
    let first_of = |year: i32, month: u32| {
        Local
            .with_ymd_and_hms(year, month, 1, 0, 0, 0)
            .earliest()
            .map_or(now_ms, |instant| instant.timestamp_millis())
    };
    let Some(now) = Local.timestamp_millis_opt(now_ms).earliest() else {
        return (now_ms, now_ms + 1);
    };
    let (year, month) = (now.year(), now.month());
    let next = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    (first_of(year, month), first_of(next.0, next.1))
}

#[cfg(test)]
mod tests {
    use kerolox_protocol::message::id::parse_unique_id;

    use super::*;

    #[test]
    fn instance_names_differ() {
        assert_ne!(unique_instance_name(), unique_instance_name());
        assert_eq!(client_id("10.0.0.9", "a"), "10.0.0.9@a");
    }

    #[test]
    fn message_ids_count_from_the_beginning_of_the_month() {
        let ids = MessageIds::new();
        let now = now_ms();
        let (begin, end) = month_around(now);
        assert!(begin <= now && now < end && end - begin > 27 * 86_400_000);
        let first = parse_unique_id(&ids.next(now)).expect("well-formed");
        let second = parse_unique_id(&ids.next(now)).expect("well-formed");
        assert_eq!(i64::from(first.ms_in_month), now - begin);
        assert_eq!(second.counter, first.counter.wrapping_add(1));
        assert_eq!(
            first.pid,
            u16::try_from(std::process::id() & 0xFFFF).expect("16 bits")
        );
    }
}
