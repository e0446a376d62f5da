// SPDX-License-Identifier: Apache-2.0
//! Options of the store; names of the reference in brackets (store.md 12.1).

use std::path::PathBuf;

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{name, properties, property, tags};

use super::StoreError;
use super::consume_queue::{QueueLayout, UNIT_BYTES};
use super::sabotage::{self, Sabotage};

/// When an appended message is acknowledged and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// At once; it survives the death of the process, and of the machine after the next flush.
    #[default]
    Async,
    /// When it is on disk.
    Sync,
}

/// Options of a [`super::MessageStore`].
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Root of all files (`storePathRootDir`).
    pub root_dir: PathBuf,
    /// Directory of the commit log (`storePathCommitLog`); `<root>/commitlog` if `None`.
    pub commit_log_dir: Option<PathBuf>,
    /// Length of a commit-log segment, bytes (`mappedFileSizeCommitLog`).
    pub commit_log_file_size: u64,
    /// Length of a consume-queue segment, bytes, rounded up to whole units (`mappedFileSizeConsumeQueue`).
    pub consume_queue_file_size: u64,
    /// Whether tags codes are written to extension files, too (`enableConsumeQueueExt`).
    pub consume_queue_ext: bool,
    /// Length of a segment of an extension, bytes (`mappedFileSizeConsumeQueueExt`).
    pub consume_queue_ext_file_size: u64,
    /// (`flushDiskType`).
    pub flush: Flush,
    /// Whether each record ends with a property that holds the CRC of all before it (`enabledAppendPropCRC`).
    pub append_prop_crc: bool,
    /// Whether a record without that property, or with a wrong one, counts as damaged (`forceVerifyPropCRC`).
    pub force_verify_prop_crc: bool,
    /// Longest body, bytes; a record may have 64 KiB more (`maxMessageSize`).
    pub max_message_size: usize,
    /// Age at which segments are removed, hours (`fileReservedTime`).
    pub file_reserved_time_h: u64,
    /// Local hours at which expired segments are removed, `;` between them (`deleteWhen`).
    pub delete_when: String,
    /// Delay levels from 1, milliseconds (`messageDelayLevel`).
    pub delay_levels_ms: Vec<i64>,
    /// Between flushes of the log under [`Flush::Async`], milliseconds (`flushIntervalCommitLog`).
    pub flush_interval_commit_log_ms: i64,
    /// Whether the flush thread under [`Flush::Async`] waits for the interval only, or is woken by appends too
    /// (`flushCommitLogTimed`).
    pub flush_commit_log_timed: bool,
    /// Dirty pages from which an append wakes the flush (`flushCommitLogLeastPages`).
    pub flush_commit_log_least_pages: u64,
    /// Longest time between flushes of the log, if it is shorter than the interval (`flushCommitLogThoroughInterval`).
    pub flush_commit_log_thorough_interval_ms: i64,
    /// Whether appends wake the flush under [`Flush::Async`] in any case (`wakeFlushWhenPutMessage`).
    pub wake_flush_when_put_message: bool,
    /// Whether records go to buffers first (`transientStorePoolEnable`); only under [`Flush::Async`].
    pub transient_store_pool: bool,
    /// Most buffers, each as long as a commit-log segment (`transientStorePoolSize`).
    pub transient_store_pool_size: usize,
    /// What a lack of buffers is: no segment, or a reason to try again (`fastFailIfNoBufferInStorePool`).
    pub fast_fail_if_no_buffer: bool,
    /// Between commits of the buffers, milliseconds (`commitIntervalCommitLog`).
    pub commit_interval_ms: i64,
    /// Uncommitted pages from which an append wakes the commit (`commitCommitLogLeastPages`).
    pub commit_commit_log_least_pages: u64,
    /// Longest time between commits (`commitCommitLogThoroughInterval`).
    pub commit_thorough_interval_ms: i64,
    /// Whether appends wake the commit (`wakeCommitWhenPutMessage`).
    pub wake_commit_when_put_message: bool,
    /// Between flushes of the consume queues, milliseconds (`flushIntervalConsumeQueue`).
    pub flush_interval_consume_queue_ms: i64,
    /// Dirty pages below which the flush of a queue is put off (`flushConsumeQueueLeastPages`).
    pub flush_consume_queue_least_pages: u64,
    /// Between flushes of all queues, milliseconds (`flushConsumeQueueThoroughInterval`).
    pub flush_consume_queue_thorough_interval_ms: i64,
    /// Between passes of the cleaner, milliseconds (`cleanResourceInterval`).
    pub clean_resource_interval_ms: i64,
    /// Between attempts at a first segment that could not be removed (`redeleteHangedFileInterval`).
    pub redelete_hanged_file_interval_ms: i64,
    /// Most segments removed in one pass (`deleteFileBatchMax`).
    pub delete_file_batch_max: usize,
    /// Share of the partition in percent above which expired segments are removed at any hour (`diskMaxUsedSpaceRatio`).
    pub disk_max_used_space_ratio: u64,
    /// Share in percent above which segments are removed before they expire (`diskSpaceCleanForciblyRatio`).
    pub disk_space_clean_forcibly_ratio: u64,
    /// Share in percent above which messages are refused (`diskSpaceWarningLevelRatio`).
    pub disk_space_warning_level_ratio: u64,
    /// Whether segments may be removed before they expire (`cleanFileForciblyEnable`).
    pub clean_file_forcibly: bool,
    /// Whether that holds for messages that were not consumed, too (ours: `cleanUnconsumedForciblyEnable`).
    pub clean_unconsumed_forcibly: bool,
    /// Most bytes one read returns while they are likely in memory (`maxTransferBytesOnMessageInMemory`).
    pub max_transfer_bytes_in_memory: usize,
    /// Most messages one read returns while they are likely in memory (`maxTransferCountOnMessageInMemory`).
    pub max_transfer_count_in_memory: usize,
    /// As above, once they likely are not (`maxTransferBytesOnMessageInDisk`).
    pub max_transfer_bytes_in_disk: usize,
    /// As above (`maxTransferCountOnMessageInDisk`).
    pub max_transfer_count_in_disk: usize,
    /// Share of memory in percent that the newest messages are thought to fill (`accessMessageInMemoryMaxRatio`).
    pub access_message_in_memory_max_ratio: u64,
    /// Most consume-queue bytes one read examines (`maxFilterMessageSize`).
    pub max_filter_message_size: usize,
    /// Whether messages can be found by key (`messageIndexEnable`).
    pub message_index: bool,
    /// Hash slots of an index file (`maxHashSlotNum`).
    pub max_hash_slot_num: u32,
    /// Entries of an index file (`maxIndexNum`).
    pub max_index_num: u32,
    /// Most messages one query by key returns (`maxMsgsNumBatch`).
    pub max_msgs_num_batch: usize,
    /// Whether records are in the light queues that they name (`enableLmq` and `enableMultiDispatch`).
    pub light_queues: bool,
    /// Most light queues (`maxLmqConsumeQueueNum`).
    pub max_light_queues: usize,
}

/// The reference's delay levels: `1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h`.
const DELAY_LEVELS_S: [i64; 18] = [
    1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
];

impl StoreOptions {
    /// The reference's defaults for a store in `root_dir`.
    pub fn new(root_dir: impl Into<PathBuf>) -> Self {
        Self {
            root_dir: root_dir.into(),
            commit_log_dir: None,
            commit_log_file_size: 1 << 30,
            consume_queue_file_size: 6_000_000,
            consume_queue_ext: false,
            consume_queue_ext_file_size: 48 << 20,
            flush: Flush::Async,
            append_prop_crc: false,
            force_verify_prop_crc: false,
            max_message_size: 4 << 20,
            file_reserved_time_h: 72,
            delete_when: "04".to_owned(),
            delay_levels_ms: DELAY_LEVELS_S
                .iter()
                .map(|seconds| seconds * 1000)
                .collect(),
            flush_interval_commit_log_ms: 500,
            flush_commit_log_timed: true,
            flush_commit_log_least_pages: 4,
            flush_commit_log_thorough_interval_ms: 10_000,
            wake_flush_when_put_message: false,
            transient_store_pool: false,
            transient_store_pool_size: 5,
            fast_fail_if_no_buffer: false,
            commit_interval_ms: 200,
            commit_commit_log_least_pages: 4,
            commit_thorough_interval_ms: 200,
            wake_commit_when_put_message: true,
            flush_interval_consume_queue_ms: 1000,
            flush_consume_queue_least_pages: 2,
            flush_consume_queue_thorough_interval_ms: 60_000,
            clean_resource_interval_ms: 10_000,
            redelete_hanged_file_interval_ms: 120_000,
            delete_file_batch_max: 10,
            disk_max_used_space_ratio: 75,
            disk_space_clean_forcibly_ratio: 85,
            disk_space_warning_level_ratio: 90,
            clean_file_forcibly: true,
            clean_unconsumed_forcibly: false,
            max_transfer_bytes_in_memory: 262_144,
            max_transfer_count_in_memory: 32,
            max_transfer_bytes_in_disk: 65_536,
            max_transfer_count_in_disk: 8,
            access_message_in_memory_max_ratio: 40,
            max_filter_message_size: 16_000,
            message_index: true,
            max_hash_slot_num: 5_000_000,
            max_index_num: 20_000_000,
            max_msgs_num_batch: 64,
            light_queues: false,
            max_light_queues: 20_000,
        }
    }

    /// Delay of a level, milliseconds: levels above the highest count as it, unknown ones as one second.
    pub fn delay_ms(&self, level: i32) -> i64 {
        let index = usize::try_from(level)
            .ok()
            .and_then(|level| level.checked_sub(1));
        let highest = self.delay_levels_ms.len().saturating_sub(1);
        let delay = index.and_then(|index| self.delay_levels_ms.get(index.min(highest)));
        delay.copied().unwrap_or(1000)
    }

    /// What a record's unit holds besides its place (store.md 3.1): the hash of its tags, or in the delay topic its deliver
    /// time.
    pub(crate) fn tags_code(&self, record: &RecordView<'_>) -> i64 {
        let text = record.properties();
        if record.topic == name::SCHEDULE_TOPIC.as_bytes()
            && !sabotage::is(Sabotage::DeliverTimeLost)
            && let Some(level) =
                properties::find(&text, property::DELAY).and_then(|level| level.parse().ok())
            && level > 0
        {
            return record.store_timestamp.saturating_add(self.delay_ms(level));
        }
        tags::tags_code(properties::find(&text, property::TAGS))
    }

    /// Whether records go to the transient store pool first.
    pub(crate) fn has_pool(&self) -> bool {
        self.transient_store_pool && self.flush == Flush::Async
    }

    pub(crate) fn commit_log_dir(&self) -> PathBuf {
        self.commit_log_dir
            .clone()
            .unwrap_or_else(|| self.root_dir.join("commitlog"))
    }

    pub(crate) fn consume_queue_dir(&self) -> PathBuf {
        self.root_dir.join("consumequeue")
    }

    pub(crate) fn queue_layout(&self) -> QueueLayout {
        QueueLayout {
            root: self.consume_queue_dir(),
            segment_len: self.consume_queue_len(),
            ext_root: self.root_dir.join("consumequeue_ext"),
            ext_segment_len: self.consume_queue_ext_file_size,
            is_ext_enabled: self.consume_queue_ext,
        }
    }

    /// Length of a consume-queue segment: whole units.
    pub(crate) fn consume_queue_len(&self) -> u64 {
        self.consume_queue_file_size.next_multiple_of(UNIT_BYTES)
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        const MIN_LOG: u64 = 4096;
        const MAX_LOG: u64 = i32::MAX as u64;
        if !(MIN_LOG..=MAX_LOG).contains(&self.commit_log_file_size) {
            return Err(StoreError::Option {
                key: "mappedFileSizeCommitLog",
                value: self.commit_log_file_size,
                allowed: "4096 to 2147483647 bytes",
            });
        }
        if !(UNIT_BYTES..=MAX_LOG - UNIT_BYTES).contains(&self.consume_queue_file_size) {
            return Err(StoreError::Option {
                key: "mappedFileSizeConsumeQueue",
                value: self.consume_queue_file_size,
                allowed: "20 to 2147483627 bytes",
            });
        }
        if !(1024..=MAX_LOG).contains(&self.consume_queue_ext_file_size) {
            return Err(StoreError::Option {
                key: "mappedFileSizeConsumeQueueExt",
                value: self.consume_queue_ext_file_size,
                allowed: "1024 to 2147483647 bytes",
            });
        }
        // 8 GiB at most.
        const MAX_INDEX: u32 = 400_000_000;
        for (key, value) in [
            ("maxHashSlotNum", self.max_hash_slot_num),
            ("maxIndexNum", self.max_index_num),
        ] {
            if !(2..=MAX_INDEX).contains(&value) {
                return Err(StoreError::Option {
                    key,
                    value: value.into(),
                    allowed: "2 to 400000000",
                });
            }
        }
        Ok(())
    }
}
