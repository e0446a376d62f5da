// SPDX-License-Identifier: Apache-2.0
//! Retention: removing old segments, and refusing messages when the disk is nearly full (store.md 7).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{Local, TimeZone, Timelike};

use super::consume_queue::QueueHandle;
use super::sabotage::{self, Sabotage};
use super::{MessageStore, StoreError, StoreOptions};

/// The first pass comes this long after the start, milliseconds.
const FIRST_PASS_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Mappings of old segments are dropped when they were not used for this long, milliseconds.
const UNMAP_INTERVAL_MS: i64 = 120_000;
/// Passes that one request to remove expired segments is good for.
const PASSES_ON_REQUEST: u32 = 20;
/// Between looks at the free space, milliseconds: so soon messages are taken again when it returns.
const SPACE_INTERVAL_MS: i64 = 1000;

/// How far a queue was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// Every group that ever committed an offset is past this queue offset.
    UpTo(i64),
    /// No group has committed an offset.
    Nothing,
    /// Nobody is meant to consume it.
    Irrelevant,
}

/// Says how far a queue, of a topic and an id, was consumed.
pub type ConsumedOf = dyn Fn(&str, i32) -> Consumed + Send + Sync;

/// What of the options says when segments go; it can change while the store is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    file_reserved_time_h: u64,
    delete_when: String,
    clean_resource_interval_ms: i64,
    delete_file_batch_max: usize,
    clean_file_forcibly: bool,
    clean_unconsumed_forcibly: bool,
    redelete_hanged_file_interval_ms: i64,
    disk_space_warning_level_ratio: u64,
    disk_space_clean_forcibly_ratio: u64,
    disk_max_used_space_ratio: u64,
}

impl From<&StoreOptions> for Retention {
    fn from(options: &StoreOptions) -> Self {
        Self {
            file_reserved_time_h: options.file_reserved_time_h,
            delete_when: options.delete_when.clone(),
            clean_resource_interval_ms: options.clean_resource_interval_ms,
            delete_file_batch_max: options.delete_file_batch_max,
            clean_file_forcibly: options.clean_file_forcibly,
            clean_unconsumed_forcibly: options.clean_unconsumed_forcibly,
            redelete_hanged_file_interval_ms: options.redelete_hanged_file_interval_ms,
            disk_space_warning_level_ratio: options.disk_space_warning_level_ratio,
            disk_space_clean_forcibly_ratio: options.disk_space_clean_forcibly_ratio,
            disk_max_used_space_ratio: options.disk_max_used_space_ratio,
        }
    }
}

/// When the next pass is due.
pub(crate) struct Cleaner {
    retention: Retention,
    next_ms: i64,
    unmap_ms: i64,
    space_ms: i64,
    /// The oldest segment could not be removed; not tried again before.
    hung_until_ms: i64,
    consumed_of: Option<Arc<ConsumedOf>>,
    /// Passes left that remove expired segments at any hour, because somebody asked.
    asked: u32,
    /// Said once, until it changes: unconsumed messages keep the disk full.
    is_held: bool,
}

impl Cleaner {
    pub(crate) fn new(options: &StoreOptions, now_ms: i64) -> Self {
        Self {
            retention: options.into(),
            next_ms: now_ms + FIRST_PASS_MS,
            unmap_ms: now_ms + UNMAP_INTERVAL_MS,
            space_ms: now_ms,
            hung_until_ms: now_ms,
            consumed_of: None,
            asked: 0,
            is_held: false,
        }
    }
}

/// What the partition's use asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    None,
    /// Expired segments go at any hour.
    Expired,
    /// The oldest segments go even if they have not expired.
    Forced,
    /// As before, and messages are refused.
    Full,
}

impl Pressure {
    fn of(percent: u64, retention: &Retention) -> Self {
        if percent > retention.disk_space_warning_level_ratio {
            Self::Full
        } else if percent > retention.disk_space_clean_forcibly_ratio {
            Self::Forced
        } else if percent > retention.disk_max_used_space_ratio {
            Self::Expired
        } else {
            Self::None
        }
    }
}

impl MessageStore {
    /// Tells the store how far queues were consumed. Under disk pressure, messages that were not are kept unless
    /// `cleanUnconsumedForciblyEnable` is set; without this call all count as consumed.
    pub fn watch_consumption(&self, consumed_of: Arc<ConsumedOf>) {
        self.cleaner.lock().consumed_of = Some(consumed_of);
    }

    /// Changes what says when segments go, from the next pass on.
    pub fn set_retention(&self, retention: Retention) {
        let mut cleaner = self.cleaner.lock();
        if cleaner.retention != retention {
            // The present interval may be far longer than the new one.
            cleaner.next_ms = cleaner.next_ms.min(cleaner.space_ms);
            cleaner.retention = retention;
        }
    }

    /// Lets the next passes remove segments that have expired, whatever the hour (DELETE_EXPIRED_COMMITLOG).
    pub fn remove_expired_soon(&self) {
        self.cleaner.lock().asked = PASSES_ON_REQUEST;
    }

    /// Removes the consume-queue files whose records are all gone from the log, and moves the queues' beginnings.
    ///
    /// The newest file of a queue stays: without it the queue would forget its end and begin at 0 again, behind the offsets
    /// that groups committed. (The reference's command does just that.)
    ///
    /// # Errors
    /// A file can not be read or removed.
    pub fn remove_expired_units(&self) -> Result<(), StoreError> {
        // Retention does the same.
        let _cleaner = self.cleaner.lock();
        let minimum = self.commit_log_min();
        let dir = self.options.consume_queue_dir();
        for queue in self.queues.all() {
            queue
                .remove_expired(minimum)
                .map_err(StoreError::io("remove a file of", &dir))?;
        }
        self.write_checkpoint()
    }

    /// Removes what is due, if a pass is, and looks whether there is space.
    pub(crate) fn clean(&self, now_ms: i64) {
        let mut cleaner = self.cleaner.lock();
        if now_ms >= cleaner.unmap_ms {
            cleaner.unmap_ms = now_ms + UNMAP_INTERVAL_MS;
            self.log.files.unmap_idle();
            for queue in self.queues.all() {
                queue.files.unmap_idle();
            }
            if let Some(index) = &self.index {
                index.unmap_idle();
            }
        }
        if now_ms < cleaner.space_ms {
            return;
        }
        cleaner.space_ms = now_ms + SPACE_INTERVAL_MS;
        let pressure = self.look_at_space(&cleaner.retention);
        // A full disk can not wait for the next pass.
        if now_ms < cleaner.next_ms && pressure != Pressure::Full {
            return;
        }
        cleaner.next_ms = cleaner
            .next_ms
            .max(now_ms.saturating_add(cleaner.retention.clean_resource_interval_ms));
        if now_ms < cleaner.hung_until_ms {
            return;
        }
        if let Err(error) = self.clean_pass(&mut cleaner, pressure, now_ms) {
            let pause_ms = cleaner.retention.redelete_hanged_file_interval_ms;
            cleaner.hung_until_ms = now_ms.saturating_add(pause_ms);
            tracing::warn!(%error, "can not remove the oldest segment; it is tried again after redeleteHangedFileInterval");
        }
    }

    /// Refuses messages on a disk that is nearly full, and takes them again when it is not.
    fn look_at_space(&self, retention: &Retention) -> Pressure {
        let pressure = self.pressure(retention);
        match pressure {
            Pressure::Full => {
                if !self.is_disk_full.swap(true, Ordering::AcqRel) {
                    tracing::error!("the disk is nearly full; no more messages are taken");
                }
            }
            // Between the two thresholds the state stays as it is.
            Pressure::Forced => {}
            Pressure::None | Pressure::Expired => {
                if self.is_disk_full.swap(false, Ordering::AcqRel) {
                    tracing::info!("there is space on the disk; messages are taken again");
                }
            }
        }
        pressure
    }

    fn clean_pass(&self, cleaner: &mut Cleaner, pressure: Pressure, now_ms: i64) -> io::Result<()> {
        let options = cleaner.retention.clone();
        let is_forced =
            options.clean_file_forcibly && matches!(pressure, Pressure::Forced | Pressure::Full);
        let is_asked = cleaner.asked > 0;
        if pressure == Pressure::None && !is_asked && !is_hour(&options.delete_when, now_ms) {
            return Ok(());
        }
        cleaner.asked = cleaner.asked.saturating_sub(1);
        let reserved_ms = i64::try_from(options.file_reserved_time_h)
            .unwrap_or(i64::MAX)
            .saturating_mul(HOUR_MS);
        let bases = self.log.files.bases();
        let older = bases
            .len()
            .saturating_sub(usize::from(!sabotage::is(Sabotage::NewestRemoved)))
            .min(options.delete_file_batch_max);
        // A queue whose units are not on disk would forget its end with the records.
        let done = self.log.flushed().min(self.queues_flushed());
        // Looked up only when a segment would go before its time.
        let mut unconsumed = None;
        let mut removed = 0;
        let mut outcome = Ok(());
        for base in bases.into_iter().take(older) {
            let end = base + self.log.files.segment_len();
            if end > done && !sabotage::is(Sabotage::NewestRemoved) {
                break;
            }
            let modified_ms = self.log.files.modified_ms(base)?;
            if modified_ms.saturating_add(reserved_ms) > now_ms
                && !sabotage::is(Sabotage::RemovedTooEarly)
            {
                if !is_forced {
                    break;
                }
                let first = *unconsumed.get_or_insert_with(|| self.first_unconsumed(cleaner));
                let is_held = first.is_some_and(|first| first < end.cast_signed());
                if is_held && !options.clean_unconsumed_forcibly {
                    if !std::mem::replace(&mut cleaner.is_held, true) {
                        tracing::error!(
                            "the disk is nearly full of messages that were not consumed; they are kept: \
                             free space, let them be consumed, or set cleanUnconsumedForciblyEnable=true"
                        );
                    }
                    break;
                }
            }
            cleaner.is_held = false;
            if let Err(error) = self.log.files.remove(base) {
                outcome = Err(error);
                break;
            }
            removed += 1;
        }
        if removed > 0 {
            self.follow_log(cleaner, removed)?;
        }
        outcome
    }

    /// Lets queues and index follow the log's new beginning, and counts what nobody had consumed.
    fn follow_log(&self, cleaner: &Cleaner, removed: usize) -> io::Result<()> {
        let minimum = self.commit_log_min();
        let mut lost = 0;
        for queue in self.queues.all() {
            let from = first_unconsumed_in(cleaner, &queue);
            queue.remove_expired(minimum)?;
            if let Some(from) = from {
                lost += u64::try_from(queue.min_offset() - from).unwrap_or(0);
            }
        }
        if let Some(index) = &self.index {
            index.remove_expired(minimum)?;
        }
        tracing::info!(removed, minimum, "removed commit log segments");
        // Else a start after a kill would miss the queues' files and make all queues again.
        if let Err(error) = self.write_checkpoint() {
            tracing::warn!(%error, "can not write the checkpoint");
        }
        if lost > 0 {
            self.unconsumed_removed.fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(
                messages = lost,
                "removed messages that were not consumed by every group"
            );
        }
        Ok(())
    }

    /// Commit-log offset of the oldest message that was not consumed.
    fn first_unconsumed(&self, cleaner: &Cleaner) -> Option<i64> {
        let queues = self.queues.all();
        let offsets = queues.iter().filter_map(|queue| {
            let from = first_unconsumed_in(cleaner, queue)?;
            queue.physical_offset(from).ok().flatten()
        });
        offsets.min()
    }

    fn pressure(&self, retention: &Retention) -> Pressure {
        let dirs = [
            self.log.files.dir().to_path_buf(),
            self.options.consume_queue_dir(),
        ];
        let ratios = dirs.iter().filter_map(|dir| {
            let space = self.disk.space(dir).ok()?;
            let total = space.used.saturating_add(space.available);
            (total > 0).then(|| space.used.saturating_mul(100).div_ceil(total))
        });
        Pressure::of(ratios.max().unwrap_or(0), retention)
    }
}

/// Queue offset of the oldest message of a queue that was not consumed.
fn first_unconsumed_in(cleaner: &Cleaner, queue: &QueueHandle) -> Option<i64> {
    let consumed_of = cleaner.consumed_of.as_ref()?;
    let from = match consumed_of(queue.topic(), queue.queue_id()) {
        Consumed::UpTo(offset) => offset.max(queue.min_offset()),
        Consumed::Nothing => queue.min_offset(),
        Consumed::Irrelevant => return None,
    };
    (from < queue.max_offset()).then_some(from)
}

/// Whether `now_ms` lies in one of the local hours, `;` between them.
fn is_hour(hours: &str, now_ms: i64) -> bool {
    let Some(now) = Local.timestamp_millis_opt(now_ms).earliest() else {
        return false;
    };
    hours
        .split(';')
        .any(|hour| hour.trim().parse() == Ok(now.hour()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_follow_the_reference() {
        let retention = Retention::from(&StoreOptions::new("/x"));
        let of = |percent| Pressure::of(percent, &retention);
        assert_eq!(
            [of(75), of(76), of(86), of(91)],
            [
                Pressure::None,
                Pressure::Expired,
                Pressure::Forced,
                Pressure::Full
            ]
        );
    }

    #[test]
    fn hours_are_local() {
        let at_four = Local
            .with_ymd_and_hms(2026, 3, 4, 4, 59, 0)
            .unwrap()
            .timestamp_millis();
        assert!(is_hour("04", at_four) && is_hour("1; 4 ;7", at_four));
        assert!(!is_hour("5", at_four) && !is_hour("", at_four));
    }
}
