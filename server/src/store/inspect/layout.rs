// SPDX-License-Identifier: Apache-2.0
//! Where the files of a store lie and what they do not say themselves.

use std::path::{Path, PathBuf};

use super::super::disk::Disk;
use super::super::index::layout::Shape;
use super::super::{StoreError, StoreOptions};

/// Where the files of a store lie and what they do not say themselves; names of the reference in brackets.
#[derive(Clone, Debug)]
pub struct StoreLayout {
    /// Root of all files (`storePathRootDir`).
    pub root_dir: PathBuf,
    /// Directories of the commit log (`storePathCommitLog`); `<root>/commitlog` if empty.
    pub commit_log_dirs: Vec<PathBuf>,
    /// Length of a commit-log segment; found from the files if `None` (`mappedFileSizeCommitLog`).
    pub commit_log_file_size: Option<u64>,
    /// Length of a consume-queue segment; found from the files if `None` (`mappedFileSizeConsumeQueue`).
    pub consume_queue_file_size: Option<u64>,
    /// Hash slots of an index file (`maxHashSlotNum`).
    pub max_hash_slot_num: u32,
    /// Entries of an index file (`maxIndexNum`).
    pub max_index_num: u32,
    /// Delay levels from 1, milliseconds (`messageDelayLevel`).
    pub delay_levels_ms: Vec<i64>,
    /// How many findings and how many notes are kept; the others are only counted.
    pub max_findings: usize,
}

impl StoreLayout {
    /// The reference's defaults for a store in `root_dir`.
    pub fn new(root_dir: impl Into<PathBuf>) -> Self {
        Self::from(&StoreOptions::new(root_dir))
    }

    pub(super) fn commit_log_dirs(&self) -> Vec<PathBuf> {
        if self.commit_log_dirs.is_empty() {
            vec![self.root_dir.join("commitlog")]
        } else {
            self.commit_log_dirs.clone()
        }
    }

    pub(super) fn consume_queue_dir(&self) -> PathBuf {
        self.root_dir.join("consumequeue")
    }

    /// Where our broker keeps the buffers of `transientStorePoolEnable`.
    pub(super) fn transient_pool_dir(&self) -> PathBuf {
        self.root_dir.join("transientpool")
    }

    pub(super) fn index_dir(&self) -> PathBuf {
        self.root_dir.join("index")
    }

    pub(super) fn shape(&self) -> Shape {
        Shape {
            slots: self.max_hash_slot_num.max(1),
            entries: self.max_index_num,
        }
    }

    pub(super) fn store_options(&self) -> StoreOptions {
        StoreOptions {
            delay_levels_ms: self.delay_levels_ms.clone(),
            ..StoreOptions::new(&self.root_dir)
        }
    }

    /// Whether there is a store that can be examined.
    pub(super) fn check(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        let refuse = |path: &Path, reason: String| {
            Err(StoreError::NotExaminable {
                path: path.to_path_buf(),
                reason,
            })
        };
        let root = &self.root_dir;
        if !is_dir(disk, root)? {
            return refuse(root, "there is no such directory".to_owned());
        }
        for dir in self.commit_log_dirs() {
            if is_dir(disk, &dir)? {
                continue;
            }
            let inner = root.join("store");
            let hint = if is_dir(disk, &inner.join("commitlog"))? {
                format!("the store is {}", inner.display())
            } else {
                "give the directory that storePathRootDir names, and --commit-log-dir if storePathCommitLog is set"
                    .to_owned()
            };
            return refuse(root, format!("there is no {}; {hint}", dir.display()));
        }
        let queues = self.consume_queue_dir();
        let entries = disk
            .list(&queues)
            .map_err(StoreError::io("list", &queues))?;
        if entries.iter().any(|entry| entry.name == "CURRENT") {
            let reason = "it is a RocksDB database (storeType=defaultRocksDB), which is not read";
            return refuse(&queues, reason.to_owned());
        }
        Ok(())
    }
}

impl From<&StoreOptions> for StoreLayout {
    /// The layout that a store with these options has.
    fn from(options: &StoreOptions) -> Self {
        Self {
            root_dir: options.root_dir.clone(),
            commit_log_dirs: options.commit_log_dir.iter().cloned().collect(),
            commit_log_file_size: None,
            consume_queue_file_size: None,
            max_hash_slot_num: options.max_hash_slot_num,
            max_index_num: options.max_index_num,
            delay_levels_ms: options.delay_levels_ms.clone(),
            max_findings: 1000,
        }
    }
}

/// Whether a directory is there. An empty listing says nothing, so its parent is asked.
fn is_dir(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
    let entries = disk.list(dir).map_err(StoreError::io("list", dir))?;
    if !entries.is_empty() {
        return Ok(true);
    }
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Ok(true);
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let name = name.to_string_lossy();
    let entries = disk.list(parent).map_err(StoreError::io("list", parent))?;
    Ok(entries
        .iter()
        .any(|entry| entry.is_dir && entry.name == name))
}
