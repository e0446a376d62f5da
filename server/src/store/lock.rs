// SPDX-License-Identifier: Apache-2.0
//! The lock on a store's directory and the abort file (store.md 1.5, 6.1).
//!
//! The reference locks after it has recovered, so two of its brokers can both recover one directory; here the lock is
//! taken before anything else is touched. `abort` holds the owner's process id and exists while the store runs.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::{Disk, DiskLock, OpenSegment};

/// Ownership of a store's directory.
pub(crate) struct StoreLock {
    _lock: Box<dyn DiskLock>,
    abort: PathBuf,
    /// Whether the last owner did not shut the store down.
    pub(crate) is_after_crash: bool,
}

impl StoreLock {
    /// Locks `root`, notes whether the last owner crashed, and writes the abort file.
    pub(crate) fn take(disk: &dyn Disk, root: &Path) -> Result<Self, StoreError> {
        let path = root.join("lock");
        let abort = root.join("abort");
        let lock = disk
            .lock_exclusive(&path)
            .map_err(StoreError::io("lock", &path))?;
        let Some(lock) = lock else {
            let pid = disk.read(&abort).ok().and_then(|text| parse_pid(&text));
            return Err(StoreError::Locked {
                dir: root.to_path_buf(),
                pid,
            });
        };
        let is_after_crash = match disk.read(&abort) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(StoreError::io("read", &abort)(error)),
        };
        write_abort(disk, &abort, is_after_crash).map_err(StoreError::io("write", &abort))?;
        Ok(Self {
            _lock: lock,
            abort,
            is_after_crash,
        })
    }

    /// Removes the abort file: everything is on disk.
    pub(crate) fn finish(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        disk.remove_file(&self.abort)
            .map_err(StoreError::io("remove", &self.abort))
    }
}

/// Writes the abort file. On a full disk, where a store has to open for readers, the one of a crashed owner stays as it
/// is, or one is made that takes no block: it says no process id, but that the store runs.
fn write_abort(disk: &dyn Disk, abort: &Path, is_after_crash: bool) -> io::Result<()> {
    let pid = std::process::id().to_string();
    match disk.write_atomic(abort, pid.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            tracing::warn!(file = %abort.display(), "the disk is full, the abort file does not say who runs");
            let without_blocks = OpenSegment {
                len: 1,
                create: true,
                readable: 0,
            };
            if !is_after_crash {
                drop(disk.open_segment(abort, without_blocks)?);
            }
            Ok(())
        }
        other => other,
    }
}

pub(crate) fn parse_pid(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
