// SPDX-License-Identifier: Apache-2.0
//! The message index: from a key, or a unique key, of a topic to commit-log offsets (store.md 3.5, 3.6).
//!
//! The index works behind the appends and never holds them up. Of a new record it gets the key hashes with the append
//! ([`Feed`]), of all others it reads the record in the commit log. It knows how far it is from its own files: the last
//! entry's record. So it catches up after a kill, and a missing or wrong file is made again from the log, in the
//! background while the store already serves. A key query first lets it catch up.

mod feed;
mod file;
mod keys;
pub(crate) mod layout;
mod soundness;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{Local, TimeZone};
use parking_lot::{Mutex, MutexGuard};

use super::StoreError;
use super::disk::Disk;
use super::recovery::{Bounds, walk};
use super::segments::SegmentFiles;
use feed::Taken;
pub(crate) use feed::{Fed, Feed};
use file::{IndexFile, Key, Search};
pub(crate) use keys::KeyHasher;
pub use keys::Keys;
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
    /// Once the store takes messages.
    feed: OnceLock<Arc<Feed>>,
    /// What a pass took from the feed; kept for its memory.
    taken: Mutex<Taken>,
    /// Commit-log offset before which all keys are in the files.
    indexed: AtomicU64,
    /// Latest store time of the records whose keys are in the files.
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
            feed: OnceLock::new(),
            taken: Mutex::default(),
            indexed: AtomicU64::new(0),
            last_timestamp: AtomicI64::new(0),
            is_failing: AtomicBool::new(false),
        };
        Ok(LoadedIndex { index, removed })
    }

    /// Where the appends of a log that ends at `end` put what the index needs of them.
    pub(crate) fn feed(&self, end: u64) -> Arc<Feed> {
        Arc::clone(self.feed.get_or_init(|| Arc::new(Feed::new(end))))
    }

    /// Commit-log offset before which all keys are in the files.
    pub(crate) fn indexed(&self) -> u64 {
        self.indexed.load(Ordering::Acquire)
    }

    /// Latest store time of the records whose keys are in the files, Unix milliseconds.
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

    /// Takes up to `most` further records before `end`; returns whether there may be more.
    ///
    /// # Errors
    /// A file could not be written; the next call goes on where this one stopped.
    pub(crate) fn catch_up(
        &self,
        log: &SegmentFiles,
        end: u64,
        most: usize,
    ) -> Result<bool, StoreError> {
        let files = self.files.lock();
        let start = self.indexed().max(log.first().unwrap_or(0));
        if start >= end {
            return Ok(false);
        }
        let mut pass = Pass {
            index: self,
            files,
            reached: start,
            last_timestamp: 0,
        };
        let outcome = pass.take(log, end, most);
        let written = pass.write().map_err(StoreError::io("write", &self.dir));
        let has_more = outcome?;
        written?;
        Ok(has_more)
    }

    /// As [`MessageIndex::catch_up`]; errors are logged, once until it works again. The index never stops the store.
    pub(crate) fn catch_up_or_log(&self, log: &SegmentFiles, end: u64, most: usize) -> bool {
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

/// One pass of the index over further records.
struct Pass<'a> {
    index: &'a MessageIndex,
    files: MutexGuard<'a, Vec<IndexFile>>,
    /// Commit-log offset before which all keys are in the files or gathered.
    reached: u64,
    /// Latest store time of the records before it.
    last_timestamp: i64,
}

impl Pass<'_> {
    /// Gathers the keys of up to `most` records before `end`; returns whether there may be more.
    fn take(&mut self, log: &SegmentFiles, end: u64, most: usize) -> Result<bool, StoreError> {
        let Some(feed) = self.index.feed.get() else {
            return self.read(log, end, most);
        };
        let taken = &mut *self.index.taken.lock();
        if let Err(start) = feed.take(self.reached, end, most, taken) {
            return Ok(self.read(log, end.min(start), most)? || start < end);
        }
        let mut hashes = taken.hashes.iter();
        for record in &taken.records {
            for hash in hashes.by_ref().take(record.keys as usize) {
                self.add(Key {
                    hash: *hash,
                    offset: record.offset.cast_signed(),
                    timestamp: record.timestamp,
                })?;
            }
            self.pass(record.timestamp, record.end());
        }
        Ok(taken.records.len() == most)
    }

    /// As [`Pass::take`], from the log.
    fn read(&mut self, log: &SegmentFiles, end: u64, most: usize) -> Result<bool, StoreError> {
        let bounds = Bounds::written(self.reached, end);
        let mut hasher = KeyHasher::default();
        let mut left = most;
        let walked = walk(log, &bounds, &mut |offset, record| {
            if offset >= end {
                return Ok(ControlFlow::Break(()));
            }
            let time = record.store_timestamp;
            hasher.each_key(record, &mut |hash| {
                self.add(Key {
                    hash,
                    offset: offset.cast_signed(),
                    timestamp: time,
                })
            })?;
            self.pass(time, offset + record.size as u64);
            left = left.saturating_sub(1);
            Ok(if left == 0 || self.reached >= end {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        self.reached = self.reached.max(walked.end.min(end));
        Ok(self.reached < end)
    }

    /// All keys of a record that ends at `end` are gathered.
    fn pass(&mut self, timestamp: i64, end: u64) {
        self.last_timestamp = self.last_timestamp.max(timestamp);
        self.reached = end;
    }

    fn add(&mut self, key: Key) -> Result<(), StoreError> {
        if let Some(file) = self.files.last_mut().filter(|file| !file.is_full()) {
            file.add(key);
            return Ok(());
        }
        let rolled = self.roll(key.timestamp);
        rolled.map_err(StoreError::io("write", &self.index.dir))?;
        if let Some(file) = self.files.last_mut() {
            file.add(key);
        }
        Ok(())
    }

    /// Ends the newest file and begins the next.
    fn roll(&mut self, timestamp: i64) -> io::Result<()> {
        self.write()?;
        let index = self.index;
        let before = self.files.last().map(|file| file.header);
        if let Some(Err(error)) = self
            .files
            .last_mut()
            .map(|file| file.flush(index.disk.as_ref()))
        {
            // What of it is on disk is not known, and a second sync would not tell: its keys are read again.
            let lost = self.files.pop();
            let before = self.files.last().map_or(0, |file| file.header.end_offset);
            self.reached = before.cast_unsigned();
            lost.map_or(Ok(()), |lost| index.disk.remove_file(lost.path()))?;
            return Err(error);
        }
        let path = index.dir.join(next_name(self.files.last(), timestamp));
        let (disk, before) = (index.disk.as_ref(), before.unwrap_or_default());
        self.files
            .push(IndexFile::create(disk, path, index.shape, before)?);
        Ok(())
    }

    /// Writes what was gathered; if that fails, it is to be read again.
    fn write(&mut self) -> io::Result<()> {
        let (index, files) = (self.index, &mut self.files);
        let written = files.last_mut().map(|file| file.write(index.disk.as_ref()));
        if let Some(Err(error)) = written {
            self.reached = index.indexed();
            return Err(error);
        }
        index.indexed.store(self.reached, Ordering::Release);
        let last = &index.last_timestamp;
        last.fetch_max(self.last_timestamp, Ordering::AcqRel);
        Ok(())
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
