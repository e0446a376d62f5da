// SPDX-License-Identifier: Apache-2.0
//! One run of the simulation: the disk, the clock, the options that the seed chose, and what must be true.

use std::path::PathBuf;
use std::sync::Arc;

use kerolox_server::store::clock::{Clock, ManualClock};
use kerolox_server::store::disk::{Disk, FaultKind, SimDisk};
use kerolox_server::store::{Flush, MessageStore, RecoveryReport, StoreError, StoreOptions};

use super::model::Model;

/// Length of a commit-log segment.
pub(super) const LOG: i64 = 16 * 1024;
const START_MS: i64 = 1_700_000_000_000;
/// Age at which segments go in runs with retention.
pub(super) const RESERVED_MS: i64 = 3_600_000;

/// How the store ended since it was open the last time; the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// There was none.
    Fresh,
    Stopped,
    Killed,
    PowerCut,
}

/// A run.
pub(super) struct Run {
    pub(super) random: fastrand::Rng,
    pub(super) options: StoreOptions,
    pub(super) has_retention: bool,
    pub(super) clock: Arc<ManualClock>,
    pub(super) disk: SimDisk,
    pub(super) model: Model,
    pub(super) sent: u64,
    pub(super) end: End,
    /// The last start that succeeded ended with a clean stop.
    pub(super) was_stopped: bool,
    /// Everything before must survive a power cut.
    pub(super) safe: i64,
    /// A start need not read the log from before this place.
    pub(super) floor: i64,
    /// A start was begun, and perhaps finished, since the last one that was checked.
    pub(super) has_tried: bool,
    pub(super) power_cuts: usize,
    /// A process died after a failure: what a sync of a queue failed to write is still seen, and not written again.
    pub(super) may_lack_units: bool,
    /// A derived file was damaged at some time.
    pub(super) was_damaged: bool,
    /// The checkpoint was damaged: losing power now would be too much.
    pub(super) has_no_checkpoint: bool,
    /// A derived file was damaged while the store was down.
    pub(super) is_derived_damaged: bool,
    /// Records that a flipped bit hit, by their place.
    pub(super) flipped: Vec<i64>,
    pub(super) flips: usize,
    /// What the last start reported.
    pub(super) damaged: Vec<std::ops::Range<i64>>,
    pub(super) lost_places: u64,
    /// An operation failed since the store was open the last time.
    pub(super) had_fault: bool,
    /// The newest index file, if a start found it full.
    pub(super) full_index: Option<PathBuf>,
    /// What will fail, or has failed, on this disk.
    pub(super) fault: Option<FaultKind>,
    /// Topics whose deletion met a fault: nothing is known about them.
    pub(super) unsure: Vec<&'static str>,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let flush = if random.u8(..5) < 2 {
            Flush::Sync
        } else {
            Flush::Async
        };
        let has_retention = random.u8(..4) == 0;
        let every_hour: String = (0..24).map(|hour| format!("{hour};")).collect();
        let options = StoreOptions {
            commit_log_file_size: LOG.cast_unsigned(),
            consume_queue_file_size: 400,
            max_hash_slot_num: 32,
            max_index_num: 300,
            flush,
            transient_store_pool: random.bool(),
            transient_store_pool_size: if random.bool() { 100 } else { 2 },
            fast_fail_if_no_buffer: random.bool(),
            message_index: random.u8(..4) != 0,
            flush_commit_log_timed: random.bool(),
            flush_consume_queue_least_pages: random.u64(0..3),
            file_reserved_time_h: 1,
            delete_when: if has_retention {
                every_hour
            } else {
                String::new()
            },
            clean_file_forcibly: false,
            max_message_size: 8 * 1024,
            ..StoreOptions::new("/store")
        };
        let disk = SimDisk::new();
        disk.set_now_ms(START_MS);
        Self {
            random,
            options,
            has_retention,
            clock: Arc::new(ManualClock::new(START_MS)),
            disk,
            model: Model::default(),
            sent: 0,
            end: End::Fresh,
            was_stopped: true,
            safe: 0,
            floor: 0,
            has_tried: false,
            power_cuts: 0,
            may_lack_units: false,
            was_damaged: false,
            has_no_checkpoint: false,
            is_derived_damaged: false,
            flipped: Vec::new(),
            flips: 0,
            damaged: Vec::new(),
            lost_places: 0,
            had_fault: false,
            full_index: None,
            fault: None,
            unsure: Vec::new(),
        }
    }

    pub(super) fn has_pool(&self) -> bool {
        self.options.transient_store_pool && self.options.flush == Flush::Async
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) fn advance(&self, ms: i64) {
        self.clock.advance(ms);
        self.disk.set_now_ms(self.now_ms());
    }

    pub(super) fn try_open(&mut self) -> Result<(Arc<MessageStore>, RecoveryReport), StoreError> {
        self.full_index = self.find_full_index();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        MessageStore::open(self.options.clone(), disk, clock)
    }

    /// The newest index file, if it has no room for another entry.
    fn find_full_index(&self) -> Option<PathBuf> {
        let is_index = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with("index"));
        let newest = self.disk.files().into_iter().filter(is_index).max()?;
        let content = self.disk.read(&newest).ok()?;
        let count = content.get(36..40)?.try_into().ok()?;
        (u32::from_be_bytes(count) >= self.options.max_index_num).then_some(newest)
    }

    /// The process dies.
    pub(super) fn kill(&mut self) {
        self.check_disk();
        self.may_lack_units |= self.had_fault;
        self.disk = self.disk.kill();
        self.end = self.end.max(End::Killed);
    }

    /// The machine dies; its clock may be wrong afterwards.
    pub(super) fn cut_power(&mut self) {
        self.check_disk();
        let random = &mut self.random;
        self.disk = self.disk.crash(|| random.u64(..));
        self.end = self.end.max(End::PowerCut);
        self.power_cuts += 1;
        if self.random.u8(..3) == 0 {
            let back = self.random.i64(0..3000);
            self.advance(-back);
        }
    }

    fn check_disk(&mut self) {
        self.had_fault |= self.disk.has_struck();
        self.fault = None;
        let bus_errors = self.disk.bus_errors();
        assert_eq!(
            bus_errors, 0,
            "a mapped page was written without space for it"
        );
    }
}
