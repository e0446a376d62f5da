// SPDX-License-Identifier: Apache-2.0
//! Retention: removing old segments, and refusing messages when the disk is nearly full (store.md 7).

use std::io;
use std::sync::atomic::Ordering;

use chrono::{Local, TimeZone, Timelike};

use super::{MessageStore, StoreOptions};

/// The first pass comes this long after the start, milliseconds.
const FIRST_PASS_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Mappings of old segments are dropped when they were not used for this long, milliseconds.
const UNMAP_INTERVAL_MS: i64 = 120_000;

/// When the next pass is due.
pub(crate) struct Cleaner {
    next_ms: i64,
    unmap_ms: i64,
}

impl Cleaner {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self {
            next_ms: now_ms + FIRST_PASS_MS,
            unmap_ms: now_ms + UNMAP_INTERVAL_MS,
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
    fn of(percent: u64, options: &StoreOptions) -> Self {
        if percent > options.disk_space_warning_level_ratio {
            Self::Full
        } else if percent > options.disk_space_clean_forcibly_ratio {
            Self::Forced
        } else if percent > options.disk_max_used_space_ratio {
            Self::Expired
        } else {
            Self::None
        }
    }
}

impl MessageStore {
    /// Removes what is due, if a pass is.
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
        if now_ms < cleaner.next_ms {
            return;
        }
        cleaner.next_ms = now_ms + self.options.clean_resource_interval_ms;
        if let Err(error) = self.clean_pass(now_ms) {
            tracing::warn!(%error, "can not remove old segments");
        }
    }

    fn clean_pass(&self, now_ms: i64) -> io::Result<()> {
        let pressure = self.pressure();
        match pressure {
            Pressure::Full => {
                if !self.is_disk_full.swap(true, Ordering::AcqRel) {
                    tracing::error!("the disk is nearly full; no more messages are taken");
                }
            }
            // Between the two thresholds the state stays as it is.
            Pressure::Forced => {}
            Pressure::None | Pressure::Expired => self.is_disk_full.store(false, Ordering::Release),
        }
        let is_forced = self.options.clean_file_forcibly
            && matches!(pressure, Pressure::Forced | Pressure::Full);
        if pressure == Pressure::None && !is_hour(&self.options.delete_when, now_ms) {
            return Ok(());
        }
        let reserved_ms = i64::try_from(self.options.file_reserved_time_h)
            .unwrap_or(i64::MAX)
            .saturating_mul(HOUR_MS);
        let bases = self.log.files.bases();
        let older = bases
            .len()
            .saturating_sub(1)
            .min(self.options.delete_file_batch_max);
        let mut removed = 0;
        for base in bases.into_iter().take(older) {
            let expires_ms = self
                .log
                .files
                .modified_ms(base)?
                .saturating_add(reserved_ms);
            let is_flushed = base + self.log.files.segment_len() <= self.log.flushed();
            if !is_flushed || (expires_ms > now_ms && !is_forced) {
                break;
            }
            self.log.files.remove(base)?;
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(
                removed,
                minimum = self.commit_log_min(),
                "removed commit log segments"
            );
            for queue in self.queues.all() {
                queue.remove_expired(self.commit_log_min())?;
            }
            if let Some(index) = &self.index {
                index.remove_expired(self.commit_log_min())?;
            }
        }
        Ok(())
    }

    fn pressure(&self) -> Pressure {
        let dirs = [
            self.log.files.dir().to_path_buf(),
            self.options.consume_queue_dir(),
        ];
        let ratios = dirs.iter().filter_map(|dir| {
            let space = self.disk.space(dir).ok()?;
            let total = space.used.saturating_add(space.available);
            (total > 0).then(|| space.used.saturating_mul(100).div_ceil(total))
        });
        Pressure::of(ratios.max().unwrap_or(0), &self.options)
    }
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
        let options = StoreOptions::new("/x");
        let of = |percent| Pressure::of(percent, &options);
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
