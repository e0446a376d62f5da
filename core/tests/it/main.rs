// SPDX-License-Identifier: Apache-2.0
//! The client against scripted peers over real sockets.
#![allow(unreachable_pub, reason = "one binary: its modules share items")]

mod fork;
mod group;
mod name_server;
mod peer;
mod pull;
mod push;
mod send;
mod world;

use std::time::{Duration, Instant};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
