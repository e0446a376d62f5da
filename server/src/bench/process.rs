// SPDX-License-Identifier: Apache-2.0
//! CPU time and memory of the server's process, from `/proc`.

use std::fs;

/// Kernel clock ticks a second, fixed at 100 on Linux for user space.
const TICKS: f64 = 100.0;

/// Seconds of CPU that the process used so far, user and system.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    // Nanosecond precision where the scheduler keeps it, summed over the threads; else clock ticks.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut nanoseconds = 0.0;
    let mut precise = true;
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        match text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse::<f64>().ok())
        {
            Some(value) => nanoseconds += value,
            None => precise = false,
        }
    }
    if precise && nanoseconds > 0.0 {
        return Some(nanoseconds / 1e9);
    }
    ticks(pid).map(|ticks| ticks / TICKS)
}

fn ticks(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Anonymous resident memory of the process in MiB.
pub(super) fn anonymous_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
