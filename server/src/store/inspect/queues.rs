// SPDX-License-Identifier: Apache-2.0
//! Consume queues beside the walk of the log: is the unit of each record there?
//!
//! Every record that is met looks its unit up and counts when it is right. As no two records have the same unit, a
//! queue whose units in the log's range are as many as were counted has no others, and none of them needs to be
//! looked at again. The rest is done by [`super::units`] after the walk.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use kerolox_protocol::message::record::RecordView;
use kerolox_protocol::message::{properties, property, sys_flag};

use super::blocks::{Blocks, FileId};
use super::finding::{Finding, UnitFields};
use super::listing::{self, LenTally, Listing};
use super::note::Note;
use super::report::Sink;
use super::text;
use crate::store::StoreError;
use crate::store::consume_queue::{UNIT_BYTES, UNIT_LEN, Unit};
use crate::store::disk::Disk;

/// Units that share a block: 200. Enough blocks for 4096 queues in turn: 16 MiB.
const BLOCK: usize = 200 * UNIT_LEN;
const MAX_BLOCKS: usize = 4096;
/// Missing or wrong units that are remembered until the walk has ended.
const MAX_DOUBTS: usize = 1 << 16;
/// Units from here down are addresses in the extension files (store.md 3.2).
const MAX_EXT_ADDRESS: i64 = -2_147_483_649;

/// A queue and what the walk knows of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) is_there: bool,
    pub(super) segments: Vec<QueueSegment>,
    /// Records that belong into it.
    pub(super) records: u64,
    /// Records whose unit is right.
    pub(super) matched: u64,
    /// Records of an earlier life of the queue.
    pub(super) superseded: u64,
    /// Highest queue offset of a record.
    pub(super) high: i64,
    /// By the first queue offset.
    pub(super) doubts: BTreeMap<i64, Doubt>,
    /// First queue offset whose record still exists, and the one after the last; known after the scan.
    pub(super) min: i64,
    pub(super) max: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct QueueSegment {
    pub(super) base: u64,
    pub(super) len: u64,
    pub(super) file: FileId,
}

/// A record whose unit was not as it should be when it was met.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doubt {
    /// No unit for the records up to this queue offset, included; the first lies at `physical_offset`.
    Missing {
        to: i64,
        physical_offset: u64,
    },
    Wrong {
        expected: Unit,
        found: Unit,
    },
}

impl Doubt {
    fn records(&self, from: i64) -> u64 {
        match self {
            Self::Missing { to, .. } => to.abs_diff(from) + 1,
            Self::Wrong { .. } => 1,
        }
    }

    fn covers(&self, from: i64, at: i64) -> bool {
        match self {
            Self::Missing { to, .. } => at <= *to,
            Self::Wrong { .. } => at == from,
        }
    }

    fn new(queue_offset: i64, expected: Unit, found: Option<Unit>) -> Self {
        match found {
            Some(found) => Self::Wrong { expected, found },
            None => Self::Missing {
                to: queue_offset,
                physical_offset: expected.physical_offset.cast_unsigned(),
            },
        }
    }
}

/// All consume queues of a store.
pub(super) struct Queues<'d> {
    pub(super) disk: &'d dyn Disk,
    dir: PathBuf,
    pub(super) blocks: Blocks<'d>,
    pub(super) segment_len: u64,
    by_name: HashMap<String, HashMap<i32, usize>>,
    pub(super) list: Vec<Queue>,
    pub(super) bytes: Vec<u8>,
    pub(super) doubts: usize,
}

impl<'d> Queues<'d> {
    /// Lists the queues and reports what is wrong with their files.
    pub(super) fn find(
        disk: &'d dyn Disk,
        dir: PathBuf,
        len: Option<u64>,
        sink: &mut Sink,
    ) -> Result<Self, StoreError> {
        let mut listings = Vec::new();
        let mut tally = LenTally::default();
        for topic in sub_dirs(disk, &dir)? {
            let topic_dir = dir.join(&topic);
            for id in sub_dirs(disk, &topic_dir)? {
                let queue_dir = topic_dir.join(&id);
                let Some(queue_id) = id.parse::<i32>().ok().filter(|id| *id >= 0) else {
                    sink.note(Note::Ignored {
                        file: text(&queue_dir),
                    });
                    continue;
                };
                let listing = listing::list(disk, &queue_dir)?;
                tally.add(&listing.segments);
                listings.push((topic.clone(), queue_id, queue_dir, listing));
            }
        }
        let len = len.or(tally.winner()).unwrap_or(6_000_000);
        let mut queues = Self {
            disk,
            dir,
            blocks: Blocks::new(disk, BLOCK, MAX_BLOCKS),
            segment_len: len.next_multiple_of(UNIT_BYTES).max(UNIT_BYTES),
            by_name: HashMap::new(),
            list: Vec::new(),
            bytes: Vec::new(),
            doubts: 0,
        };
        listings.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        for (topic, queue_id, queue_dir, listing) in listings {
            let index = queues.add(&topic, queue_id);
            queues.load(index, &queue_dir, listing, sink);
        }
        Ok(queues)
    }

    pub(super) fn queue_dir(&self, topic: &str, queue_id: i32) -> PathBuf {
        self.dir.join(topic).join(queue_id.to_string())
    }

    fn add(&mut self, topic: &str, queue_id: i32) -> usize {
        let index = self.list.len();
        self.list.push(Queue {
            topic: topic.to_owned(),
            queue_id,
            high: -1,
            ..Queue::default()
        });
        let ids = self.by_name.entry(topic.to_owned()).or_default();
        ids.insert(queue_id, index);
        index
    }

    fn load(&mut self, index: usize, dir: &Path, listing: Listing, sink: &mut Sink) {
        let listed = listing.check(dir, self.segment_len, sink);
        let segments = listed.into_iter().map(|segment| QueueSegment {
            base: segment.base,
            len: segment.len.min(self.segment_len),
            file: self.blocks.add(segment.path),
        });
        let segments = segments.collect();
        if let Some(queue) = self.list.get_mut(index) {
            queue.is_there = true;
            queue.segments = segments;
        }
    }

    /// Lists the files of a queue anew, as a running broker may have made some.
    pub(super) fn reload(&mut self, index: usize) -> Result<(), StoreError> {
        let Some(queue) = self.list.get(index) else {
            return Ok(());
        };
        let dir = self.queue_dir(&queue.topic, queue.queue_id);
        let listing = listing::list(self.disk, &dir)?;
        if !listing.segments.is_empty() {
            // What is wrong with them was said before, or is being written.
            self.load(index, &dir, listing, &mut Sink::default());
        }
        Ok(())
    }

    fn index(&mut self, topic: &str, queue_id: i32) -> usize {
        let known = self.by_name.get(topic).and_then(|ids| ids.get(&queue_id));
        match known {
            Some(index) => *index,
            None => self.add(topic, queue_id),
        }
    }

    /// The queue, if it is there.
    pub(super) fn get(&self, topic: &str, queue_id: i32) -> Option<&Queue> {
        let index = *self.by_name.get(topic)?.get(&queue_id)?;
        self.list.get(index).filter(|queue| queue.is_there)
    }

    /// Whether there are queues of the topic.
    pub(super) fn topics(&self) -> Vec<String> {
        let there = self.list.iter().filter(|queue| queue.is_there);
        let mut topics: Vec<_> = there.map(|queue| queue.topic.clone()).collect();
        topics.dedup();
        topics
    }

    /// Looks for the unit of a record.
    pub(super) fn see(
        &mut self,
        position: u64,
        record: &RecordView<'_>,
        tags_code: i64,
        sink: &mut Sink,
    ) -> Result<(), StoreError> {
        let Some(topic) = queued_topic(record) else {
            return Ok(());
        };
        let queue_offset = record.queue_offset;
        let expected = Unit {
            physical_offset: position.cast_signed(),
            size: i32::try_from(record.size).unwrap_or(i32::MAX - 1),
            tags_code,
        };
        let index = self.index(topic, record.queue_id);
        let found = self.unit(index, queue_offset)?;
        if let Some(queue) = self.list.get_mut(index) {
            queue.records += 1;
            queue.high = queue.high.max(queue_offset);
            if queue.is_there {
                let spare = MAX_DOUBTS.saturating_sub(self.doubts);
                let before = queue.doubts.len();
                let found = found.filter(|found| !found.is_filler());
                if !queue.judge(queue_offset, expected, found, spare) {
                    // No room to wait whether it is resolved.
                    let doubt = Doubt::new(queue_offset, expected, found);
                    sink.find(queue.finding(queue_offset, &doubt));
                }
                self.doubts = (self.doubts + queue.doubts.len()).saturating_sub(before);
            }
        }
        self.see_others(record, expected)
    }

    /// Units of the same record in other queues (store.md 2.8), which it may have or not.
    fn see_others(&mut self, record: &RecordView<'_>, expected: Unit) -> Result<(), StoreError> {
        let text = record.properties();
        let Some(names) = properties::find(&text, property::INNER_MULTI_DISPATCH) else {
            return Ok(());
        };
        let offsets = properties::find(&text, property::INNER_MULTI_QUEUE_OFFSET).unwrap_or("");
        for (name, offset) in names.split(',').zip(offsets.split(',')) {
            let queue_id = if name.starts_with("%LMQ%") {
                0
            } else {
                record.queue_id
            };
            let index = self.by_name.get(name).and_then(|ids| ids.get(&queue_id));
            let (Some(&index), Ok(offset)) = (index, offset.parse()) else {
                continue;
            };
            let found = self.unit(index, offset)?;
            if found.is_some_and(|found| is_same(&found, &expected))
                && let Some(queue) = self.list.get_mut(index)
            {
                queue.matched += 1;
                queue.high = queue.high.max(offset);
            }
        }
        Ok(())
    }

    /// The unit at a queue offset, if one was written.
    pub(super) fn unit(
        &mut self,
        index: usize,
        queue_offset: i64,
    ) -> Result<Option<Unit>, StoreError> {
        let at = u64::try_from(queue_offset)
            .ok()
            .and_then(|offset| offset.checked_mul(UNIT_BYTES));
        let Some((queue, at)) = self.list.get(index).zip(at) else {
            return Ok(None);
        };
        let after = queue.segments.partition_point(|segment| segment.base <= at);
        let segment = after
            .checked_sub(1)
            .and_then(|index| queue.segments.get(index));
        let Some(segment) = segment.filter(|segment| at - segment.base < segment.len) else {
            return Ok(None);
        };
        self.blocks
            .read(segment.file, at - segment.base, UNIT_LEN, &mut self.bytes)?;
        Ok(Unit::decode(&self.bytes))
    }
}

impl Queue {
    /// Notes whether a record's unit is right; `false` if there is no room for the doubt.
    fn judge(
        &mut self,
        queue_offset: i64,
        expected: Unit,
        found: Option<Unit>,
        spare: usize,
    ) -> bool {
        if found.is_some_and(|found| is_same(&found, &expected)) {
            self.matched += 1;
            let before = self.doubts.get(&queue_offset);
            if matches!(before, Some(Doubt::Wrong { found, .. }) if is_same(found, &expected)) {
                // The queue begins anew here: what was in doubt from here on belongs to its earlier life.
                for (from, doubt) in self.doubts.split_off(&queue_offset) {
                    self.superseded += doubt.records(from);
                }
            }
            return true;
        }
        let before = self.doubts.range_mut(..queue_offset).next_back();
        if let (None, Some((_, Doubt::Missing { to, .. }))) = (found, before)
            && *to + 1 == queue_offset
        {
            *to = queue_offset;
            return true;
        }
        if spare == 0 || self.doubts.contains_key(&queue_offset) {
            return false;
        }
        let doubt = Doubt::new(queue_offset, expected, found);
        self.doubts.insert(queue_offset, doubt);
        true
    }

    /// Whether the record of this queue offset is in doubt.
    pub(super) fn is_doubtful(&self, at: i64) -> bool {
        let before = self.doubts.range(..=at).next_back();
        before.is_some_and(|(from, doubt)| doubt.covers(*from, at))
    }

    /// The unit at a queue offset is right: what was missing was still to come, or belongs to an earlier life.
    pub(super) fn resolve(&mut self, at: i64, unit: &Unit) {
        match self.doubts.get(&at) {
            Some(Doubt::Missing { to, .. }) => {
                let to = *to;
                self.doubts.remove(&at);
                if at < to {
                    // Its first record is not known any more; the place of the one before is near it.
                    let rest = Doubt::Missing {
                        to,
                        physical_offset: unit.physical_offset.cast_unsigned(),
                    };
                    self.doubts.insert(at + 1, rest);
                }
            }
            Some(Doubt::Wrong { expected, .. })
                if expected.physical_offset <= unit.physical_offset =>
            {
                self.superseded += u64::from(expected.physical_offset != unit.physical_offset);
                self.doubts.remove(&at);
            }
            _ => {}
        }
    }

    pub(super) fn finding(&self, at: i64, doubt: &Doubt) -> Finding {
        let (topic, queue_id) = (self.topic.clone(), self.queue_id);
        match *doubt {
            Doubt::Missing {
                to,
                physical_offset,
            } => Finding::MissingUnits {
                topic,
                queue_id,
                from: at,
                to,
                physical_offset,
            },
            Doubt::Wrong { expected, found } => Finding::WrongUnit {
                topic,
                queue_id,
                queue_offset: at,
                expected: UnitFields::from(expected),
                found: UnitFields::from(found),
            },
        }
    }
}

/// The topic of a record, if it has a unit in the queue it names.
pub(super) fn queued_topic<'a>(record: &RecordView<'a>) -> Option<&'a str> {
    let is_queued = sys_flag::is_queued(record.sys_flag)
        && record.sys_flag & sys_flag::INNER_BATCH == 0
        && record.queue_id >= 0
        && record.queue_offset >= 0;
    let topic = std::str::from_utf8(record.topic).ok()?;
    (is_queued && crate::store::is_storable(topic)).then_some(topic)
}

/// Whether a unit is the expected one; instead of a tags code it may hold an address in the extension files.
pub(super) fn is_same(found: &Unit, expected: &Unit) -> bool {
    found.physical_offset == expected.physical_offset
        && found.size == expected.size
        && (found.tags_code == expected.tags_code || found.tags_code <= MAX_EXT_ADDRESS)
}

fn sub_dirs(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = disk.list(dir).map_err(StoreError::io("list", dir))?;
    let dirs = entries.into_iter().filter(|entry| entry.is_dir);
    Ok(dirs.map(|entry| entry.name).collect())
}
