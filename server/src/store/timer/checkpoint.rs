// SPDX-License-Identifier: Apache-2.0
//! The file `config/timercheck`: how far the timer messages came (store.md 9.2).
//!
//! 4096 bytes, of which the first 56 are i64 fields in the order of [`TimerCheckpoint`]. They are written with one call
//! and lie in one sector, so that neither a kill nor a power failure leaves a part.

use std::io;
use std::path::PathBuf;

use crate::store::disk::{Disk, OpenSegment};

const LEN: u64 = 4096;
/// Bytes of the fields; also the body that a slave is sent.
const FIELDS: usize = 56;
/// Bytes of the fields without the version, as older brokers write them.
const OLD_FIELDS: usize = 32;

/// Counts the changes of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// Epoch of the controller, 0 without one.
    pub(crate) state_version: i64,
    /// Unix milliseconds of the last change.
    pub(crate) timestamp: i64,
    /// Changes so far.
    pub(crate) counter: i64,
}

impl Version {
    /// Notes a change.
    pub(crate) fn next(&mut self, now_ms: i64) {
        self.timestamp = now_ms;
        self.counter = self.counter.wrapping_add(1);
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimerCheckpoint {
    /// Everything that was due up to here was delivered.
    pub(crate) read_ms: i64,
    /// Position in the timer log before which everything is on disk.
    pub(crate) log_flushed: u64,
    /// Offset in the timer topic's queue before which every message is in the wheel, or was delivered.
    pub(crate) queue_offset: i64,
    /// The same of the master; our own.
    pub(crate) master_queue_offset: i64,
    /// Counts the changes.
    pub(crate) version: Version,
}

impl TimerCheckpoint {
    /// The fields as the file and slaves have them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [
            self.read_ms,
            self.log_flushed.cast_signed(),
            self.queue_offset,
            self.master_queue_offset,
            self.version.state_version,
            self.version.timestamp,
            self.version.counter,
        ]
        .iter()
        .flat_map(|field| field.to_be_bytes())
        .collect()
    }

    /// `None` if the bytes are too short or a field can not be right.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.get(..FIELDS.min(bytes.len()))?;
        if fields.len() < OLD_FIELDS {
            return None;
        }
        let mut fields = fields
            .chunks_exact(8)
            .filter_map(|field| Some(i64::from_be_bytes(field.try_into().ok()?)));
        let mut next = || fields.next().unwrap_or_default();
        let (read_ms, log_flushed, queue_offset, master_queue_offset) =
            (next(), next(), next(), next());
        let version = Version {
            state_version: next(),
            timestamp: next(),
            counter: next(),
        };
        let can_be = read_ms > 0 && queue_offset >= 0 && master_queue_offset >= 0;
        Some(Self {
            read_ms,
            log_flushed: u64::try_from(log_flushed).ok()?,
            queue_offset,
            master_queue_offset,
            version,
        })
        .filter(|_| can_be)
    }
}

/// The file.
pub(crate) struct CheckpointFile {
    path: PathBuf,
    exists: bool,
}

impl CheckpointFile {
    pub(crate) fn new(disk: &dyn Disk, path: PathBuf) -> Self {
        let exists = disk.read(&path).is_ok();
        Self { path, exists }
    }

    /// Reads it; `None` if it is missing, cut or can not be right.
    pub(crate) fn read(&self, disk: &dyn Disk) -> Option<TimerCheckpoint> {
        TimerCheckpoint::decode(&disk.read(&self.path).ok()?)
    }

    /// Writes it in place, as the reference does, and syncs it.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        checkpoint: &TimerCheckpoint,
    ) -> io::Result<()> {
        if !self.exists
            && let Some(dir) = self.path.parent()
        {
            disk.create_dir_all(dir)?;
        }
        let open = OpenSegment {
            len: LEN,
            create: !self.exists,
            readable: 0,
            head: &[],
        };
        let mut writer = disk.open_segment(&self.path, open)?;
        self.exists = true;
        writer.write_through(0, &checkpoint.encode())?;
        writer.segment().flush(0, LEN)
    }
}
