// SPDX-License-Identifier: Apache-2.0
//! Which of the index files that were found can be gone on with (store.md 6.8).
//!
//! The reference deletes what may not have been flushed and reads only the records again that it recovers anyway, so it
//! loses keys. Here a file is removed if it can not be right, with all later ones, and everything that they held is
//! read from the log again.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::MessageIndex;
use super::file::IndexFile;
use super::keys::KeyHasher;
use crate::store::StoreError;
use crate::store::recovery::{Bounds, walk};
use crate::store::sabotage::{self, Sabotage};
use crate::store::segments::SegmentFiles;

/// Records without a key after which the search for the next one is given up.
const MOST_WITHOUT_KEY: u64 = 10_000;

/// Which files the disk certainly holds as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survived {
    /// All: the store was shut down.
    All,
    /// All, as only the process died. A newest file that is full is doubted: it may be left of a flush that failed on a
    /// disk that would not remove it either.
    AllButFullNewest,
    /// All but the newest: the machine lost power, and files are flushed when they are full.
    AllButNewest,
    /// Of those but the newest the ones whose last entry is not younger: what a checkpoint of the reference says. It sets
    /// the time when a file is full; before its first full one the time can be ours, which runs ahead.
    Until(i64),
}

impl MessageIndex {
    /// Keeps the files that can be right for the log up to `log_end` and says from where the others' keys are read
    /// again; returns what was removed.
    pub(crate) fn settle(
        &self,
        log: &SegmentFiles,
        log_end: u64,
        survived: Survived,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = self.files.lock();
        let mut kept = 0;
        let mut before: Option<&IndexFile> = None;
        for (index, file) in files.iter().enumerate() {
            let is_newest = index + 1 == files.len();
            let has_survived = match survived {
                Survived::All => true,
                Survived::AllButFullNewest => !is_newest || !file.is_full(),
                Survived::AllButNewest => !is_newest,
                Survived::Until(time) => !is_newest && file.header.end_timestamp <= time,
            };
            if !has_survived
                || !fits(file, is_newest, log_end, before)
                || !self.follows(log, log_end, file, before)?
            {
                break;
            }
            before = Some(file);
            kept += 1;
        }
        let mut removed = Vec::new();
        for file in files.drain(kept..) {
            tracing::warn!(file = %file.path().display(), "index file is not complete; its keys are read from the log again");
            self.disk
                .remove_file(file.path())
                .map_err(StoreError::io("remove", file.path()))?;
            removed.push(file.path().to_path_buf());
        }
        // Not all keys of the last record need be there.
        let indexed = files.last().map_or(0, |file| file.header.end_offset);
        let indexed = if sabotage::is(Sabotage::IndexSkips) {
            log_end.cast_signed()
        } else {
            indexed
        };
        self.indexed.store(
            indexed.cast_unsigned().max(log.first().unwrap_or(0)),
            Ordering::Release,
        );
        let time = files.last().map_or(0, |file| file.header.end_timestamp);
        self.last_timestamp.store(time, Ordering::Release);
        Ok(removed)
    }

    /// Whether no record with a key lies between the file before, or the beginning of the log, and this one.
    fn follows(
        &self,
        log: &SegmentFiles,
        log_end: u64,
        file: &IndexFile,
        before: Option<&IndexFile>,
    ) -> Result<bool, StoreError> {
        let log_min = log.first().unwrap_or(0);
        let from = before.map_or(0, |before| before.header.end_offset.cast_unsigned());
        let begin = file.header.begin_offset.cast_unsigned();
        if begin <= from.max(log_min) {
            return Ok(true);
        }
        let bounds = Bounds::written(from.max(log_min), log_end);
        let mut hasher = KeyHasher::default();
        let mut is_complete = true;
        let mut left = MOST_WITHOUT_KEY;
        walk(log, &bounds, &mut |offset, record| {
            left -= 1;
            if offset >= begin || left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            let is_own = before.is_some() && offset == from;
            hasher.each_key(record, &mut |_| {
                is_complete &= is_own;
                Ok::<(), StoreError>(())
            })?;
            Ok(if is_complete {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(is_complete)
    }
}

/// Whether the header can be that of the file behind `before`.
fn fits(file: &IndexFile, is_newest: bool, log_end: u64, before: Option<&IndexFile>) -> bool {
    let header = &file.header;
    let (time, offset) = before.map_or((0, 0), |before| {
        (before.header.end_timestamp, before.header.end_offset)
    });
    let is_in_log = file.is_empty() || header.end_offset < log_end.cast_signed();
    let is_later = header.begin_offset >= offset && header.begin_timestamp >= time;
    file.is_plausible() && is_in_log && is_later && (is_newest || !file.is_empty())
}
