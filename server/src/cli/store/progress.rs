// SPDX-License-Identifier: Apache-2.0
//! Progress on standard error: one line that changes on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::store::inspect::{Progress, Stage};

/// Between changes of the line on a terminal.
const ON_TERMINAL: Duration = Duration::from_millis(500);
/// Between lines elsewhere, unless this many bytes come first.
const ELSEWHERE: Duration = Duration::from_secs(10);
const BYTES: u64 = 1 << 30;
/// Goes to the start of a terminal's line and clears it.
const CLEAR: &str = "\r\u{1b}[K";

/// Says how far a command is.
pub(super) struct ProgressLine {
    is_terminal: bool,
    started: Instant,
    told: Instant,
    told_bytes: u64,
    is_dirty: bool,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            started: now,
            told: now,
            told_bytes: 0,
            is_dirty: false,
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        let bytes = match progress.stage {
            Stage::Log => progress.done,
            Stage::Queues => 0,
        };
        let pause = if self.is_terminal {
            ON_TERMINAL
        } else {
            ELSEWHERE
        };
        let is_much = !self.is_terminal && bytes >= self.told_bytes.saturating_add(BYTES);
        if self.told.elapsed() < pause && !is_much {
            return;
        }
        self.told = Instant::now();
        self.told_bytes = bytes;
        let line = line(progress);
        let mut out = std::io::stderr().lock();
        // Progress that can not be shown is not missed.
        drop(if self.is_terminal {
            self.is_dirty = true;
            write!(out, "{CLEAR}{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        });
    }

    /// Removes the line from a terminal.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            drop(write!(std::io::stderr(), "{CLEAR}"));
        }
    }
}

fn line(progress: Progress) -> String {
    let Progress { stage, done, total } = progress;
    match stage {
        Stage::Log => {
            let mib = |bytes: u64| bytes / (1 << 20);
            match (done * 100).checked_div(total) {
                Some(percent) => format!("log: {} of {} MiB, {percent} %", mib(done), mib(total)),
                None => format!("log: {} MiB", mib(done)),
            }
        }
        Stage::Queues => format!("queues: {done} of {total}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_far_it_is() {
        let stage = Stage::Log;
        let (done, total) = (3 << 20, 12 << 20);
        assert_eq!(
            line(Progress { stage, done, total }),
            "log: 3 of 12 MiB, 25 %"
        );
        let total = 0;
        assert_eq!(line(Progress { stage, done, total }), "log: 3 MiB");
    }
}
