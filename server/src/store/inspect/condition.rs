// SPDX-License-Identifier: Apache-2.0
//! The state a store was left in: its lock, its abort file and its checkpoint.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::note::Note;
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::checkpoint::{self, Checkpoint};
use crate::store::disk::Disk;
use crate::store::lock::parse_pid;
use crate::store::queue_flush::INDEX_AHEAD_MS;

/// What is read before anything else, so that the log can only be ahead of it.
pub(super) struct Condition {
    /// Whether somebody holds the lock.
    pub(super) is_in_use: bool,
    /// Whether the abort file is there.
    pub(super) is_after_crash: bool,
    checkpoint: Checkpoint,
}

impl Condition {
    pub(super) fn read(disk: &dyn Disk, root: &Path, sink: &mut Sink) -> Result<Self, StoreError> {
        let lock = root.join("lock");
        let holder = disk
            .lock_holder(&lock)
            .map_err(StoreError::io("examine", &lock))?;
        let abort = read(disk, root.join("abort"))?;
        let pid = abort.as_deref().and_then(parse_pid);
        if let Some(holder) = holder {
            let pid = holder.pid.or(pid);
            sink.note(Note::InUse { pid });
        } else if abort.is_some() {
            sink.note(Note::NotShutDown { pid });
        }
        let path = root.join("checkpoint");
        let bytes = read(disk, path.clone())?;
        match &bytes {
            None => sink.note(Note::NoCheckpoint),
            Some(bytes) if bytes.len() as u64 != checkpoint::LEN => {
                sink.find(Finding::WrongLength {
                    file: text(&path),
                    len: bytes.len() as u64,
                    expected: checkpoint::LEN,
                });
            }
            Some(_) => {}
        }
        Ok(Self {
            is_in_use: holder.is_some(),
            is_after_crash: abort.is_some(),
            checkpoint: Checkpoint::decode(&bytes.unwrap_or_default()).0,
        })
    }

    /// Everything before was on disk once, as far as is known.
    pub(super) fn flushed(&self) -> u64 {
        self.checkpoint.exact.map_or(0, |exact| exact.flushed)
    }

    /// Compares the checkpoint with the log. If that ends with damage, its last store time is not known.
    pub(super) fn check(&self, ends_damaged: bool, sink: &mut Sink) {
        let Checkpoint {
            physic_timestamp,
            logics_timestamp,
            index_timestamp,
            confirm_offset,
            logics_offset,
            exact,
            ..
        } = self.checkpoint;
        let end = sink.summary.log_end.cast_signed();
        let last = match ends_damaged {
            true => i64::MAX,
            false => sink.summary.last_store_timestamp,
        };
        // Ours is ahead on purpose while the store runs, and the reference goes on with it after our crash.
        let ahead = INDEX_AHEAD_MS;
        let mut limits = vec![
            ("physicMsgTimestamp", physic_timestamp, last),
            ("logicsMsgTimestamp", logics_timestamp, last),
            (
                "indexMsgTimestamp",
                index_timestamp,
                last.saturating_add(ahead),
            ),
            ("confirmPhyOffset", confirm_offset, end),
            ("logicsPhysicalOffset", logics_offset, end),
        ];
        if let Some(exact) = exact {
            let flushed = exact.flushed.cast_signed();
            limits.push(("flushed offset", flushed, end));
            limits.push(("restart offset", exact.restart.cast_signed(), flushed));
        }
        for (field, value, limit) in limits {
            if value > limit {
                sink.find(Finding::Checkpoint {
                    field,
                    value,
                    limit,
                });
            }
        }
    }
}

fn read(disk: &dyn Disk, path: PathBuf) -> Result<Option<Vec<u8>>, StoreError> {
    match disk.read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}
