// SPDX-License-Identifier: Apache-2.0
//! The message store: a commit log, consume queues that point into it, and their recovery (store.md).
//!
//! Before this step: a processor of the broker, with the records of one read of a connection in an [`AppendBatch`].
//! After it: the reply, which needs the offsets of [`Appended`], and waiting pulls, which [`MessageStore::get`] serves.
//!
//! Invariants:
//! - the store knows no request codes, sockets or permissions: it gets records and returns positions;
//! - files are touched only through [`disk::Disk`], the time comes only from [`clock::Clock`];
//! - a message is visible when it is as safe as [`Flush`] promises, and not before;
//! - after a failed write or sync nothing is acknowledged any more ([`AppendError::Poisoned`]);
//! - consume queues, the checkpoint and the abort file are derived: missing or wrong, they are rebuilt and reported.
//!
//! Locks are taken in this order: append lock, a queue's writer, next segment, a directory's slots, the index's feed.

mod background;
mod checkpoint;
mod cleaner;
pub mod clock;
mod commit_log;
mod consume_queue;
pub mod disk;
mod error;
mod flush;
mod get;
mod index;
pub mod inspect;
mod key_query;
pub mod light;
mod lock;
mod mapped_file;
mod message_filter;
mod options;
mod put_times;
mod puts;
mod query;
mod queue_flush;
mod recovery;
#[doc(hidden)]
pub mod sabotage;
mod segments;
mod signal;
mod thread;
pub(crate) mod timer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use background::Background;
use checkpoint::CheckpointFile;
use cleaner::Cleaner;
use clock::Clock;
use commit_log::{CommitLog, Limits, TransientPool};
use consume_queue::QueueTable;
use disk::Disk;
use index::{LoadedIndex, MessageIndex, Shape, Survived};
use lock::StoreLock;
use put_times::PutTimes;
use recovery::Recovery;
use sabotage::Sabotage;
use segments::SegmentFiles;

pub use cleaner::{Consumed, ConsumedOf, Retention};
pub use commit_log::{AppendBatch, AppendOutcome, Appended};
pub use consume_queue::QueueHandle;
pub use error::{AppendError, StoreError};
pub use flush::FlushReport;
pub use get::{GetResult, GetStatus};
pub use index::Keys;
pub use key_query::KeyQuery;
pub use message_filter::{BitSource, MessageFilter, StoredBits};
pub use options::{Flush, StoreOptions};
pub use put_times::PutDurations;
pub use puts::Puts;
pub use query::{Boundary, DiskUse, Figures, QueueUnit};
pub use recovery::RecoveryReport;
pub use thread::StoreThread;

/// A store on a disk.
pub struct MessageStore {
    options: StoreOptions,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    log: CommitLog,
    queues: QueueTable,
    /// `None` with `messageIndexEnable=false`.
    index: Option<MessageIndex>,
    checkpoint: CheckpointFile,
    /// This run of the machine.
    boot_id: u64,
    background: Background,
    cleaner: Mutex<Cleaner>,
    bit_source: OnceLock<Arc<dyn BitSource>>,
    /// Notified after each flush of the log.
    flushed: (Mutex<()>, parking_lot::Condvar),
    /// Commit-log end at the start: records below were not written by this process.
    recovered_end: i64,
    /// How many of the newest bytes are thought to be in memory.
    resident_bytes: i64,
    put_times: PutTimes,
    failed_puts: AtomicU64,
    damaged_reads: AtomicU64,
    unconsumed_removed: AtomicU64,
    is_disk_full: AtomicBool,
    is_closed: AtomicBool,
    lock: Mutex<Option<StoreLock>>,
}

impl MessageStore {
    /// Opens the store in `options.root_dir`, making it if it is not there: lock, then recovery, then ready.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if somebody else has it, [`StoreError::ForeignFile`] if the commit log's directory holds
    /// something else or segments of another length, [`StoreError::Io`] if a file can not be used.
    pub fn open(
        options: StoreOptions,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, RecoveryReport), StoreError> {
        options.check()?;
        let root = options.root_dir.clone();
        let log_dir = options.commit_log_dir();
        let queues_dir = options.consume_queue_dir();
        for dir in [&root, &log_dir, &queues_dir] {
            disk.create_dir_all(dir)
                .map_err(StoreError::io("create", dir))?;
        }
        let lock = StoreLock::take(disk.as_ref(), &root)?;

        let expected_len = options.commit_log_file_size;
        let files = SegmentFiles::load(Arc::clone(&disk), log_dir.clone(), expected_len)
            .map_err(StoreError::io("list", &log_dir))?
            .map_err(|misfit| StoreError::ForeignFile {
                path: misfit.path,
                expected_len,
                reason: misfit.reason,
            })?;
        let loaded = QueueTable::load(Arc::clone(&disk), options.queue_layout())
            .map_err(StoreError::io("list", &queues_dir))?;
        let (index, removed_index) = Self::load_index(&options, &disk)?;
        let checkpoint = CheckpointFile::new(Arc::clone(&disk), root.join("checkpoint"));
        let last_checkpoint = checkpoint.read();
        let boot_id = disk.boot_id();
        let mut recovered = Recovery {
            disk: disk.as_ref(),
            options: &options,
            log: &files,
            queues: &loaded.table,
            checkpoint: last_checkpoint,
            checkpoint_file: &checkpoint,
            is_after_crash: lock.is_after_crash,
            boot_id,
            now_ms: clock.now_ms(),
            removed_queues: loaded.removed,
        }
        .run()?;

        recovered.report.rebuilt_index = removed_index;
        if let Some(index) = &index {
            let is_own = last_checkpoint
                .exact
                .is_some_and(|exact| exact.boot_id == boot_id);
            let survived = match last_checkpoint.exact {
                _ if !lock.is_after_crash => Survived::All,
                Some(_) if is_own => Survived::AllButFullNewest,
                Some(_) => Survived::AllButNewest,
                None => Survived::Until(last_checkpoint.to_go_on(clock.now_ms()).index_timestamp),
            };
            let removed = index.settle(&files, recovered.walked.end, survived)?;
            recovered.report.rebuilt_index.extend(removed);
        }
        let walked = &recovered.walked;
        commit_log::remove_buffers(disk.as_ref(), &root)
            .map_err(StoreError::io("remove a buffer in", &root))?;
        let pool = options.has_pool().then(|| {
            let (size, fails_fast) = (
                options.transient_store_pool_size,
                options.fast_fail_if_no_buffer,
            );
            TransientPool::new(Arc::clone(&disk), &root, size, fails_fast)
        });
        let mut log = CommitLog::start(
            files,
            walked.end,
            recovered.flushed,
            walked.last_timestamp,
            recovered.units,
            pool,
        )
        .map_err(StoreError::io("open a segment of", &log_dir))?;
        log.feed = index.as_ref().map(|index| index.feed(walked.end));
        log.appends_crc = options.append_prop_crc;
        log.is_synchronous = options.flush == Flush::Sync;
        let resident = disk.memory_bytes() / 100 * options.access_message_in_memory_max_ratio;
        let now_ms = clock.now_ms();
        let store = Self {
            background: Background::new(last_checkpoint.to_go_on(now_ms), &recovered, now_ms),
            cleaner: Mutex::new(Cleaner::new(&options, now_ms)),
            bit_source: OnceLock::new(),
            flushed: Default::default(),
            recovered_end: walked.end.cast_signed(),
            resident_bytes: i64::try_from(resident).unwrap_or(i64::MAX),
            put_times: PutTimes::default(),
            failed_puts: AtomicU64::new(0),
            damaged_reads: AtomicU64::new(0),
            unconsumed_removed: AtomicU64::new(0),
            is_disk_full: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
            queues: loaded.table,
            index,
            options,
            disk,
            clock,
            log,
            checkpoint,
            boot_id,
        };
        store.mark_rebuilt_queues();
        if store.options.flush == Flush::Sync {
            // What recovery found becomes visible now, so it must be on disk.
            store.log.flush_to(store.log.written())?;
        }
        // Says in which run of the machine the store is written, before anything is.
        store.write_checkpoint()?;
        Ok((Arc::new(store), recovered.report))
    }

    fn load_index(
        options: &StoreOptions,
        disk: &Arc<dyn Disk>,
    ) -> Result<(Option<MessageIndex>, Vec<PathBuf>), StoreError> {
        if !options.message_index {
            return Ok((None, Vec::new()));
        }
        let dir = options.root_dir.join("index");
        let shape = Shape {
            slots: options.max_hash_slot_num,
            entries: options.max_index_num,
        };
        let LoadedIndex { index, removed } =
            MessageIndex::load(Arc::clone(disk), dir.clone(), shape)
                .map_err(StoreError::io("read", &dir))?;
        Ok((Some(index), removed))
    }

    /// The queue, to append to or read from; made if it is not there (its files appear with its first message).
    ///
    /// # Errors
    /// [`StoreError::IllegalName`] if the topic can not name a directory or `queue_id` is negative.
    pub fn queue(&self, topic: &str, queue_id: i32) -> Result<Arc<QueueHandle>, StoreError> {
        if let Some(queue) = self.queues.find(topic, queue_id) {
            return Ok(queue);
        }
        if queue_id < 0 || !is_storable(topic) {
            return Err(StoreError::IllegalName {
                topic: topic.to_owned(),
                queue_id,
            });
        }
        Ok(self.queues.find_or_add(topic, queue_id))
    }

    /// The queue, if it is there; to be used for reads, so that asking makes nothing.
    pub fn find_queue(&self, topic: &str, queue_id: i32) -> Option<Arc<QueueHandle>> {
        self.queues.find(topic, queue_id)
    }

    /// A light queue to append to, made if it is not there.
    ///
    /// # Errors
    /// [`StoreError::IllegalName`] if it is none or can not name a directory, [`StoreError::TooManyLightQueues`].
    pub fn light_queue(&self, name: &str) -> Result<Arc<QueueHandle>, StoreError> {
        if let Some(queue) = self.queues.find(name, 0) {
            return Ok(queue);
        }
        if !light::is_light(name) || !is_storable(name) {
            return Err(StoreError::IllegalName {
                topic: name.to_owned(),
                queue_id: 0,
            });
        }
        let max = self.options.max_light_queues;
        if self
            .queues
            .count(kerolox_protocol::message::name::LMQ_PREFIX)
            >= max
        {
            return Err(StoreError::TooManyLightQueues { max });
        }
        Ok(self.queues.find_or_add(name, 0))
    }

    /// All topics with their queue ids, sorted.
    pub fn topics(&self) -> Vec<(String, Vec<i32>)> {
        self.queues.names()
    }

    /// Removes the queues of a topic. Its records stay in the commit log until they expire.
    ///
    /// The log is flushed before: the report says what became safe and visible by that.
    ///
    /// # Errors
    /// A file can not be removed.
    pub fn delete_topic(&self, topic: &str) -> Result<FlushReport, StoreError> {
        // The checkpoint below can only say where the queues are now if the log is on disk that far.
        let flushed = self.flush_pass().unwrap_or_else(|error| {
            tracing::warn!(%error, topic, "the next start will read the whole log, and the topic's queues come back");
            FlushReport::default()
        });
        let dir = self.options.consume_queue_dir();
        let removed = self.queues.remove(topic);
        let units = removed.map_err(StoreError::io("remove a topic of", &dir))?;
        self.log.tail.lock().units -= units;
        // Else a start after a kill would miss the queue and make it again from the log.
        self.flush_all_queues()?;
        self.write_checkpoint()?;
        Ok(flushed)
    }

    /// An empty batch with this store's limits.
    pub fn new_batch(&self) -> AppendBatch {
        let limits = Limits {
            max_body: self.options.max_message_size,
            segment_len: usize::try_from(self.options.commit_log_file_size).unwrap_or(usize::MAX),
            appends_crc: self.options.append_prop_crc,
            is_indexed: self.index.is_some(),
        };
        AppendBatch::new(limits, self.bit_source.get().cloned())
    }

    /// From now on new batches keep the bits of `source` in the extensions of consume queues. The first source stays.
    pub fn calculate_bits(&self, source: Arc<dyn BitSource>) {
        if self.bit_source.set(source).is_err() {
            tracing::warn!("bits of messages are calculated already");
        }
    }

    /// Appends all records of the batch under one short lock; the batch has a result for each.
    ///
    /// Under [`Flush::Async`] they are visible on return. Under [`Flush::Sync`] they are safe and visible once
    /// [`MessageStore::flushed_offset`] has reached [`AppendOutcome::end_offset`]; the background thread is woken for it.
    pub fn append(&self, batch: &mut AppendBatch) -> AppendOutcome {
        if let Some(error) = self.refusal() {
            batch.arrivals.clear();
            batch.results.clear();
            batch
                .results
                .extend(batch.entries.iter().map(|_| Err(error)));
            self.count_failed(batch.entries.len());
            let end_offset = self.commit_log_max();
            return AppendOutcome {
                appended: 0,
                end_offset,
                is_low: false,
            };
        }
        let shows_at_once = self.options.flush == Flush::Async && !self.log.has_pool()
            || sabotage::is(Sabotage::ShownTooEarly);
        let started_ms = self.clock.now_ms();
        let outcome = self.log.append(batch, shows_at_once, started_ms);
        self.wake_after_append(outcome.is_low);
        let took_ms = self.clock.now_ms().saturating_sub(started_ms);
        if took_ms > 0 {
            self.put_times.slow(took_ms, batch.calls());
        }
        if outcome.appended < batch.entries.len() {
            self.count_failed(batch.entries.len() - outcome.appended);
        }
        outcome
    }

    fn count_failed(&self, messages: usize) {
        self.failed_puts
            .fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// The whole record at a commit-log offset, if there is one that consumers may see.
    pub fn record_at(&self, physical_offset: i64) -> Option<Bytes> {
        let offset = u64::try_from(physical_offset).ok()?;
        if offset >= self.visible_end() {
            return None;
        }
        self.log.record(offset).ok()?
    }

    /// Lowest commit-log offset that exists.
    pub fn commit_log_min(&self) -> i64 {
        self.log.min().cast_signed()
    }

    /// Commit-log offset of the next record.
    pub fn commit_log_max(&self) -> i64 {
        self.log.written().cast_signed()
    }

    /// Commit-log offset before which everything is in the log's files (the reference's committedWhere): below
    /// [`MessageStore::commit_log_max`] only with the transient store pool.
    pub fn committed_offset(&self) -> i64 {
        self.log.committed().cast_signed()
    }

    /// Damaged records that reads met so far.
    pub(crate) fn damaged_reads(&self) -> u64 {
        self.damaged_reads.load(Ordering::Relaxed)
    }

    /// Commit-log offset before which everything is on disk.
    pub fn flushed_offset(&self) -> i64 {
        self.log.flushed().cast_signed()
    }

    /// Whether messages are taken: no write failed, the disk is not full, the store is not shut down.
    pub fn is_writable(&self) -> bool {
        self.refusal().is_none()
    }

    /// Whether a write or a flush failed: what was not flushed before never will be, and must not be acknowledged.
    pub fn is_poisoned(&self) -> bool {
        self.log.is_poisoned()
    }

    /// The options the store was opened with.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn refusal(&self) -> Option<AppendError> {
        let is_full = || self.is_disk_full.load(Ordering::Acquire);
        self.log
            .refusal()
            .or_else(|| is_full().then_some(AppendError::DiskFull))
    }

    /// Commit-log offset before which records may be shown.
    fn visible_end(&self) -> u64 {
        match self.options.flush {
            Flush::Async => self.log.committed(),
            Flush::Sync => self.log.flushed(),
        }
    }

    /// Flushes everything, writes the checkpoint, removes the abort file and releases the lock. Stop the
    /// [`StoreThread`] before. A second call does nothing.
    ///
    /// # Errors
    /// Something could not be flushed; the abort file then stays, and the next start recovers.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.log.close();
        let flushed = self.finish_all();
        let lock = self.lock.lock().take();
        flushed?;
        match lock {
            Some(lock) => lock.finish(self.disk.as_ref()),
            None => Ok(()),
        }
    }
}

/// Whether a topic's name can be the name of its directory. Which names are legal is the broker's business.
fn is_storable(topic: &str) -> bool {
    const MAX_FILE_NAME: usize = 255;
    let mut components = Path::new(topic).components();
    let is_one_name = matches!(
        (components.next(), components.next()),
        (Some(std::path::Component::Normal(name)), None) if name == topic
    );
    is_one_name && topic.len() <= MAX_FILE_NAME && !topic.contains(['\\', '\0'])
}
