// SPDX-License-Identifier: Apache-2.0
//! Which tools of the machine a test needs, and what happens without them.

use std::io::Write;
use std::path::Path;

/// Whether one of the tools is missing; then the test has to return.
///
/// Says so on standard error past the test harness's capture: `SKIPPED <test>: <reason>`.
///
/// # Panics
/// With `CI=true` in the environment: there, a missing tool is a failure.
pub fn missing(test: &str, tools: &[&str]) -> bool {
    let absent: Vec<&str> = tools.iter().copied().filter(|t| !is_there(t)).collect();
    if absent.is_empty() {
        return false;
    }
    let reason = format!("{test}: not on PATH: {}", absent.join(", "));
    assert!(!is_ci(), "{reason} (CI=true: nothing may be skipped)");
    say(&format!("SKIPPED {reason}"));
    true
}

/// Whether `CI=true` is set.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Prints a line that the test harness does not capture.
pub fn say(line: &str) {
    // A closed standard error is no reason to fail a test.
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir: std::path::PathBuf| is_file(&dir.join(tool)))
}

fn is_file(path: &Path) -> bool {
    path.is_file() || path.with_extension("exe").is_file()
}
