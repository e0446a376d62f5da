// SPDX-License-Identifier: Apache-2.0
//! Appending a batch: the one short critical section of the store.
//!
//! Under the append lock, for each record: is there room in the segment, which queue offset does it get, patch the
//! open fields. Then the records go to the file together, and their units to the consume queues. No allocation and no
//! look-up; the only system calls are these writes, as long as space is reserved.
//!
//! Records and units go through the files' handles and not through the mappings that readers use: a mapped page costs a fault
//! when it is first written and after each flush, and each flush an interrupt on every processor for each page (ADR 4).
//!
//! A process that is killed in between leaves the first pages of what was written. Behind them the file holds zeros, so
//! recovery tells a record that is cut from a whole one.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kerolox_protocol::message::record;

use super::batch::Entry;
use super::light::Lights;
use super::{AppendBatch, Appended, CommitLog, TagsCode, Tail, refusal};
use crate::store::consume_queue::{ExtUnit, QueueHandle, UNIT_LEN, Unit};
use crate::store::index::Fed;
use crate::store::sabotage::{self, Sabotage};
use crate::store::{AppendError, Puts};

/// What came of an append; the batch holds the result of each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// How many records were appended.
    pub appended: usize,
    /// Commit-log offset after the last of them: under [`crate::store::Flush::Sync`] they are safe and visible once this is flushed.
    pub end_offset: i64,
    /// Whether more space should be prepared, or the index has much to take.
    pub(crate) is_low: bool,
}

/// One append, under the append lock.
struct Round<'b> {
    log: &'b CommitLog,
    tail: &'b mut Tail,
    /// Whether records are visible as soon as they are in the log; else their queues wait in [`Tail::touched`].
    shows_at_once: bool,
    arena: &'b mut [u8],
    entries: &'b [Entry],
    queues: &'b [Arc<QueueHandle>],
    lights: Lights<'b>,
    hashes: &'b [i32],
    /// The placed entries by queue; kept for its memory.
    runs: &'b mut Vec<Run>,
    /// Units of one queue; kept for its memory.
    units: &'b mut Vec<u8>,
    results: &'b mut Vec<Result<Appended, AppendError>>,
    arrivals: &'b mut Vec<usize>,
    /// Entries that have their places, one after the other at the end of the log, but are not written.
    placed: Range<usize>,
    appended: usize,
    is_feed_long: bool,
}

/// Neighbours of one queue among the placed entries.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Index into the batch's queues.
    queue: usize,
    entries: Range<usize>,
    /// Sends that they came with.
    calls: u64,
}

impl CommitLog {
    /// Appends the batch; `now_ms` becomes the store timestamp unless an earlier record has a later one. With
    /// `shows_at_once` the records are visible on return, else their queues wait in [`Tail::touched`].
    pub(crate) fn append(
        &self,
        batch: &mut AppendBatch,
        shows_at_once: bool,
        now_ms: i64,
    ) -> AppendOutcome {
        let AppendBatch {
            arena,
            entries,
            queues,
            lights,
            hashes,
            runs,
            units,
            results,
            arrivals,
            store_timestamp,
            ..
        } = batch;
        results.clear();
        arrivals.clear();
        let mut tail = self.tail.lock();
        tail.last_timestamp = tail.last_timestamp.max(now_ms);
        *store_timestamp = tail.last_timestamp;

        let mut round = Round {
            log: self,
            tail: &mut tail,
            shows_at_once,
            arena,
            entries,
            queues,
            lights: Lights {
                queues,
                all: lights,
            },
            hashes,
            runs,
            units,
            results,
            arrivals,
            placed: 0..0,
            appended: 0,
            is_feed_long: false,
        };
        let mut next = 0;
        while let Some(first) = entries.get(next) {
            let is_torn = sabotage::is(Sabotage::GroupTornApart);
            let group_len = if is_torn { 1 } else { first.group_len.max(1) };
            let end = (next + group_len).min(entries.len());
            round.add(next..end);
            next = end;
        }
        round.write_placed();
        let (appended, is_feed_long) = (round.appended, round.is_feed_long);
        self.written.store(tail.position, Ordering::Release);
        AppendOutcome {
            appended,
            end_offset: tail.position.cast_signed(),
            is_low: tail.is_low() || is_feed_long,
        }
    }
}

impl<'b> Round<'b> {
    /// Takes a group: all of it is appended, or nothing.
    fn add(&mut self, group: Range<usize>) {
        match self.place(group.clone()) {
            Ok(()) => {
                self.placed.end = group.end;
                self.add_run(group);
            }
            Err(error) => {
                // The placed entries follow one another in the arena.
                self.write_placed();
                self.results.extend(group.clone().map(|_| Err(error)));
                self.placed = group.end..group.end;
            }
        }
    }

    /// Gives a group its places behind what is placed already.
    fn place(&mut self, group: Range<usize>) -> Result<(), AppendError> {
        let entries = self.entries.get(group.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let queue = self.queues.get(first.queue);
        let queue = queue.ok_or(AppendError::QueueDeleted)?;
        let size = (last.range.end - first.range.start) as u64;
        // A queue makes one further segment ahead.
        let has_units = self.placed.len() + group.len() <= queue.units_per_segment();
        if !has_units || !self.tail.has_room(self.log, self.placed_bytes() + size) {
            self.write_placed();
        }
        if let Some(error) = self.log.refusal() {
            return Err(error);
        }
        let before = self.placed_bytes();
        self.tail.make_room(self.log, before + size)?;

        let queued = entries.iter().filter(|entry| entry.is_queued).count();
        let mut queue_offset = {
            let mut writer = queue.writer.lock();
            if queue.is_deleted() {
                return Err(AppendError::QueueDeleted);
            }
            let placed = writer.place(&queue.files, queued);
            placed.map_err(|error| refusal(&error))?
        };
        if let Err(error) = self.lights.place(first.lights.clone(), self.arena) {
            queue.writer.lock().take_back(queued);
            return Err(error);
        }
        if queued > 0 {
            queue.note_open();
        }

        let timestamp = self.tail.last_timestamp;
        let mut physical_offset = (self.tail.position + before).cast_signed();
        for entry in entries {
            let offset = if entry.is_queued { queue_offset } else { 0 };
            if let Some(bytes) = self.arena.get_mut(entry.range.clone()) {
                record::patch(bytes, offset, physical_offset, timestamp);
                if self.log.appends_crc {
                    record::patch_crc(bytes);
                }
            }
            self.results.push(Ok(Appended {
                physical_offset,
                queue_offset: offset,
                size: entry.size,
            }));
            physical_offset += i64::from(entry.size);
            queue_offset += i64::from(entry.is_queued);
        }
        Ok(())
    }

    /// Notes the queue of a group that was placed.
    fn add_run(&mut self, group: Range<usize>) {
        let Some(first) = self.entries.get(group.start) else {
            return;
        };
        match self.runs.last_mut() {
            Some(last) if last.queue == first.queue => {
                last.entries.end = group.end;
                last.calls += 1;
            }
            _ => self.runs.push(Run {
                queue: first.queue,
                entries: group,
                calls: 1,
            }),
        }
    }

    fn placed_entries(&self) -> &'b [Entry] {
        self.entries.get(self.placed.clone()).unwrap_or_default()
    }

    /// Where the placed records are in the arena.
    fn placed_range(&self) -> Range<usize> {
        span(self.placed_entries(), |entry| &entry.range)
    }

    fn placed_bytes(&self) -> u64 {
        self.placed_range().len() as u64
    }

    /// Writes what is placed: to the log, then to the queues.
    fn write_placed(&mut self) {
        let entries = self.placed_entries();
        if entries.is_empty() {
            return;
        }
        let bytes = self.arena.get(self.placed_range()).unwrap_or_default();
        let at = self.tail.position - self.tail.base;
        if let Err(error) = self.tail.writer.write_through(at, bytes) {
            // A full disk may have space again, anything else is final. What arrived must not follow a shorter append.
            let is_full = refusal(&error) == AppendError::DiskFull;
            let refused = if is_full && self.tail.writer.zero_from(at).is_ok() {
                self.tail.reserved = self.tail.position;
                AppendError::DiskFull
            } else {
                self.fail(&error)
            };
            self.refuse_placed(refused);
            self.runs.clear();
            self.placed.start = self.placed.end;
            return;
        }
        self.feed(self.tail.position);
        self.tail.position += self.placed_bytes();
        if self.log.pool.is_none() {
            self.tail
                .writer
                .publish(self.tail.position - self.tail.base);
        }
        self.enter();
        self.placed.start = self.placed.end;
    }

    /// Tells the index of the placed records, the first of which is at `offset` of the log.
    fn feed(&mut self, mut offset: u64) {
        let Some(feed) = &self.log.feed else { return };
        let timestamp = self.tail.last_timestamp;
        let entries = self.placed_entries();
        let placed = entries.iter().map(|entry| {
            let size = entry.size.cast_unsigned();
            let record = Fed {
                offset,
                size,
                keys: u32::try_from(entry.hashes.len()).unwrap_or(0),
                timestamp,
            };
            offset += u64::from(size);
            record
        });
        let hashes = self.hashes.get(span(entries, |entry| &entry.hashes));
        let hashes = hashes.unwrap_or_default();
        self.is_feed_long = feed.add(placed, hashes);
    }

    /// Writes the units of the placed records, those of one queue together, then shows them. A kill in between leaves queues that
    /// lack units: recovery, the reference's as well, enters the records behind the checkpoint into each queue by itself.
    fn enter(&mut self) {
        let mut runs = std::mem::take(self.runs);
        // Units of light queues are written with those of their records, so each queue gets them in the order of the log.
        if self.lights.all.is_empty() {
            runs.sort_unstable_by_key(|run| (run.queue, run.entries.start));
        }
        let by_queue = || runs.chunk_by(|one, other| one.queue == other.queue);
        match by_queue().try_for_each(|runs| self.put_units(runs)) {
            Ok(()) => by_queue().for_each(|runs| self.show_units(runs)),
            Err(error) => {
                let refused = self.fail(&error);
                self.refuse_placed(refused);
            }
        }
        runs.clear();
        *self.runs = runs;
    }

    /// Writes the units of runs of one queue.
    fn put_units(&mut self, runs: &[Run]) -> io::Result<()> {
        let Some(queue) = self.queue_of(runs) else {
            return Ok(());
        };
        self.units.clear();
        for number in runs.iter().flat_map(|run| run.entries.clone()) {
            if let Some(entry) = self.entries.get(number)
                && let Some(Ok(appended)) = self.results.get(number)
                && entry.is_queued
            {
                let physical_offset = appended.physical_offset;
                self.gather_unit(entry, queue, physical_offset)?;
            }
        }
        let mut writer = queue.writer.lock();
        // Of a topic that was deleted meanwhile the records stay in the log.
        if !queue.is_deleted() {
            writer.put(&queue.files, self.units)?;
            self.tail.units += i64::try_from(self.units.len() / UNIT_LEN).unwrap_or(0);
        }
        Ok(())
    }

    /// Counts runs of one queue and shows them.
    fn show_units(&mut self, runs: &[Run]) {
        let mut puts = Puts::default();
        for run in runs {
            let entries = self.entries.get(run.entries.clone()).unwrap_or_default();
            puts.messages += entries.len() as u64;
            puts.bytes += span(entries, |entry| &entry.range).len() as u64;
            puts.calls += run.calls;
            let lights = self.lights;
            if !lights.all.is_empty() {
                let further = entries.iter().map(|entry| entry.lights.clone());
                for (light, queue) in further.flat_map(|range| lights.of(range)) {
                    self.show(light.queue, queue);
                }
            }
            self.appended += entries.len();
        }
        self.log.puts.add(puts);
        if let (Some(first), Some(queue)) = (runs.first(), self.queue_of(runs)) {
            queue.puts.add(puts);
            self.show(first.queue, queue);
        }
    }

    /// The queue of runs of one queue.
    fn queue_of(&self, runs: &[Run]) -> Option<&'b Arc<QueueHandle>> {
        self.queues.get(runs.first()?.queue)
    }

    /// Adds the unit of a record to those that its queue gets next, and writes those of its light queues.
    fn gather_unit(
        &mut self,
        entry: &Entry,
        queue: &QueueHandle,
        physical_offset: i64,
    ) -> io::Result<()> {
        let timestamp = self.tail.last_timestamp;
        let tags_code = match entry.tags_code {
            TagsCode::Hash(code) => code,
            TagsCode::DeliverAfterMs(delay) => timestamp.saturating_add(delay),
        };
        let unit = Unit {
            physical_offset,
            size: entry.size,
            tags_code,
        };
        if !entry.lights.is_empty() {
            self.tail.units += self.lights.put(entry.lights.clone(), &unit)?;
        }
        let tags_code = match &queue.ext {
            Some(ext) if !queue.is_deleted() => {
                let unit = ExtUnit {
                    tags_code,
                    store_timestamp: timestamp,
                };
                ext.put(unit, entry.bits.as_deref().unwrap_or_default())
            }
            _ => tags_code,
        };
        let unit = Unit { tags_code, ..unit };
        self.units.extend_from_slice(&unit.encode());
        Ok(())
    }

    /// Refuses what is placed.
    fn refuse_placed(&mut self, error: AppendError) {
        for entry in self.placed_entries() {
            if let Some(queue) = self.queues.get(entry.queue) {
                queue.writer.lock().take_back(entry.is_queued.into());
            }
            self.lights.take_back(entry.lights.clone());
        }
        let refused = self.results.get_mut(self.placed.clone());
        refused.unwrap_or_default().fill(Err(error));
    }

    /// What a write failed with is final.
    fn fail(&self, error: &io::Error) -> AppendError {
        if !sabotage::is(Sabotage::FailedWriteForgotten) {
            self.log.poison(error);
        }
        AppendError::Poisoned
    }

    /// Ends the work on a queue: its messages become visible, or wait for a commit or flush.
    fn show(&mut self, index: usize, queue: &Arc<QueueHandle>) {
        let mut writer = queue.writer.lock();
        if !std::mem::replace(&mut writer.is_dirty, true) {
            self.tail.dirty.push(Arc::clone(queue));
        }
        if writer.asks_for_segment(&queue.files) {
            self.tail.half_full.push(Arc::clone(queue));
        }
        if !self.shows_at_once {
            if !std::mem::replace(&mut writer.is_touched, true) {
                self.tail.touched.push(Arc::clone(queue));
            }
            return;
        }
        let next = writer.next();
        if next > queue.max_offset() && queue.show(next) {
            self.arrivals.push(index);
        }
    }
}

/// All of the ranges of entries, which follow one another.
fn span(entries: &[Entry], range: impl Fn(&Entry) -> &Range<usize>) -> Range<usize> {
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => range(first).start..range(last).end,
        _ => 0..0,
    }
}
