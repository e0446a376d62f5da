// SPDX-License-Identifier: Apache-2.0
//! What the tests of client and servers together share: starting and stopping servers (ours and the official ones) as
//! processes on free loopback ports, fetching and building the official clients, and a raw connection.
//!
//! - [`Cluster`] is a running name server and broker; [`our_server`] and [`official_cluster`] start one. It stops
//!   when dropped, and prints its logs when the test that holds it panics.
//! - [`broker::Broker`] is our `mqbroker` alone, with a configuration file.
//! - [`mixed::Mixed`] is a name server of either kind with a broker of each kind.
//! - [`alternating::Alternating`] is one store directory that ours and the official broker open in turn.
//! - [`tools::missing`] decides whether a missing tool skips a test (said loudly) or fails it (`CI=true`).
//! - [`programs`] builds the Java, Go and JavaScript programs of `tests/interop` and runs them.
//! - [`wire::Connection`] sends single commands, for set-up and for checks below the clients.
//!
//! Nothing here sleeps for a fixed time to let something happen: every wait has a condition and a deadline.
#![forbid(unsafe_code)]

pub mod alternating;
pub mod broker;
pub mod cache;
pub mod cluster;
pub mod mixed;
pub mod numbered;
pub mod official;
pub mod ours;
pub mod ports;
pub mod process;
pub mod programs;
pub mod resources;
pub mod tools;
pub mod wire;

use std::time::{Duration, Instant};

pub use cluster::Cluster;
pub use official::official_cluster;
pub use ours::our_server;

/// Asks every few milliseconds until `condition` gives a value.
///
/// # Errors
/// Names `what` when the deadline passed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        anyhow::ensure!(Instant::now() < end, "no {what} within {deadline:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
