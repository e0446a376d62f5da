// SPDX-License-Identifier: Apache-2.0
//! Files of the messages that are delivered at an instant: wheel, timer log and checkpoint (store.md 9.2).
//!
//! The messages themselves lie in the commit log, in queue 0 of `rmq_sys_wheel_timer`. Here is only when each is due:
//! a slot of the [`Wheel`] for each second names the newest unit of a chain in the [`TimerLog`], and every unit names its
//! predecessor and a record of the commit log. What moves messages in and out is `broker::timer`.
//!
//! All of it can be made again from the queue: see [`recovery`]. The checkpoint says from where on, so it is written last,
//! after everything that it rests on was flushed ([`TimerFiles::checkpoint`]).

mod checkpoint;
mod log;
mod recovery;
mod wheel;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use checkpoint::CheckpointFile;
pub(crate) use checkpoint::TimerCheckpoint;
pub(crate) use log::{TimerLog, Unit, magic};
pub(crate) use recovery::{Recovered, Surroundings, chain, recover};
pub(crate) use wheel::{SECONDS_A_WEEK, Slot, Wheel};

use super::disk::Disk;

/// Slots behind the present that the reference leaves alone when it starts after a long time.
pub(crate) const BLANK_SLOTS: i64 = 60;

/// Where the files lie and what they do not say themselves; the reference's keys in brackets.
#[derive(Clone, Debug)]
pub(crate) struct TimerLayout {
    /// Root of the store.
    pub(crate) root_dir: PathBuf,
    /// Milliseconds of a slot (`timerPrecisionMs`).
    pub(crate) precision_ms: i64,
    /// Slots of half the wheel: how many lie ahead, and how many behind. 604,800 in the reference, fixed.
    pub(crate) slots: i64,
    /// Bytes of a file of the timer log (`mappedFileSizeTimerLog`).
    pub(crate) log_file_size: u64,
}

impl TimerLayout {
    fn wheel_path(&self) -> PathBuf {
        self.root_dir.join("timerwheel")
    }

    fn log_dir(&self) -> PathBuf {
        self.root_dir.join("timerlog")
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.root_dir.join("config").join("timercheck")
    }

    /// The earliest time from which slots can still be told from those of the next turn of the wheel.
    pub(crate) fn earliest_ms(&self, now_ms: i64) -> i64 {
        self.floor(now_ms) - (self.slots - BLANK_SLOTS.min(self.slots / 2)) * self.precision_ms
    }

    /// Start of the slot of a time.
    pub(crate) fn floor(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.precision_ms) * self.precision_ms
    }
}

/// The open files.
pub(crate) struct TimerFiles {
    pub(crate) wheel: Wheel,
    pub(crate) log: TimerLog,
    checkpoint: CheckpointFile,
    /// A flush failed: what it should have covered may be lost without a trace, so nothing may rest on it any more.
    is_poisoned: bool,
}

impl TimerFiles {
    /// Whether there is anything to recover.
    pub(crate) fn exist(disk: &dyn Disk, layout: &TimerLayout) -> io::Result<bool> {
        let has_wheel = disk
            .list(&layout.root_dir)?
            .iter()
            .any(|entry| entry.name == "timerwheel" && !entry.is_dir);
        let checkpoint = layout.checkpoint_path();
        Ok(has_wheel
            || !disk.list(&layout.log_dir())?.is_empty()
            || CheckpointFile::new(disk, checkpoint).read(disk).is_some())
    }

    /// New, empty files.
    pub(crate) fn create(disk: &Arc<dyn Disk>, layout: &TimerLayout) -> io::Result<Self> {
        Ok(Self {
            wheel: Wheel::create(disk.as_ref(), layout)?,
            log: TimerLog::create(disk, layout)?,
            checkpoint: CheckpointFile::new(disk.as_ref(), layout.checkpoint_path()),
            is_poisoned: false,
        })
    }

    /// Flushes log and wheel, then writes the checkpoint and returns its position in the log. What it says of messages
    /// that were delivered must have been flushed before.
    ///
    /// # Errors
    /// As the disk reports. A failed flush is final: there will be no checkpoint until the files are opened again.
    pub(crate) fn checkpoint(
        &mut self,
        disk: &dyn Disk,
        mut checkpoint: TimerCheckpoint,
    ) -> io::Result<u64> {
        if self.is_poisoned {
            return Err(io::Error::other(
                "an earlier flush failed; timer messages go on from the last checkpoint when the broker starts again",
            ));
        }
        let flushed = self.log.flush().and_then(|()| self.wheel.flush());
        if let Err(error) = flushed {
            self.is_poisoned = true;
            return Err(error);
        }
        checkpoint.log_flushed = self.log.end();
        self.checkpoint.write(disk, &checkpoint)?;
        Ok(checkpoint.log_flushed)
    }
}

#[cfg(test)]
mod tests;
