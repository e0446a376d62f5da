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

/// How long it is until [`wait_for`] asks again.
const PAUSE: Duration = Duration::from_millis(5);
/// A pause that takes longer shows that the machine did not run this program, nor the one that is
/// waited for: the host of a virtual machine can keep its processors for a minute.
const UNDER_LOAD: Duration = Duration::from_millis(100);

/// Asks every few milliseconds until `condition` gives a value. Time in which the machine stood still does not count.
///
/// # Errors
/// Names `what` when the deadline passed.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    let mut stood_still = Duration::ZERO;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        let waited = start.elapsed().saturating_sub(stood_still);
        anyhow::ensure!(
            waited < deadline,
            "no {what} within {deadline:?}, not counted {stood_still:?} in which the machine stood still"
        );
        let pause = Instant::now();
        std::thread::sleep(PAUSE);
        stood_still += pause.elapsed().saturating_sub(UNDER_LOAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_value_or_with_what_was_missing() {
        let mut asked = 0;
        let found = wait_for("third answer", Duration::from_secs(60), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(found.ok(), Some(3));
        let missing = wait_for("answer", Duration::from_millis(20), || None::<()>);
        let text = missing.map_err(|error| error.to_string());
        assert!(text.is_err_and(|text| text.starts_with("no answer within 20ms")));
    }
}
