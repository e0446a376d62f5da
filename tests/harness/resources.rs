// SPDX-License-Identifier: Apache-2.0
//! What a process holds of the system, from `/proc`.

use std::fmt;
use std::fs;

use anyhow::Context;

/// Figures of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Open files and sockets.
    pub descriptors: usize,
    /// Ranges of memory, mapped files among them.
    pub mappings: usize,
    /// Private memory, KiB.
    pub private_kib: u64,
}

impl Resources {
    /// Those of a running process.
    ///
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let status = read("status")?;
        let private = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let private = private.and_then(|rest| rest.split_whitespace().next());
        Ok(Self {
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            mappings: read("maps")?.lines().count(),
            private_kib: private.context("no RssAnon")?.parse()?,
        })
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} descriptors, {} mappings, {} MiB private",
            self.descriptors,
            self.mappings,
            self.private_kib / 1024
        )
    }
}
