// SPDX-License-Identifier: Apache-2.0
//! What happens between opening the files and taking messages (store.md 6).
//!
//! 1. Where to start reading the log. After a clean stop: where the consume queues end. After a crash: where the
//!    checkpoint says that log and queues were on disk, exactly if it is our own, else by the reference's times.
//! 2. Check each queue's last unit before that place against its record; a queue that does not fit is rebuilt, from the
//!    beginning of the log.
//! 3. Walk the log ([`walk`]) and write the units of all records from there on, over what is there.
//! 4. Cut the queues and the log behind the last record, and zero what was cut, so that it can not come back.
//!
//! The reference stops at the first damaged record, takes records at the wrong place, and keeps units of records that do
//! not exist; otherwise the results are the same.

mod rebuild;
mod survey;
mod walk;

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use kerolox_protocol::message::record::{self, BLANK_BYTES, MIN_BYTES, RecordCheck, RecordView};

use super::checkpoint::{Checkpoint, CheckpointFile, Exact};
use super::consume_queue::QueueTable;
use super::disk::Disk;
use super::sabotage::{self, Sabotage};
use super::segments::SegmentFiles;
use super::{StoreError, StoreOptions, commit_log};
use rebuild::Rebuild;
use survey::Survey;
pub(crate) use walk::{Beyond, Bounds, WalkEnd, is_torn, walk};

/// Commit log read between two words about it, bytes.
const PROGRESS_STEP: u64 = 1 << 30;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the last owner did not shut the store down.
    pub is_after_crash: bool,
    /// Commit-log offset from which records were read.
    pub start: i64,
    /// Commit-log offset of the next record.
    pub end: i64,
    /// Records read.
    pub records: u64,
    /// Ranges of the commit log whose records are damaged; they are not delivered.
    pub damaged: Vec<Range<i64>>,
    /// Queue offsets whose records were not found in the log, although others of the queue before and behind were, and
    /// records that were found at impossible ones: their body is damaged, or what says where they belong.
    pub lost_places: u64,
    /// Consume queues that were missing, cut or wrong and were rebuilt.
    pub rebuilt_queues: Vec<PathBuf>,
    /// Index files that were cut or wrong and are made again while the store serves.
    pub rebuilt_index: Vec<PathBuf>,
    /// Commit-log segments behind the end that were removed.
    pub removed_segments: usize,
}

/// The recovered parts of a store.
pub(crate) struct Recovered {
    pub(crate) walked: WalkEnd,
    pub(crate) report: RecoveryReport,
    /// Everything before is on disk.
    pub(crate) flushed: u64,
    /// Queues hold everything before, on disk.
    pub(crate) restart: u64,
    /// Sum of the queues' ends there.
    pub(crate) units_at_restart: i64,
    /// Sum of the queues' ends now.
    pub(crate) units: i64,
}

/// What recovery works on.
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) options: &'a StoreOptions,
    pub(crate) log: &'a SegmentFiles,
    pub(crate) queues: &'a QueueTable,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) checkpoint_file: &'a CheckpointFile,
    pub(crate) is_after_crash: bool,
    /// This run of the machine.
    pub(crate) boot_id: u64,
    pub(crate) now_ms: i64,
    /// Queues that loading had to remove.
    pub(crate) removed_queues: Vec<PathBuf>,
}

impl Recovery<'_> {
    pub(crate) fn run(self) -> Result<Recovered, StoreError> {
        let Some(first) = self.log.first() else {
            return self.empty();
        };
        let log_end = self.log.last().unwrap_or(first) + self.log.segment_len();
        // Of this log, at least.
        let known = self.checkpoint.exact;
        let known = known.filter(|exact| (first..=log_end).contains(&exact.flushed));
        let exact = known.filter(|exact| (first..=exact.flushed).contains(&exact.restart));

        let is_doubtful = self.checkpoint.exact.is_some() && exact.is_none()
            || !self.checkpoint.is_credible(self.now_ms)
            || !self.checkpoint.is_of_the_past(self.now_ms);
        if is_doubtful {
            tracing::warn!(
                checkpoint = ?self.checkpoint,
                "the checkpoint does not fit the commit log; everything is read again"
            );
        }
        let mut start = if is_doubtful
            || sabotage::is(Sabotage::StartFromBeginning)
            || !self.removed_queues.is_empty()
            // Unless the last owner knew of no queue either: all topics were deleted.
            || self.queues.all().is_empty() && exact.is_none_or(|exact| exact.units != 0)
        {
            first
        } else if let Some(restart) = self.restart(exact)? {
            restart
        } else if self.is_after_crash {
            self.start_by_time(first)?
        } else {
            self.start_after_stop(first)?
        };
        let mut rebuilt_queues = self.removed_queues.clone();
        let mut surveys = self.survey(start)?;
        let units = surveys.iter().map(|survey| survey.next).sum::<i64>();
        let first_in_files = |survey: &Survey| survey.queue.first_in_files();
        let lows = surveys.iter().map(first_in_files).sum::<i64>();
        let is_complete = exact.is_none_or(|exact| {
            exact.restart != start || exact.units == units && exact.lows == lows
        }) || sabotage::is(Sabotage::MissingQueuesUnnoticed);
        if !is_complete && start > first {
            tracing::warn!(
                units,
                expected = exact.map(|exact| exact.units),
                lows,
                expected_lows = exact.map(|exact| exact.lows),
                "consume queues are missing or cut; they are rebuilt from the beginning of the log"
            );
        }
        let is_sound = is_complete && surveys.iter().all(|survey| survey.is_sound);
        if start == first || !is_sound {
            self.withdraw(first)?;
        }
        for survey in surveys.iter().filter(|survey| !survey.is_sound) {
            let queue = &survey.queue;
            tracing::warn!(
                topic = queue.topic(),
                queue = queue.queue_id(),
                "consume queue is wrong and is rebuilt"
            );
            rebuilt_queues.push(queue.files.dir().to_path_buf());
            self.queues
                .discard(queue)
                .map_err(StoreError::io("remove", queue.files.dir()))?;
        }
        // Once queues are known to be wrong, what lies behind their ends is not believed to be empty either.
        let mut is_made_again = is_doubtful || !is_complete || !rebuilt_queues.is_empty();
        if start > first && (!is_complete || rebuilt_queues.len() > self.removed_queues.len()) {
            start = first;
            surveys = self.survey(start)?;
        } else {
            surveys.retain(|survey| survey.is_sound);
        }

        let flushed = known.map_or(0, |exact| exact.flushed);
        let is_same_run = known.is_some_and(|exact| exact.boot_id == self.boot_id);
        let is_power_lost = known.is_some_and(|exact| exact.boot_id != self.boot_id);
        let bounds = |start| Bounds {
            start,
            trusted: flushed,
            beyond: if is_power_lost {
                Beyond::Cut
            } else if is_same_run {
                Beyond::Own
            } else {
                Beyond::Search
            },
            checks_bodies: true,
            needs_crc: self.options.force_verify_prop_crc,
        };
        let (mut rebuild, mut walked) = self.rebuild(bounds(start))?;
        if rebuild.has_holes() && start > first {
            tracing::warn!(
                "consume queues are incomplete; they are rebuilt from the beginning of the log"
            );
            self.withdraw(first)?;
            rebuild.abandon();
            is_made_again = true;
            start = first;
            surveys = self.survey(start)?;
            (rebuild, walked) = self.rebuild(bounds(start))?;
        }
        let units_at_restart = surveys.iter().map(|survey| survey.next).sum();
        let (units, lost_places) = rebuild.finish(
            surveys,
            &walked,
            is_made_again || (self.is_after_crash && !is_same_run),
            first.cast_signed(),
        )?;
        let removed_segments = self.cut_log(walked.end)?;
        // A checkpoint that can not be believed does not say which run it was either.
        if self.is_after_crash && (is_same_run || is_doubtful && !is_power_lost) {
            self.log
                .write_again(flushed.max(start), walked.end)
                .map_err(StoreError::io("write again", self.log.dir()))?;
        }
        let signed = |range: &Range<u64>| range.start.cast_signed()..range.end.cast_signed();
        let report = RecoveryReport {
            is_after_crash: self.is_after_crash,
            start: start.cast_signed(),
            end: walked.end.cast_signed(),
            records: walked.records,
            damaged: walked.damaged.iter().map(signed).collect(),
            lost_places,
            rebuilt_queues,
            rebuilt_index: Vec::new(),
            removed_segments,
        };
        let on_disk = if self.is_after_crash {
            flushed.max(start)
        } else {
            walked.end
        };
        Ok(Recovered {
            flushed: on_disk.min(walked.end),
            restart: start,
            units_at_restart,
            units,
            walked,
            report,
        })
    }

    /// Lets the checkpoint vouch for no queue: if this recovery does not come to its end, the next one must not believe
    /// what it left behind.
    fn withdraw(&self, first: u64) -> Result<(), StoreError> {
        match self.checkpoint.exact {
            Some(exact) if exact.restart > first => {
                let exact = Some(Exact {
                    restart: first,
                    ..exact
                });
                self.checkpoint_file.write(&Checkpoint {
                    logics_timestamp: 0,
                    exact,
                    ..self.checkpoint
                })
            }
            _ => Ok(()),
        }
    }

    /// Walks the log and writes the units of its records.
    fn rebuild(&self, bounds: Bounds) -> Result<(Rebuild<'_>, WalkEnd), StoreError> {
        let mut rebuild = Rebuild::new(self.options, self.queues, bounds.start);
        let mut next_word = bounds.start + PROGRESS_STEP;
        let of = self.log.last().unwrap_or(0) + self.log.segment_len();
        let mut add = |offset, record: &RecordView<'_>| {
            if offset >= next_word {
                next_word = offset + PROGRESS_STEP;
                tracing::info!(
                    from = bounds.start,
                    at = offset,
                    of,
                    "reading the commit log"
                );
            }
            rebuild.add(offset, record)?;
            Ok(ControlFlow::Continue(()))
        };
        let mut walked = walk::walk(self.log, &bounds, &mut add)?;
        // The log may go on in the buffers of the transient store pool. After a power failure they hold what happened to
        // be written back of them.
        if bounds.beyond == Beyond::Cut || sabotage::is(Sabotage::PoolNotRestored) {
            return Ok((rebuild, walked));
        }
        loop {
            let from = walked.end;
            let restored = commit_log::restore(self.disk, &self.options.root_dir, self.log, from);
            let end = restored.map_err(StoreError::io(
                "restore the buffers of",
                &self.options.root_dir,
            ))?;
            if end == from {
                return Ok((rebuild, walked));
            }
            tracing::info!(
                from,
                to = end,
                "committed what the transient store pool held"
            );
            let bounds = Bounds {
                start: from,
                trusted: end,
                ..bounds
            };
            walked.append(walk::walk(self.log, &bounds, &mut add)?);
        }
    }

    /// Without a commit log, queues mean nothing.
    fn empty(self) -> Result<Recovered, StoreError> {
        let dir = self.options.consume_queue_dir();
        self.queues
            .clear()
            .map_err(StoreError::io("remove", &dir))?;
        let report = RecoveryReport {
            is_after_crash: self.is_after_crash,
            rebuilt_queues: self.removed_queues,
            ..RecoveryReport::default()
        };
        Ok(Recovered {
            walked: WalkEnd::default(),
            report,
            flushed: 0,
            restart: 0,
            units_at_restart: 0,
            units: 0,
        })
    }

    /// The restart offset of our own checkpoint, if the log fits it.
    fn restart(&self, exact: Option<Exact>) -> Result<Option<u64>, StoreError> {
        let Some(exact) = exact else { return Ok(None) };
        // Behind the restart offset lies a record, the end of a segment or, if nothing was written since, nothing.
        let offset = exact.restart.cast_signed();
        let fits = exact.restart == exact.flushed
            || self.with_record(offset, |_| ())?.is_some()
            || self.is_blank(exact.restart)?;
        Ok(fits.then_some(exact.restart))
    }

    /// Whether a segment is closed at `offset`.
    fn is_blank(&self, offset: u64) -> Result<bool, StoreError> {
        let found = self.log.segment(offset);
        let found = found.map_err(StoreError::io("open a segment of", self.log.dir()))?;
        Ok(found.is_some_and(|(base, segment)| {
            let head = segment.view(offset - base, BLANK_BYTES);
            head.is_some_and(|head| matches!(record::check(&head), RecordCheck::Blank { .. }))
        }))
    }

    /// The newest segment that begins before the reference's checkpoint.
    fn start_by_time(&self, first: u64) -> Result<u64, StoreError> {
        let time = self.checkpoint.min_timestamp();
        for base in self.log.bases().into_iter().rev() {
            let is_before = self.with_record(base.cast_signed(), |record| {
                record.store_timestamp > 0 && record.store_timestamp <= time
            })?;
            if is_before == Some(true) {
                return Ok(base);
            }
        }
        Ok(first)
    }

    /// Shows the record at `offset` to `look`, if there is one; its body is not checked.
    fn with_record<T>(
        &self,
        offset: i64,
        look: impl FnOnce(&RecordView<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        let Ok(offset) = u64::try_from(offset) else {
            return Ok(None);
        };
        let found = self
            .log
            .segment(offset)
            .map_err(StoreError::io("open a segment of", self.log.dir()))?;
        let Some((base, segment)) = found else {
            return Ok(None);
        };
        let Some(head) = segment.view(offset - base, MIN_BYTES) else {
            return Ok(None);
        };
        let size = head
            .first_chunk()
            .map_or(0, |size| i32::from_be_bytes(*size));
        let size = usize::try_from(size).unwrap_or(0);
        let Some(bytes) = segment.view(offset - base, size) else {
            return Ok(None);
        };
        let record = record::RecordView::parse(&bytes).ok();
        Ok(record
            .filter(|record| record.physical_offset == offset.cast_signed())
            .map(|record| look(&record)))
    }

    /// Removes segments behind `end` and zeroes the rest of its own; returns how many were removed.
    fn cut_log(&self, end: u64) -> Result<usize, StoreError> {
        let base = self.log.base_of(end);
        let mut removed = 0;
        for later in self.log.bases().into_iter().filter(|later| *later > base) {
            self.log
                .remove(later)
                .map_err(StoreError::io("remove", &self.log.path(later)))?;
            removed += 1;
        }
        let is_there = self.log.bases().contains(&base);
        if is_there && self.is_after_crash && !sabotage::is(Sabotage::TailKept) {
            let zeroed = self.log.cut_tail(end).and_then(|writer| {
                // Else a power failure could bring back what was cut, in the middle of new records.
                writer.segment().flush(end - base, self.log.segment_len())
            });
            zeroed.map_err(StoreError::io("clear the end of", &self.log.path(base)))?;
        }
        Ok(removed)
    }
}
