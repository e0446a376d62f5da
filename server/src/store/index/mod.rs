// SPDX-License-Identifier: Apache-2.0
//! The message index: from a key, or a unique key, of a topic to commit-log offsets (store.md 3.5, 3.6).
//!
//! The index reads the commit log behind the appends and never holds them up. It knows how far it is from its own files:
//! the last entry's record. So it catches up after a kill, and a missing or wrong file is made again from the log, in the
//! background while the store already serves. A key query first lets it catch up.

mod file;
mod keys;
pub(crate) mod layout;
mod soundness;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use chrono::{Local, TimeZone};
use parking_lot::Mutex;

use super::StoreError;
use super::disk::Disk;
use super::recovery::{Beyond, Bounds, walk};
use super::segments::SegmentFiles;
use file::{IndexFile, Search};
use keys::KeyHasher;
pub(crate) use layout::Shape;
pub(crate) use soundness::Survived;

/// Digits of a file name: year to millisecond of its creation, local time.
const NAME_DIGITS: usize = 17;

/// The index of a store.
pub(crate) struct MessageIndex {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shape: Shape,
    /// Oldest first.
    files: Mutex<Vec<IndexFile>>,
    /// Commit-log offset before which all keys are in the files.
    indexed: AtomicU64,
    /// Store time of the last record that was read for the index.
    last_timestamp: AtomicI64,
    /// The last pass failed; said once.
    is_failing: AtomicBool,
}

/// A key of a topic within a span of store times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySearch<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: &'a str,
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
}

/// What loading found.
pub(crate) struct LoadedIndex {
    pub(crate) index: MessageIndex,
    /// Files that can not be right and were removed; their keys are read from the log again.
    pub(crate) removed: Vec<PathBuf>,
}

impl MessageIndex {
    /// Finds the files of `dir`. Files of another length are removed, foreign ones left alone.
    pub(crate) fn load(disk: Arc<dyn Disk>, dir: PathBuf, shape: Shape) -> io::Result<LoadedIndex> {
        disk.create_dir_all(&dir)?;
        let mut files = Vec::new();
        let mut removed = Vec::new();
        for entry in disk.list(&dir)?.into_iter().filter(|entry| !entry.is_dir) {
            let path = dir.join(&entry.name);
            if !is_file_name(&entry.name) {
                tracing::warn!(file = %path.display(), "this is no index file; it is left alone");
                continue;
            }
            if entry.len == shape.file_len() {
                files.push(IndexFile::load(disk.as_ref(), path, shape)?);
            } else {
                tracing::warn!(
                    file = %path.display(),
                    len = entry.len,
                    expected = shape.file_len(),
                    "index file is cut, or of another maxHashSlotNum or maxIndexNum; it is made again"
                );
                disk.remove_file(&path)?;
                removed.push(path);
            }
        }
        if let Some(newest) = files.last_mut() {
            // The process that wrote it may have died before it did.
            newest.is_flushed = false;
        }
        let index = Self {
            disk,
            dir,
            shape,
            files: Mutex::new(files),
            indexed: AtomicU64::new(0),
            last_timestamp: AtomicI64::new(0),
            is_failing: AtomicBool::new(false),
        };
        Ok(LoadedIndex { index, removed })
    }

    /// Commit-log offset before which all keys are in the files.
    pub(crate) fn indexed(&self) -> u64 {
        self.indexed.load(Ordering::Acquire)
    }

    /// Store time of the last record that was read for the index, Unix milliseconds.
    pub(crate) fn last_timestamp(&self) -> i64 {
        self.last_timestamp.load(Ordering::Acquire)
    }

    /// Store time and commit-log offset of the last entry; 0 without one.
    pub(crate) fn end(&self) -> (i64, i64) {
        let files = self.files.lock();
        let last = files.iter().rev().find(|file| !file.is_empty());
        last.map_or((0, 0), |file| {
            (file.header.end_timestamp, file.header.end_offset)
        })
    }

    /// Reads up to `most` further records before `end`; returns whether there are more.
    ///
    /// # Errors
    /// A file could not be written; the next call goes on where this one stopped.
    pub(crate) fn catch_up(
        &self,
        log: &SegmentFiles,
        end: u64,
        most: u64,
    ) -> Result<bool, StoreError> {
        let mut files = self.files.lock();
        let start = self.indexed().max(log.first().unwrap_or(0));
        if start >= end {
            return Ok(false);
        }
        let bounds = Bounds {
            start,
            trusted: end,
            beyond: Beyond::Cut,
            checks_bodies: false,
            needs_crc: false,
        };
        let mut hasher = KeyHasher::default();
        let mut left = most;
        let walked = walk(log, &bounds, &mut |offset, record| {
            if offset >= end {
                return Ok(ControlFlow::Break(()));
            }
            let offset = offset.cast_signed();
            let time = record.store_timestamp;
            hasher.each_key(record, &mut |key_hash| {
                self.insert(&mut files, key_hash, offset, time)
                    .map_err(StoreError::io("write", &self.dir))
            })?;
            self.last_timestamp.fetch_max(time, Ordering::AcqRel);
            // The walk may fail later, for want of space: what is done stays done.
            let after = offset.cast_unsigned() + record.size as u64;
            self.indexed.store(after, Ordering::Release);
            left = left.saturating_sub(1);
            Ok(if left == 0 || after >= end {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        let done = walked.end.min(end).max(self.indexed());
        self.indexed.store(done, Ordering::Release);
        Ok(done < end)
    }

    /// As [`MessageIndex::catch_up`]; errors are logged, once until it works again. The index never stops the store.
    pub(crate) fn catch_up_or_log(&self, log: &SegmentFiles, end: u64, most: u64) -> bool {
        match self.catch_up(log, end, most) {
            Ok(is_behind) => {
                self.is_failing.store(false, Ordering::Relaxed);
                is_behind
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the message index can not go on; queries by key miss new messages until it can");
                }
                false
            }
        }
    }

    fn insert(
        &self,
        files: &mut Vec<IndexFile>,
        key_hash: i32,
        offset: i64,
        timestamp: i64,
    ) -> io::Result<()> {
        if files.last().is_none_or(IndexFile::is_full) {
            let before = files.last().map(|file| file.header).unwrap_or_default();
            if let Some(Err(error)) = files.last_mut().map(|file| file.flush(self.disk.as_ref())) {
                // What of it is on disk is not known, and a second sync would not tell: its keys are read again.
                if let Some(lost) = files.pop() {
                    self.disk.remove_file(lost.path())?;
                }
                let before = files.last().map_or(0, |file| file.header.end_offset);
                self.indexed
                    .store(before.cast_unsigned(), Ordering::Release);
                return Err(error);
            }
            let path = self.dir.join(next_name(files.last(), timestamp));
            files.push(IndexFile::create(
                self.disk.as_ref(),
                path,
                self.shape,
                before,
            )?);
        }
        match files.last_mut() {
            Some(file) => file.insert(self.disk.as_ref(), key_hash, offset, timestamp),
            None => Ok(()),
        }
    }

    /// Commit-log offsets of records that probably have the key, newest first, at most `max`; the hash alone decides.
    pub(crate) fn search(
        &self,
        search: &KeySearch<'_>,
        max: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let wanted = Search {
            key_hash: layout::key_hash(search.topic, search.key),
            begin_ms: search.begin_ms,
            end_ms: search.end_ms,
        };
        let mut found = Vec::new();
        for file in self.files.lock().iter_mut().rev() {
            file.search(self.disk.as_ref(), &wanted, max, &mut found)
                .map_err(StoreError::io("read", file.path()))?;
            if found.len() >= max
                || (!file.is_empty() && file.header.begin_timestamp < search.begin_ms)
            {
                break;
            }
        }
        // A record whose insertion was interrupted is there twice.
        found.dedup();
        Ok(found)
    }

    /// Removes files whose records all lie below `log_min`, never the newest.
    pub(crate) fn remove_expired(&self, log_min: i64) -> io::Result<usize> {
        let mut files = self.files.lock();
        let mut removed = 0;
        while files.len() > 1
            && let Some(oldest) = files.first()
            && oldest.header.end_offset < log_min
        {
            self.disk.remove_file(oldest.path())?;
            files.remove(0);
            removed += 1;
        }
        Ok(removed)
    }

    /// Makes everything durable; for the shutdown.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        for file in self.files.lock().iter_mut() {
            file.flush(self.disk.as_ref())
                .map_err(StoreError::io("flush", file.path()))?;
        }
        Ok(())
    }

    /// Unmaps files that were not used since the last call; the newest stays.
    pub(crate) fn unmap_idle(&self) {
        let mut files = self.files.lock();
        let older = files.len().saturating_sub(1);
        files
            .iter_mut()
            .take(older)
            .for_each(IndexFile::close_if_idle);
    }
}

fn is_file_name(name: &str) -> bool {
    name.len() == NAME_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Name of a file that begins with a record stored at `timestamp`; names rise whatever the clock does.
fn next_name(last: Option<&IndexFile>, timestamp: i64) -> String {
    let time = Local.timestamp_millis_opt(timestamp).earliest();
    let now: u64 = time
        .map(|time| time.format("%Y%m%d%H%M%S%3f").to_string())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let last = last
        .and_then(|file| file.path().file_name()?.to_str()?.parse::<u64>().ok())
        .map_or(0, |name| name + 1);
    format!("{:017}", now.max(last))
}
