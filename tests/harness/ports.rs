// SPDX-License-Identifier: Apache-2.0
//! Free loopback ports for servers that have to be told theirs.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port `p` such that every `p + offset` is free now and was not given out before by this process.
///
/// The range lies below the one from which systems choose ports of outgoing connections.
pub fn free_with(offsets: &[i32]) -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let base = fastrand::u16(20_000..31_000);
        let wanted: Vec<u16> = offsets
            .iter()
            .filter_map(|offset| base.checked_add_signed(i16::try_from(*offset).ok()?))
            .collect();
        let is_free = |port: &u16| {
            !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        };
        if wanted.len() == offsets.len() && wanted.iter().all(is_free) {
            given.extend(wanted);
            return base;
        }
    }
}
