// SPDX-License-Identifier: Apache-2.0
//! Rung 4 of the ladder of tests: the official clients and tools against our servers, and our client against the
//! official servers. Everything also runs where both sides are official: what fails there is the test's fault.
//!
//! The jars, modules and packages are fetched the first time (Maven, Go, npm) into cargo's target directory. A missing tool
//! skips its tests with a `SKIPPED` line, or fails them with `CI=true`.
#![forbid(unsafe_code)]

mod admin;
mod admin_tool;
mod exchange;
mod foreign_client;
mod mixed;
mod name_server;
mod pop_exchange;
mod route;
mod rust_client;
mod timer_exchange;

use std::sync::OnceLock;
use std::time::Duration;

use kerolox_tests::cluster::{Cluster, Kind};
use kerolox_tests::programs::Report;
use kerolox_tests::tools::say;

/// How long one client program may run; ten seconds on an idle machine.
const PROGRAM: Duration = Duration::from_secs(150);

/// Starts servers for a test.
fn start(kind: Kind) -> Cluster {
    match kind.start() {
        Ok(cluster) => cluster,
        Err(error) => panic!("{} did not start: {error:?}", kind.name()),
    }
}

/// Servers that tests share which neither stop them nor mind each other's topics: the official ones take seconds to
/// start. They end with the test program.
fn shared(kind: Kind) -> &'static Cluster {
    static OFFICIAL: OnceLock<Cluster> = OnceLock::new();
    static OURS: OnceLock<Cluster> = OnceLock::new();
    let cell = match kind {
        Kind::Official => &OFFICIAL,
        Kind::Ours => &OURS,
    };
    cell.get_or_init(|| start(kind))
}

/// Fails if a behaviour failed or one of those expected did not run; says what ran.
fn assert_all_ok(
    client: &str,
    kind: Kind,
    cluster: &Cluster,
    expected: &[&str],
    reports: &[Report],
) {
    let what = format!("{client} against {}", kind.name());
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !reports.iter().any(|report| report.name == **name))
        .collect();
    let failed: Vec<_> = reports.iter().filter(|report| !report.ok).collect();
    assert!(
        missing.is_empty() && failed.is_empty(),
        "{what}: failed {failed:#?}, missing {missing:?}\n{}",
        cluster.logs()
    );
    let ms: u64 = reports.iter().map(|report| report.ms).sum();
    let names: Vec<_> = reports.iter().map(|report| report.name.as_str()).collect();
    say(&format!(
        "{what}: {} behaviours ok, {ms} ms: {}",
        names.len(),
        names.join(", ")
    ));
}
