// SPDX-License-Identifier: Apache-2.0
//! Appending a batch: the one short critical section of the store.
//!
//! Under the append lock, for each record: is there room in the segment, which queue offset does it get, patch the
//! open fields, copy the record into the mapping, write the unit of its consume queue. No allocation, no look-up, no
//! system call as long as the background thread keeps space prepared.
//!
//! The head of a record (size and magic) is copied after the rest: a process that is killed in between leaves no
//! record rather than half of one.

use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use kerolox_protocol::message::record;
use parking_lot::MutexGuard;

use super::batch::Entry;
use super::light::Lights;
use super::{AppendBatch, Appended, CommitLog, TagsCode, Tail, refusal};
use crate::store::AppendError;
use crate::store::consume_queue::{ExtUnit, QueueHandle, QueueWriter, Unit};
use crate::store::sabotage::{self, Sabotage};

/// What came of an append; the batch holds the result of each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendOutcome {
    /// How many records were appended.
    pub appended: usize,
    /// Commit-log offset after the last of them: under [`crate::store::Flush::Sync`] they are safe and visible once this is flushed.
    pub end_offset: i64,
    /// Whether more space should be prepared.
    pub(crate) is_low: bool,
}

/// The records of a batch and their further queues.
struct Records<'b> {
    arena: &'b mut [u8],
    lights: Lights<'b>,
}

/// Size and magic: what makes bytes a record.
const HEAD: usize = 8;

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
            results,
            arrivals,
            store_timestamp,
            ..
        } = batch;
        results.clear();
        arrivals.clear();
        let lights = Lights {
            queues,
            all: lights,
        };
        let mut tail = self.tail.lock();
        tail.last_timestamp = tail.last_timestamp.max(now_ms);
        *store_timestamp = tail.last_timestamp;

        let mut appended = 0;
        let mut current: Option<(usize, &Arc<QueueHandle>, MutexGuard<'_, QueueWriter>)> = None;
        let mut rest = entries.as_slice();
        while let Some(first) = rest.first() {
            let (group, after) = rest
                .split_at_checked(first.group_len.max(1))
                .unwrap_or((rest, &[]));
            rest = after;
            if current
                .as_ref()
                .is_none_or(|(index, ..)| *index != first.queue)
            {
                show(current.take(), shows_at_once, &mut tail, arrivals);
                current = queues
                    .get(first.queue)
                    .map(|queue| (first.queue, queue, queue.writer.lock()));
            }
            let before = results.len();
            let result = match (&mut current, self.refusal()) {
                (_, Some(error)) => Err(error),
                (Some((_, queue, writer)), None) => {
                    let records = Records { arena, lights };
                    self.append_group(&mut tail, queue, writer, group, records, results)
                }
                (None, None) => Err(AppendError::QueueDeleted),
            };
            match result {
                Ok(()) => {
                    appended += group.len();
                    for (light, queue) in lights.of(first.lights.clone()) {
                        let light = (light.queue, queue, queue.writer.lock());
                        show(Some(light), shows_at_once, &mut tail, arrivals);
                    }
                }
                Err(error) => {
                    results.truncate(before);
                    results.extend(group.iter().map(|_| Err(error)));
                }
            }
        }
        show(current, shows_at_once, &mut tail, arrivals);
        self.written.store(tail.position, Ordering::Release);
        AppendOutcome {
            appended,
            end_offset: tail.position.cast_signed(),
            is_low: tail.is_low(),
        }
    }

    fn append_group(
        &self,
        tail: &mut Tail,
        queue: &QueueHandle,
        writer: &mut QueueWriter,
        group: &[Entry],
        records: Records<'_>,
        results: &mut Vec<Result<Appended, AppendError>>,
    ) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(());
        };
        let Records { arena, lights } = records;
        if queue.is_deleted() {
            return Err(AppendError::QueueDeleted);
        }
        if sabotage::is(Sabotage::GroupTornApart) && group.len() > 1 {
            return group.chunks(1).try_for_each(|one| {
                let records = Records {
                    arena: &mut *arena,
                    lights,
                };
                self.append_group(tail, queue, writer, one, records, results)
            });
        }
        let (from, to) = (first.range.start, last.range.end);
        tail.make_room(self, (to - from) as u64)?;
        let queued = group.iter().filter(|entry| entry.is_queued).count();
        if queued > 0 {
            writer
                .prepare(&queue.files, queued)
                .map_err(|error| refusal(&error))?;
            queue.note_open();
        }
        let light_units = first.lights.len();
        if light_units > 0 {
            lights.prepare(first.lights.clone(), arena)?;
        }

        let timestamp = tail.last_timestamp;
        let start = tail.position;
        let (mut position, mut queue_offset) = (start, writer.next());
        for entry in group {
            let physical_offset = position.cast_signed();
            let offset = if entry.is_queued { queue_offset } else { 0 };
            if let Some(bytes) = arena.get_mut(entry.range.clone()) {
                record::patch(bytes, offset, physical_offset, timestamp);
                if self.appends_crc {
                    record::patch_crc(bytes);
                }
            }
            results.push(Ok(Appended {
                physical_offset,
                queue_offset: offset,
                size: entry.size,
            }));
            position += entry.range.len() as u64;
            queue_offset += i64::from(entry.is_queued);
        }
        let mut at = start;
        let copied = group.iter().try_for_each(|entry| {
            let bytes = arena.get(entry.range.clone()).unwrap_or_default();
            let place = at;
            at += bytes.len() as u64;
            copy(tail, place, bytes)
        });
        let copied = copied.and_then(|()| {
            tail.position = position;
            tail.units += i64::try_from(queued + light_units).unwrap_or(0);
            if self.pool.is_none() {
                tail.writer.publish(position - tail.base);
            }
            let mut at = start.cast_signed();
            for entry in group {
                if entry.is_queued {
                    let tags_code = match entry.tags_code {
                        TagsCode::Hash(code) => code,
                        TagsCode::DeliverAfterMs(delay) => timestamp.saturating_add(delay),
                    };
                    if light_units > 0 {
                        let unit = Unit {
                            physical_offset: at,
                            size: entry.size,
                            tags_code,
                        };
                        lights.put(entry.lights.clone(), &unit)?;
                    }
                    let tags_code = queue.ext.as_ref().map_or(tags_code, |ext| {
                        let unit = ExtUnit {
                            tags_code,
                            store_timestamp: timestamp,
                        };
                        ext.put(unit, entry.bits.as_deref().unwrap_or_default())
                    });
                    writer.put(
                        &queue.files,
                        &Unit {
                            physical_offset: at,
                            size: entry.size,
                            tags_code,
                        },
                    )?;
                }
                at += i64::from(entry.size);
            }
            Ok(())
        });
        if copied.is_ok() {
            let (messages, bytes) = (group.len() as u64, position - start);
            self.puts.add(messages, bytes);
            queue.puts.add(messages, bytes);
        }
        copied.map_err(|error| {
            if !sabotage::is(Sabotage::FailedWriteForgotten) {
                self.poison(&error);
            }
            AppendError::Poisoned
        })
    }
}

/// Copies a record to the log, its head last: of a batch that is cut short only whole records are there, the first ones.
fn copy(tail: &mut Tail, start: u64, bytes: &[u8]) -> std::io::Result<()> {
    let at = start - tail.base;
    let (head, body) = bytes
        .split_at_checked(HEAD)
        .ok_or(std::io::ErrorKind::InvalidInput)?;
    if sabotage::is(Sabotage::HeadFirst) {
        return tail.writer.write(at, bytes);
    }
    tail.writer.write(at + HEAD as u64, body)?;
    // Keeps the compiler from joining or swapping the two copies; the processor keeps the order of stores.
    compiler_fence(Ordering::SeqCst);
    tail.writer.write(at, head)
}

/// Ends the work on a queue: its messages become visible, or wait for a commit or flush.
fn show(
    current: Option<(usize, &Arc<QueueHandle>, MutexGuard<'_, QueueWriter>)>,
    shows_at_once: bool,
    tail: &mut Tail,
    arrivals: &mut Vec<usize>,
) {
    let Some((index, queue, mut writer)) = current else {
        return;
    };
    if !std::mem::replace(&mut writer.is_dirty, true) {
        tail.dirty.push(Arc::clone(queue));
    }
    if !shows_at_once {
        if !std::mem::replace(&mut writer.is_touched, true) {
            tail.touched.push(Arc::clone(queue));
        }
        return;
    }
    let next = writer.next();
    if next > queue.max_offset() && queue.show(next) {
        arrivals.push(index);
    }
}
