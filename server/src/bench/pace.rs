// SPDX-License-Identifier: Apache-2.0
//! The clock of an open loop: wakes each connection when its next request is due.
//!
//! A thread of its own, as the runtime's timers are good to a millisecond: at thousands of requests a second that would
//! send them in bursts and be measured as latency.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Wakes connections in turn, `rate` times a second from `start` on, and all of them at `stop`.
pub(super) fn start(
    connections: usize,
    rate: f64,
    start: Instant,
    stop: Instant,
) -> Vec<Arc<Notify>> {
    let dues: Vec<Arc<Notify>> = (0..connections).map(|_| Arc::default()).collect();
    let woken = dues.clone();
    thread::spawn(move || {
        for (number, due) in (0_u32..).zip(woken.iter().cycle()) {
            let at = start + Duration::from_secs_f64(f64::from(number) / rate);
            if at >= stop {
                break;
            }
            thread::sleep(at.saturating_duration_since(Instant::now()));
            due.notify_one();
        }
        thread::sleep(stop.saturating_duration_since(Instant::now()));
        woken.iter().for_each(|due| due.notify_one());
    });
    dues
}
