// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a store, one line each.

use std::fmt;

use serde::Serialize;

use super::report::Span;
use crate::store::consume_queue::Unit;

/// Where a message belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueuePlace {
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue_id: i32,
    /// Its offset in the queue.
    pub queue_offset: i64,
}

/// What a unit of a consume queue says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitFields {
    /// Commit-log offset of the record.
    pub physical_offset: i64,
    /// Size of the record.
    pub size: i32,
    /// Hash of the tag; the deliver time in the delay topic.
    pub tags_code: i64,
}

impl From<Unit> for UnitFields {
    fn from(unit: Unit) -> Self {
        Self {
            physical_offset: unit.physical_offset,
            size: unit.size,
            tags_code: unit.tags_code,
        }
    }
}

/// Something that is wrong. Ranges of queue offsets include both ends, ranges of the log exclude the second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields' names and the lines of Display say it"
)]
pub enum Finding {
    /// A file that does not belong into a directory of segments; the reference's broker does not start then.
    ForeignFile { file: String, reason: String },
    /// A file that is shorter or longer than it must be.
    WrongLength {
        file: String,
        len: u64,
        expected: u64,
    },
    /// Segments are missing between others.
    Hole { dir: String, from: u64, to: u64 },
    /// Records of the commit log that can not be read. `message` is what the head of the first says, if it can be read.
    DamagedLog {
        from: u64,
        to: u64,
        reason: String,
        message: Option<QueuePlace>,
    },
    /// A consume queue is not there although records belong into it.
    MissingQueue {
        dir: String,
        topic: String,
        queue_id: i32,
        records: u64,
    },
    /// Records lack their units. `physical_offset` is the first record's.
    MissingUnits {
        topic: String,
        queue_id: i32,
        from: i64,
        to: i64,
        physical_offset: u64,
    },
    /// A unit is not that of the record that belongs there.
    WrongUnit {
        topic: String,
        queue_id: i32,
        queue_offset: i64,
        expected: UnitFields,
        found: UnitFields,
    },
    /// Units point to no record of theirs. `physical_offset` is where the first one points.
    DanglingUnits {
        topic: String,
        queue_id: i32,
        from: i64,
        to: i64,
        physical_offset: i64,
        reason: String,
    },
    /// The length of an index file is not what its numbers of slots and entries make.
    IndexShape {
        file: String,
        len: u64,
        expected: u64,
        slots: u32,
        entries: u32,
    },
    /// The header of an index file contradicts its content.
    IndexHeader { file: String, reason: String },
    /// A hash slot does not point to the newest entry of its chain.
    IndexSlot {
        file: String,
        slot: u32,
        found: i32,
        expected: u32,
    },
    /// An index entry does not point to the next older entry of its chain.
    IndexChain {
        file: String,
        number: u32,
        found: u32,
        expected: u32,
    },
    /// An index entry is not that of a key of the record it points to.
    IndexEntry {
        file: String,
        number: u32,
        physical_offset: i64,
        reason: String,
    },
    /// Keys of records can not be found. `from` and `to` are offsets of the first and the last of these records.
    MissingKeys {
        from: u64,
        to: u64,
        records: u64,
        keys: u64,
        topic: String,
        key: String,
    },
    /// A table of the broker can not be read.
    Table { file: String, reason: String },
    /// An offset was committed that the queue does not reach.
    OffsetBeyondMax {
        file: String,
        group: String,
        topic: String,
        queue_id: i32,
        offset: i64,
        max: i64,
    },
    /// The checkpoint says more than the commit log holds.
    Checkpoint {
        field: &'static str,
        value: i64,
        limit: i64,
    },
}

impl Finding {
    /// Its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ForeignFile { .. } => "foreignFile",
            Self::WrongLength { .. } => "wrongLength",
            Self::Hole { .. } => "hole",
            Self::DamagedLog { .. } => "damagedLog",
            Self::MissingQueue { .. } => "missingQueue",
            Self::MissingUnits { .. } => "missingUnits",
            Self::WrongUnit { .. } => "wrongUnit",
            Self::DanglingUnits { .. } => "danglingUnits",
            Self::IndexShape { .. } => "indexShape",
            Self::IndexHeader { .. } => "indexHeader",
            Self::IndexSlot { .. } => "indexSlot",
            Self::IndexChain { .. } => "indexChain",
            Self::IndexEntry { .. } => "indexEntry",
            Self::MissingKeys { .. } => "missingKeys",
            Self::Table { .. } => "table",
            Self::OffsetBeyondMax { .. } => "offsetBeyondMax",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }
}

impl fmt::Display for UnitFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            physical_offset,
            size,
            tags_code,
        } = self;
        write!(
            f,
            "(offset {physical_offset}, size {size}, tags code {tags_code})"
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind())?;
        match self {
            Self::ForeignFile { file, reason } => {
                write!(f, "{file} does not belong there: {reason}")
            }
            Self::WrongLength {
                file,
                len,
                expected,
            } => write!(f, "{file} has {len} bytes instead of {expected}"),
            Self::Hole { dir, from, to } => {
                write!(f, "{dir} has no segments from {from} to {to}")
            }
            Self::DamagedLog {
                from,
                to,
                reason,
                message,
            } => {
                write!(f, "commit log {from} to {to}: {reason}")?;
                match message {
                    Some(place) => write!(
                        f,
                        " ({} queue {} offset {})",
                        place.topic, place.queue_id, place.queue_offset
                    ),
                    None => Ok(()),
                }
            }
            Self::MissingQueue { dir, records, .. } => {
                write!(f, "{dir} is not there, {records} records belong into it")
            }
            Self::MissingUnits {
                topic,
                queue_id,
                from,
                to,
                physical_offset,
            } => write!(
                f,
                "{topic} queue {queue_id} lacks the units {} (first record at {physical_offset})",
                Span(*from, *to)
            ),
            Self::WrongUnit {
                topic,
                queue_id,
                queue_offset,
                expected,
                found,
            } => write!(
                f,
                "{topic} queue {queue_id} unit {queue_offset} says {found} instead of {expected}"
            ),
            Self::DanglingUnits {
                topic,
                queue_id,
                from,
                to,
                physical_offset,
                reason,
            } => write!(
                f,
                "{topic} queue {queue_id} units {} point to {physical_offset}{}: {reason}",
                Span(*from, *to),
                if from == to { "" } else { " and so on" }
            ),
            Self::IndexShape {
                file,
                len,
                expected,
                slots,
                entries,
            } => write!(
                f,
                "{file} has {len} bytes; maxHashSlotNum={slots} and maxIndexNum={entries} make {expected}"
            ),
            Self::IndexHeader { file, reason } => write!(f, "{file}: {reason}"),
            Self::IndexSlot {
                file,
                slot,
                found,
                expected,
            } => write!(
                f,
                "{file}: slot {slot} says entry {found} instead of {expected}"
            ),
            Self::IndexChain {
                file,
                number,
                found,
                expected,
            } => write!(
                f,
                "{file}: entry {number} is followed by {found} instead of {expected}"
            ),
            Self::IndexEntry {
                file,
                number,
                physical_offset,
                reason,
            } => write!(
                f,
                "{file}: entry {number} (record at {physical_offset}): {reason}"
            ),
            Self::MissingKeys {
                from,
                to,
                records,
                keys,
                topic,
                key,
            } => write!(
                f,
                "{keys} keys of {records} records from {from} to {to} are not in the index, first {key:?} of {topic}"
            ),
            Self::Table { file, reason } => write!(f, "{file} can not be read: {reason}"),
            Self::OffsetBeyondMax {
                file,
                group,
                topic,
                queue_id,
                offset,
                max,
            } => write!(
                f,
                "{file}: {group} is at {offset} of {topic} queue {queue_id}, which ends at {max}"
            ),
            Self::Checkpoint {
                field,
                value,
                limit,
            } => write!(
                f,
                "the checkpoint's {field} is {value}, the commit log ends at {limit}"
            ),
        }
    }
}
